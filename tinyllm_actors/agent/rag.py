"""`Rag`: answers questions from what was indexed, with citations that were checked.

It is here and not in `retrieval`, since it asks a model: `llm` and `retrieval` are siblings and know nothing of each
other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tinyllm_actors.agent.rag_events import AnswerRejected, SourcesFound
from tinyllm_actors.agent.rag_prompt import INSTRUCTIONS, NO_ANSWER, complaint, shown_sources
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import Call, Function, unwrap
from tinyllm_actors.function.wrap import to_function_spec
from tinyllm_actors.kernel import ActorRef
from tinyllm_actors.llm import LLM, ChatRequest, SystemMessage, UserMessage
from tinyllm_actors.retrieval import check_citations, estimate_size, reciprocal_rank_fusion

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.llm import AssistantMessage, ChatModel, Message
    from tinyllm_actors.retrieval import CitationReport, Hit
    from tinyllm_actors.retrieval.sizing import Count

    Tell = Callable[[Any], Awaitable[None]]

__all__ = ["Rag"]


class Rag(Function):
    """Answers a question from sources that a retriever finds, and checks what the answer cites.

    The output is `{"answer": …, "sources": […], "citations": […], "valid": …, "queries": […]}`: the sources that
    the model saw, each with `number`, `id`, `text` and `metadata`; for each sentence which ids it cites and which of
    its quotes are true; and whether all of that is right. An answer with wrong citations goes back to the model,
    `max_corrections` times at most; what is still wrong then is `"valid": False`, never hidden. Where nothing is found
    no model is asked: the answer is that the sources do not say, without citations, and valid.

    `ref.stream(question=…)` tells which sources were found (`SourcesFound`), then the model's text while it is written
    (its own events, such as `tinyllm_actors.llm.TextDelta`), `AnswerRejected` where all of that is to be written again,
    and at last the dictionary of the call. What an answer cites is known when it is whole, not before.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.agent import Rag
    >>> from tinyllm_actors.retrieval import Hit
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> async def find(query: str, k: int) -> dict[str, list[Hit]]:
    ...     return {"hits": [Hit("1f", "An actor handles one message at a time.", {"source": "README.md"}, 0.9)]}
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         model = ScriptedModel([text('Actors handle "one message at a time" [1].')])
    ...         rag = await system.spawn(Rag.spec(model, retriever=find))
    ...         output = (await rag(question="What does an actor do?"))["output"]
    ...         print(output["answer"], output["valid"], output["citations"][0]["source_ids"])
    >>> anyio.run(main)
    Actors handle "one message at a time" [1]. True ('1f',)

    ```

    Args:
        model: a model, or a name such as `"openai/gpt-4o-mini"` or `"local"`.
        retriever: a reference to a `Retriever`, or anything that a Function can be made of, that takes `query` and
            `k` and answers `{"hits": […]}`, best first.
        rewriter: the same, takes `question` and answers a list of other queries for it, or one under `"queries"`; they
            are looked for besides the question. One that fails is left out. `query_rewriter(model)` is one.
        k: sources to find.
        max_source_tokens: that the sources may take in the prompt.
        count: how many tokens a text has.
        max_queries: of the rewriter that are used.
        max_corrections: how often the model may correct its citations.
        instructions: what the model is told to do; left out, to answer from the sources and to cite them.
        model_options: for the adapter, if `model` is a name.
        llm_options: for the `LLM` (`limits`, `budget`, `fallbacks` …).
        **options: of `Function`.

    Raises:
        ConfigurationError: a number is out of range.
    """

    observation_kind = "chain"

    def __init__(
        self,
        model: str | ChatModel,
        *,
        retriever: Any,
        rewriter: Any = None,
        k: int = 8,
        max_source_tokens: int = 3_000,
        count: Count = estimate_size,
        max_queries: int = 3,
        max_corrections: int = 1,
        instructions: str = INSTRUCTIONS,
        model_options: dict[str, Any] | None = None,
        llm_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if k < 1 or max_source_tokens < 1 or max_queries < 0 or max_corrections < 0:
            raise ConfigurationError(
                "need k >= 1, max_source_tokens >= 1, max_queries >= 0 and max_corrections >= 0, got "
                f"{k!r}, {max_source_tokens!r}, {max_queries!r} and {max_corrections!r}"
            )
        self._llm_spec = LLM.spec(model, model_options=model_options, **(llm_options or {}))
        self._parts = {"retriever": retriever, "rewriter": rewriter}
        self._refs: dict[str, FunctionRef] = {}
        self._k = k
        self._max_source_tokens = max_source_tokens
        self._count = count
        self._max_queries = max_queries
        self._max_corrections = max_corrections
        self._instructions = instructions

    async def started(self) -> None:
        """Start the model's Function, and the parts that are no references."""
        self._refs["llm"] = await self.context.spawn(self._llm_spec, name="llm")
        for name, part in self._parts.items():
            if isinstance(part, ActorRef):
                self._refs[name] = part  # pyright: ignore[reportArgumentType]
            elif part is not None:
                self._refs[name] = await self.context.spawn(to_function_spec(part), name=name)
        await super().started()

    async def run(self, question: str) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Answer a question."""
        return await self._answered(question, None)

    async def produce(self, message: Any, emit: Tell) -> None:
        """Stream what happens, and then the dictionary of the call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(question=…)`")

        async def run(question: str) -> dict[str, Any]:
            return await self._answered(question, emit)

        await emit(await self._call(message.arguments, run))

    async def _answered(self, question: str, tell: Tell | None) -> dict[str, Any]:
        queries, hits = await self._found(question)
        text, sources = shown_sources(hits, self._max_source_tokens, self._count)
        if tell is not None:
            await tell(SourcesFound(queries, _listed(sources)))
        if not sources:
            return _output(NO_ANSWER, {}, check_citations("", {}), True, queries)
        messages: list[Message] = [
            SystemMessage(self._instructions),
            UserMessage(f"{text}\n\nQuestion: {question}"),
        ]
        known = {number: (hit.id, hit.text) for number, hit in sources.items()}
        corrections = 0
        while True:
            message = await self._asked(messages, tell)
            answer = (message.content or "").strip()
            report = check_citations(answer, known)
            declined = NO_ANSWER.rstrip(".").casefold() in answer.casefold() and not report.cited_ids
            wrong = None if declined else complaint(report, list(known))
            if wrong is None or corrections >= self._max_corrections:
                return _output(answer, sources, report, wrong is None, queries)
            if tell is not None:
                await tell(AnswerRejected(wrong))
            messages += [message, UserMessage(wrong)]
            corrections += 1

    async def _found(self, question: str) -> tuple[list[str], list[Hit]]:
        """Return what was looked for, and what was found."""
        queries = [question, *await self._rewritten(question)]
        rankings: list[Sequence[Hit]] = []
        for query in queries:
            output: Any = unwrap(await self._refs["retriever"].within(None)(query=query, k=self._k))
            rankings.append(output["hits"])
        return queries, list(reciprocal_rank_fusion(rankings) if len(rankings) > 1 else rankings[0])[: self._k]

    async def _asked(self, messages: Sequence[Message], tell: Tell | None) -> AssistantMessage:
        """Return what the model says, and tell it while it is said."""
        request = ChatRequest(messages=list(messages))
        llm = self._refs["llm"].within(None)
        if tell is None:
            return unwrap(await llm(request=request))["completion"].message
        result: Any = None
        async with llm.stream(request=request) as events:
            async for event in events:
                if isinstance(event, msgspec.Struct):
                    await tell(event)
                else:
                    result = event
        return unwrap(result)["completion"].message

    async def _rewritten(self, question: str) -> list[str]:
        if "rewriter" not in self._refs or not self._max_queries:
            return []
        result = await self._refs["rewriter"].within(None)(question=question)
        if result["status"] == "error":
            return []  # told by the rewriter itself; the question alone will do
        found: Any = result["output"]
        if isinstance(found, dict):
            found = cast("dict[str, Any]", found).get("queries")
        given = [found] if isinstance(found, str) else cast("list[Any]", found) if isinstance(found, list) else []
        queries = [query.strip() for query in given if isinstance(query, str)]
        wanted = dict.fromkeys(query for query in queries if query and query != question)
        return list(wanted)[: self._max_queries]


def _listed(sources: dict[int, Hit]) -> list[dict[str, Any]]:
    return [
        {"number": number, "id": hit.id, "text": hit.text, "metadata": hit.metadata} for number, hit in sources.items()
    ]


def _output(
    answer: str, sources: dict[int, Hit], report: CitationReport, valid: bool, queries: list[str]
) -> dict[str, Any]:
    return {
        "answer": answer,
        "sources": _listed(sources),
        "citations": [
            {
                "sentence": sentence.text,
                "source_ids": sentence.source_ids,
                "unknown": sentence.unknown,
                "quotes": [{"text": q.text, "source_id": q.source_id, "score": q.score} for q in sentence.quotes],
            }
            for sentence in report.sentences
        ],
        "valid": valid,
        "queries": queries,
    }
