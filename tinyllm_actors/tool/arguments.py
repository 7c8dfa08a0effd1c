"""The arguments of a tool: their JSON schema, and the way from the model's text to values."""

from __future__ import annotations

import abc
import json
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import InvalidArguments
from tinyllm_actors.tool.correction import not_json

if TYPE_CHECKING:
    from tinyllm_actors.tool.compact import Schema

__all__ = ["MAX_ARGUMENT_CHARS", "Arguments"]

MAX_ARGUMENT_CHARS = 1_000_000
"""Characters of JSON text that one call may have."""


class Arguments(abc.ABC):
    """What a tool takes; where it comes from is the subclass's affair."""

    @property
    @abc.abstractmethod
    def parameters(self) -> Schema:
        """The JSON schema, of type `object`: the same dictionary each time, not to be changed.

        Raises:
            ConfigurationError: the annotations of the function cannot be described in JSON.
        """

    @property
    @abc.abstractmethod
    def injected(self) -> tuple[str, ...]:
        """The names of the parameters that take the `ToolContext`; the model does not see them."""

    @abc.abstractmethod
    def _read(self, tool: str, text: str, *, strict: bool) -> dict[str, Any]:
        """Return the values in `text`, which is neither empty nor too long."""

    def validate(self, tool: str, text: str, *, strict: bool = False) -> dict[str, Any]:
        """Return the arguments that a JSON text holds, by the parameter's name in Python.

        What models are known to write is taken as it was meant: no text and `null` as no arguments, and an object
        that was encoded twice as that object.

        Args:
            tool: the name of the tool, for errors.
            text: what the model wrote.
            strict: refuse values that would need to be converted, such as `"3"` for a number.

        Raises:
            InvalidArguments: the text is no JSON object, or does not fit; the message tells the model how.
        """
        if len(text) > MAX_ARGUMENT_CHARS:
            raise InvalidArguments(
                tool,
                f"the arguments of {tool!r} are {len(text):,} characters long, and may be {MAX_ARGUMENT_CHARS:,};"
                " send less at once",
            )
        text = text.strip()
        if text.startswith('"'):
            text = _decoded_once(text)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:  # a parser would fail on it with an error of its own
                raise not_json(tool, text, f"character {error.start} is half of a surrogate pair") from None
        return self._read(tool, "{}" if text in {"", "null"} else text, strict=strict)


def _decoded_once(text: str) -> str:
    try:
        inner: object = json.loads(text)
    except ValueError:
        return text
    return inner.strip() if isinstance(inner, str) else text
