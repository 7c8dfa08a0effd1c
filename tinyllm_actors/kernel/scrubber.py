"""Keep certain secrets out of certain texts: those that an adapter was given. What is one by its form: `redaction`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Scrubber"]

_SHORTEST = 8
"""Anything shorter is no secret, and would turn up in ordinary words."""


class Scrubber:
    """Replace secrets in text by `***`.

    ```python
    >>> scrub = Scrubber(["Bearer sk-12345678"])
    >>> scrub("invalid key 'sk-12345678'"), scrub
    ("invalid key '***'", Scrubber(***))

    ```

    Args:
        secrets: values of headers; the word before a key, such as `Bearer`, is not taken for a part of it.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[str]) -> None:
        words = {word for secret in secrets for word in secret.split()}
        self._secrets = sorted((word for word in words if len(word) >= _SHORTEST and word != "Bearer"), key=len)

    def __call__(self, text: str) -> str:
        """Return `text` without the secrets."""
        for secret in reversed(self._secrets):
            text = text.replace(secret, "***")
        return text

    def __repr__(self) -> str:
        """Show that something is hidden, and nothing else."""
        return "Scrubber(***)"
