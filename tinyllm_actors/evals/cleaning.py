"""What results and reports may hold: JSON, bounded, without secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from tinyllm_actors.kernel.redaction import MASK, is_secret_name, redact

__all__ = ["Cleaner", "environment_secrets"]

MAX_TEXT: Final = 20_000
MAX_DEPTH: Final = 20
MAX_ITEMS: Final = 1000
SHORTEST_SECRET: Final = 8


def environment_secrets() -> list[str]:
    """Return the values of environment variables that are called like secrets."""
    return [value for name, value in os.environ.items() if is_secret_name(name)]


class Cleaner:
    """Makes of any value what may be written down.

    Text is cut, and what looks like a secret, is called like one, or is one of those given, is masked.

    ```python
    >>> Cleaner(["correct-horse"])({"api_key": "x", "said": ["it is correct-horse"]})
    {'api_key': '***', 'said': ['it is ***']}

    ```

    Args:
        secrets: values that must not be written; those of fewer than 8 characters would be found in ordinary words.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True)

    def text(self, text: str, limit: int = MAX_TEXT) -> str:
        """Return text without secrets, and cut."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = redact(text)
        return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"

    def __call__(self, value: Any) -> Any:
        """Return a value as JSON holds it."""
        try:
            plain = msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)
        except (TypeError, ValueError, RecursionError):
            plain = repr(value)
        return self._cleaned(plain, MAX_DEPTH)

    def _cleaned(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {} if depth == 0 else self._mapping(cast("Mapping[Any, Any]", value), depth)
        if isinstance(value, list | tuple):
            items = cast("list[Any]", value)[: MAX_ITEMS if depth else 0]
            if len(items) == 2 and isinstance(items[0], str) and is_secret_name(items[0]):
                return [items[0], MASK]  # a header as a pair
            return [self._cleaned(inner, depth - 1) for inner in items]
        return value

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        about = value.get("name")
        named = isinstance(about, str) and is_secret_name(about)  # {"name": "api_key", "value": …}
        for key, inner in list(value.items())[:MAX_ITEMS]:
            name = str(key)
            secret = inner is not None and (is_secret_name(name) or (named and name == "value"))
            found[self.text(name)] = MASK if secret else self._cleaned(inner, depth - 1)
        return found


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else repr(value)
