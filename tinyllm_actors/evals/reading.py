"""What was asked, answered and retrieved, whatever shape a Function gives it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from tinyllm_actors.errors import EvaluationFailed
from tinyllm_actors.function.answer import text_of_response

__all__ = ["Passage", "answer_of", "passages_of", "question_of", "text_of"]

_ANSWERS: Final = ("response", "answer", "text", "content", "output", "value", "result")
_QUESTIONS: Final = ("content", "question", "query", "input", "text", "message")
_PASSAGES: Final = ("contexts", "sources", "passages", "chunks", "documents", "retrieved")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that was retrieved.

    Attributes:
        text: what it says.
        id: what it is called, if it has a name.
    """

    text: str
    id: str = ""


def answer_of(output: Any) -> str:
    """Return the text of an answer: of an agent's, of a dictionary with an obvious key, or of text itself.

    ```python
    >>> answer_of({"response": {"choices": [{"message": {"content": "January 1st"}}]}}), answer_of({"answer": "yes"})
    ('January 1st', 'yes')

    ```

    Raises:
        EvaluationFailed: there is none.
    """
    if output is None:
        raise EvaluationFailed("there is no answer to score: the call failed")
    given = cast("Mapping[str, Any] | None", output if isinstance(output, Mapping) else None)
    if given is None:
        return text_of(output)
    response: Any = given.get("response")
    if isinstance(response, Mapping) and "choices" in response:
        try:
            return text_of_response(response)
        except (LookupError, TypeError):
            raise EvaluationFailed("the response holds no message to score") from None
    for key in _ANSWERS:
        if key in given:
            return text_of(given[key])
    return text_of(given)


def question_of(input: Any) -> str:
    """Return what was asked, from the arguments of a call.

    ```python
    >>> question_of({"content": "When?", "user_id": "u1"})
    'When?'

    ```
    """
    if isinstance(input, Mapping):
        given = cast("Mapping[str, Any]", input)
        return next((text_of(given[key]) for key in _QUESTIONS if key in given), text_of(given))
    return text_of(input)


def passages_of(output: Any) -> list[Passage]:
    """Return what was retrieved for an answer: the list under `contexts`, `sources`, `passages` or the like.

    ```python
    >>> passages_of({"answer": "blue", "sources": [{"id": "n1", "text": "The sky is blue."}]})
    [Passage(text='The sky is blue.', id='n1')]

    ```

    Raises:
        EvaluationFailed: the output has no such list, or it holds what is no text.
    """
    if isinstance(output, Mapping):
        given = cast("Mapping[str, Any]", output)
        for key in _PASSAGES:
            found = given.get(key)
            if isinstance(found, Sequence) and not isinstance(found, str):
                return [_passage(entry, key) for entry in cast("Sequence[Any]", found)]
    raise EvaluationFailed(
        f"the output has no list of what was retrieved; it goes under one of: {', '.join(_PASSAGES)}"
    )


def _passage(entry: Any, key: str) -> Passage:
    if isinstance(entry, str):
        return Passage(entry)
    inner = _field(entry, "document") or _field(entry, "chunk") or entry
    text = _field(inner, "text") or _field(inner, "content")
    if not isinstance(text, str):
        raise EvaluationFailed(f"an entry of {key!r} has no text: {type(entry).__name__}")
    name = _field(inner, "id") or _field(entry, "id") or ""
    return Passage(text, str(name))


def _field(entry: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", entry).get(name) if isinstance(entry, Mapping) else getattr(entry, name, None)


def text_of(value: Any) -> str:
    """Return a value as text: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value, enc_hook=_plain, order="sorted").decode()
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)
