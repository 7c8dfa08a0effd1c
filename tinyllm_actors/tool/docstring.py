"""What a docstring says: of the whole function, and of each parameter."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

__all__ = ["DocstringText", "parse_docstring"]


@dataclass(frozen=True, slots=True)
class DocstringText:
    """A docstring, taken apart.

    Attributes:
        description: the text before the first section.
        parameters: what is said of each parameter, by its name without stars; line breaks are spaces.
    """

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def parse_docstring(text: str | None) -> DocstringText:
    '''Return what a docstring in Google, NumPy, Sphinx or Epydoc style says.

    A docstring in none of these styles, or a broken one, is all description: nothing that was written is lost.

    ```python
    >>> parse_docstring("""Find a flight.
    ...
    ... Args:
    ...     origin: three letters.
    ... """)
    DocstringText(description='Find a flight.', parameters={'origin': 'three letters.'})

    ```
    '''
    if text is None or not (text := inspect.cleandoc(text)):
        return DocstringText()
    # Imported here: a program without tools does not pay for it.
    from docstring_parser import parse

    try:
        parsed = parse(text)
    except Exception:  # the parser is not meant for arbitrary text, and documentation never stops a program
        return DocstringText(description=text)
    parameters: dict[str, str] = {}
    for parameter in parsed.params:
        description = " ".join((parameter.description or "").split())
        if description:
            # NumPy style documents several at once: "x, y : float".
            for name in parameter.arg_name.split(","):
                parameters[name.strip().lstrip("*")] = description
    return DocstringText(description=(parsed.description or "").strip(), parameters=parameters)
