"""Look into litellm's stream for what it does not say: whether the provider ended the answer, and how many tokens.

`CustomStreamWrapper` makes up a reason to end where the provider gave none, which with Gemini is in each chunk, and
counts tokens by itself, in a worker thread, where the provider has counted them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.llm.wire import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Reasons", "is_stream", "read_farewell", "reports_of"]


def is_stream(answer: Any) -> bool:
    """Tell whether the provider answered with a stream, and not with a page or one object that litellm read over."""
    headers: Mapping[str, str] = getattr(answer, "_response_headers", None) or {}
    return not headers.get("content-type", "").partition(";")[0].endswith(("html", "json", "xml"))


class Reasons:
    """Tells the reason to end that the provider gave, and not litellm.

    Args:
        answer: the stream, of which nothing has been read.
        mocked: there is no provider: like what comes from litellm's cache, the answer is whole and has no reason.
    """

    __slots__ = ("_answer", "_made_up", "_mocked")

    def __init__(self, answer: Any, *, mocked: bool) -> None:
        self._answer = answer
        self._mocked = mocked
        self._made_up = False  # whether what litellm says is its own, as the provider has not given a reason yet
        call: Any = getattr(answer, "make_call", None)
        if getattr(answer, "completion_stream", None) is not None:
            self._follow(answer.completion_stream)
        elif call is not None:  # the provider is asked when the first chunk is wanted

            async def make_call(*args: Any, **options: Any) -> Any:
                source: Any = await call(*args, **options)
                self._follow(source)
                return source

            answer.make_call = make_call

    def _follow(self, source: Any) -> None:
        """Look at Gemini's chunks before litellm puts a reason into each."""
        parse: Any = getattr(source, "chunk_parser", None)
        if parse is None or ".gemini." not in type(source).__module__:
            return
        self._made_up = True

        def chunk_parser(chunk: Any) -> Any:
            feedback: Any = chunk.get("promptFeedback") or {}
            candidates: Any = chunk.get("candidates") or ()
            if feedback.get("blockReason") or any(candidate.get("finishReason") for candidate in candidates):
                self._made_up = False
            return parse(chunk)

        source.chunk_parser = chunk_parser

    def given(self) -> str | None:
        """Return the reason; None if there was none so far."""
        if self._made_up:
            return None
        answer = self._answer
        reasons = (getattr(answer, name, None) for name in ("received_finish_reason", "intermittent_finish_reason"))
        reason = next((str(reason) for reason in reasons if reason is not None), None)
        whole = self._mocked or getattr(answer, "custom_llm_provider", None) == "cached_response"
        return "stop" if reason is None and whole else reason


def reports_of(answer: Any) -> Iterator[Any]:
    """Yield the counts of tokens that came with the chunks of an answer."""
    for chunk in getattr(answer, "chunks", None) or ():
        report = getattr(chunk, "usage", None)
        if report is not None:
            yield report


async def read_farewell(answer: Any, reports: list[Any]) -> None:
    """Read what the provider sends behind the end of its answer, past litellm, and keep the counts of tokens.

    To its end, so that the connection can be used again.
    """
    source: Any = getattr(answer, "completion_stream", None)
    if not hasattr(source, "__anext__"):
        return
    async for chunk in source:
        report: Any = getattr(chunk, "usage", None) or (as_object(chunk) and chunk.get("usage"))
        if report:
            reports.append(report)
