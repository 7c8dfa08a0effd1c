"""`query_rewriter`: other words for a question, so that more of what answers it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Len

from tinyllm_actors.agent.tiny_function import tiny_function

if TYPE_CHECKING:
    from tinyllm_actors.agent.tiny_function import TinyFunction
    from tinyllm_actors.llm import ChatModel

__all__ = ["query_rewriter"]


def query_rewriter(model: str | ChatModel, **options: Any) -> TinyFunction:
    """Return a Function that answers a `question` with up to three search queries, for `Rag(…, rewriter=…)`.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.agent import query_rewriter
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> rewriter = query_rewriter(ScriptedModel([text('["actor mailbox", "message queue of an actor"]')]))
    >>> run(rewriter.spec(), question="Where do messages wait?")
    {'status': 'success', 'output': ['actor mailbox', 'message queue of an actor']}

    ```

    Args:
        model: a model, or a name such as `"openai/gpt-4o-mini"`.
        **options: of `tiny_function`.
    """

    async def rewrite_query(question: str) -> list[str]:
        """Rewrite it.

        <system>You turn a question into search queries for a collection of documents. Use other words for the same
        thing, and take apart what asks for several things. Queries are short, and answer nothing.</system>
        <prompt>Write one to three search queries for this question: {question}</prompt>
        """
        raise NotImplementedError

    return tiny_function(model=model, output_model=Annotated[list[str], Len(1, 3)], **options)(rewrite_query)
