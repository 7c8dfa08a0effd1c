"""The prompts in the docstring of a tiny function."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["PromptTemplate"]


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A system text and a prompt with places for values.

    Attributes:
        system: standing instructions; empty for none.
        prompt: what the model is asked.
    """

    system: str
    prompt: str

    @classmethod
    def from_docstring(cls, docstring: str | None, parameters: Collection[str], label: str) -> PromptTemplate:
        """Return the template in a docstring.

        ```python
        >>> text = "<system>Be brief.</system> <prompt>What is {topic}?</prompt>"
        >>> PromptTemplate.from_docstring(text, ["topic"], "define").render({"topic": "an actor"})
        ('Be brief.', 'What is an actor?')

        ```

        Args:
            docstring: with `<prompt>…</prompt>` once and `<system>…</system>` at most once, in which `{name}` stands
                for a parameter, and `{{` and `}}` for braces.
            parameters: of the function; each must be used.
            label: what errors call the function.

        Raises:
            ConfigurationError: that is not so; the message says what is missing or too much.
        """
        from tinyllm_actors.prompting.template import Template  # only tiny functions pay for it

        text = inspect.cleandoc(docstring or "")
        template = cls(_block(text, "system", label) or "", _block(text, "prompt", label) or "")
        if not template.prompt:
            raise ConfigurationError(f"the docstring of {label!r} needs <prompt>…</prompt> with a text in it")
        where = f"the docstring of {label!r}"
        used = Template(template.system, label=where).names | Template(template.prompt, label=where).names
        known = ", ".join(map(repr, parameters)) or "none"
        for name in sorted(used - set(parameters)):
            raise ConfigurationError(
                f"the docstring of {label!r} uses {'{' + name + '}'!r}, which is no parameter; there are: {known}"
            )
        for name in parameters:
            if name not in used:
                raise ConfigurationError(
                    f"parameter {name!r} of {label!r} is not used in its docstring; write {'{' + name + '}'!r} there"
                )
        return template

    def render(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """Return the system text and the prompt with the values in their places.

        Text goes in as it is, mappings, lists and models as JSON, everything else as `str` has it. Braces and tags
        inside of values mean nothing.
        """
        from tinyllm_actors.prompting.template import Template, value_text

        texts = {name: value_text(value) for name, value in values.items()}
        return Template(self.system).fill(texts), Template(self.prompt).fill(texts)


def _block(text: str, tag: str, label: str) -> str | None:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    if len(found) > 1:
        raise ConfigurationError(f"the docstring of {label!r} has <{tag}> {len(found)} times; it may be there once")
    if not found and (f"<{tag}>" in text or f"</{tag}>" in text):
        raise ConfigurationError(f"the docstring of {label!r} has only one of <{tag}> and </{tag}>")
    return inspect.cleandoc(found[0]).strip() if found else None
