"""`make_retrieve`: a tool that looks something up in what was indexed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from tinyllm_actors.errors import ConfigurationError, ToolError, ToolRetry
from tinyllm_actors.tool.decorator import tool

if TYPE_CHECKING:
    from tinyllm_actors.tool.definition import Tool

__all__ = ["make_retrieve"]

_MAX_QUERY: Final = 2_000
_DESCRIPTION: Final = (
    "Look something up in the documents: returns the passages that fit best, each with its number, id and source. "
    "Cite them by number, such as [1]."
)


def make_retrieve(
    retriever: Callable[..., Awaitable[Mapping[str, Any]]],
    *,
    name: str = "retrieve",
    description: str = _DESCRIPTION,
    k: int = 5,
    max_chars: int = 8_000,
) -> Tool[..., Any]:
    """Return a tool that asks a retriever.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.retrieval import Hit
    >>> from tinyllm_actors.tool.builtin import make_retrieve
    >>> async def find(query: str, k: int) -> dict[str, object]:
    ...     return {"status": "success", "output": {"hits": [Hit("1f", "Actors keep state.", {"source": "a.md"}, 0.9)]}}
    >>> print(anyio.run(make_retrieve(find).call, {"query": "state"}))
    [1] id=1f, a.md
    Actors keep state.

    ```

    Args:
        retriever: a reference to a `Retriever`, or to any Function that takes `query` and `k` and answers `hits`,
            best first, each with `id`, `text` and `metadata`.
        name: what the model calls the tool.
        description: what the model is told; say which documents these are.
        k: passages of one call.
        max_chars: characters of all passages of one call; what does not fit is left out, or cut if it is the first.

    Raises:
        ConfigurationError: a number is below 1.
    """
    if k < 1 or max_chars < 1:
        raise ConfigurationError(f"k={k!r} and max_chars={max_chars!r} must be at least 1")

    @tool(name=name, description=description, idempotent=True)
    async def retrieve(query: Annotated[str, "a question, or words to look for"]) -> str:
        words = query.strip()
        if not words or len(words) > _MAX_QUERY:
            raise ToolRetry(f"ask for 1 to {_MAX_QUERY} characters")
        result = await retriever(query=words, k=k)
        if result["status"] == "error":
            raise ToolError(name, f"the documents cannot be searched: {result['message']}")
        return _shown(result["output"]["hits"][:k], max_chars) or "[nothing was found; ask in other words]"

    return retrieve


def _shown(hits: list[Any], max_chars: int) -> str:
    shown: list[str] = []
    left = max_chars
    for number, hit in enumerate(hits, start=1):
        head = f"[{number}] id={hit.id}, {hit.metadata.get('source', 'unknown source')}\n"
        passage = head + hit.text
        if not shown:
            passage = passage[:left]
        if len(passage) <= left:
            shown.append(passage)
            left -= len(passage)
    return "\n\n".join(shown)
