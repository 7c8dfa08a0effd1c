"""Texts with places for values.

There is one thing that a place can hold, and that is a name: no attributes, no indexes, no formats, no conditions and
no loops. So a template, wherever it comes from, reaches into no object, runs nothing and takes no longer than its text
is long. Template engines offer more, and have a history of ways out of their sandboxes; what needs a loop is Python's
affair, before the value goes in. A value is put in as it is: braces in it mean nothing.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Template", "value_text"]

_DOUBLE: Final = re.compile(r"\{\{ *([^{}\s]+) *\}\}")


class Template:
    """A text with places for values.

    ```python
    >>> from tinyllm_actors.prompting import Template
    >>> Template("Translate {text} into {language}.").render(text="{cold}", language="French")
    'Translate {cold} into French.'
    >>> Template('Answer like {"word": "…"}: {{word}}', braces=2).render(word="cold")
    'Answer like {"word": "…"}: cold'

    ```

    Args:
        text: with places for values.
        label: what errors call it.
        braces: 1 for `{name}`, where `{{` and `}}` are braces themselves; 2 for `{{name}}`, as Langfuse has it, where
            all other braces are themselves.

    Attributes:
        text: as it was given.
        names: of the values that it needs.

    Raises:
        ConfigurationError: something else than a name is in braces, or a brace is alone.
    """

    __slots__ = ("_pieces", "label", "names", "text")

    def __init__(self, text: str, *, label: str = "the template", braces: Literal[1, 2] = 1) -> None:
        self.text = text
        self.label = label
        self._pieces = list(_single(text, label) if braces == 1 else _double(text, label))
        self.names = frozenset(name for _, name in self._pieces if name is not None)

    def render(self, **values: Any) -> str:
        """Return the text with the values in their places.

        Text goes in as it is, mappings, lists and models as JSON, everything else as `str` has it.

        Raises:
            ConfigurationError: a value is missing, or has no place.
        """
        for name in sorted(self.names - values.keys()):
            raise ConfigurationError(f"{self.label} needs a value for {name!r}")
        for name in sorted(values.keys() - self.names):
            known = ", ".join(map(repr, sorted(self.names))) or "none"
            raise ConfigurationError(f"{self.label} has no place for {name!r}; there are: {known}")
        return self.fill({name: value_text(value) for name, value in values.items()})

    def fill(self, texts: Mapping[str, str]) -> str:
        """Return the text with texts in their places; those without a place are not used.

        Raises:
            KeyError: one is missing.
        """
        return "".join(literal + ("" if name is None else texts[name]) for literal, name in self._pieces)


def _single(text: str, label: str) -> Iterator[tuple[str, str | None]]:
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ConfigurationError(
            f"{label} has a stray brace ({error}); write '{{{{' or '}}}}' for a brace itself"
        ) from None
    for literal, name, form, conversion in pieces:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise ConfigurationError(
                f"{label} has {'{' + name + '}'!r}: only the name of a parameter may be in braces,"
                " without attributes, indexes or formats; write '{{' and '}}' for braces themselves"
            )
        yield literal, name


def _double(text: str, label: str) -> Iterator[tuple[str, str | None]]:
    end = 0
    for match in _DOUBLE.finditer(text):
        if not match[1].isidentifier():
            raise ConfigurationError(f"{label} has {match[0]!r}: only a name may be in double braces")
        yield text[end : match.start()], match[1]
        end = match.end()
    yield text[end:], None


def value_text(value: Any) -> str:
    """Return what a value is in a prompt: text as it is, mappings, lists and models as JSON, all else as `str` has it.

    ```python
    >>> value_text("a"), value_text({"a": [1, None]}), value_text(2.5)
    ('a', '{"a":[1,null]}', '2.5')

    ```
    """
    if isinstance(value, str):
        return value
    dump = getattr(cast("object", value), "model_dump_json", None)
    if dump is not None:
        return dump()
    if isinstance(value, Mapping | list | tuple):
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    return str(cast("object", value))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return str(value) if dump is None else dump(mode="json")
