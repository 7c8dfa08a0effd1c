"""The short way to what was said: text, out of the dictionary that a call answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.function.language.said import text_of
from tinyllm_actors.function.result import unwrap

if TYPE_CHECKING:
    from tinyllm_actors.function.result import Result

__all__ = ["answer_text", "text_of_output", "text_of_response"]


def answer_text(result: Result) -> str:
    """Return what an agent, a conversation, a `Rag` or an `LLM` said, from the dictionary of the call.

    ```python
    >>> from tinyllm_actors import Agent, answer_text, run
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> answer_text(run(Agent.spec(model=ScriptedModel([text("Hello!")])), content="Hi"))
    'Hello!'

    ```

    Args:
        result: of the call; of one that was streamed, the `result` of its last event.

    Returns:
        The text; empty where a model said nothing.

    Raises:
        FunctionFailed: the call failed; the message says why.
        TypeError: the output is of a Function that says nothing: look into `result["output"]`.
    """
    return text_of_output(unwrap(result))


def text_of_output(output: Any) -> str:
    """Return what is said in an output; raises `TypeError` if it is of another kind."""
    if isinstance(output, str):
        return output
    if isinstance(output, dict):
        found = cast("dict[str, Any]", output)
        if "completion" in found:
            return text_of(found["completion"].message)
        for name in ("response", "answer"):
            said: Any = found.get(name)
            if isinstance(said, str):
                return said
            if isinstance(said, dict) and "choices" in said:
                return text_of_response(said)
        kind = f"a dictionary of {', '.join(map(repr, found)) or 'nothing'}"
    else:
        kind = f"of type {type(output).__name__}"
    raise TypeError(f"no answer is in this output, which is {kind}; look into result['output']")


def text_of_response(response: Any) -> str:
    """Return what is said in a response of OpenAI's form; raises `LookupError` or `TypeError` if it has another."""
    return str(response["choices"][0]["message"]["content"] or "")
