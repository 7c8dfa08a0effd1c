"""Answers from sources, with citations that were checked."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.agent import AnswerRejected, PictureDescriber, Rag, SourcesFound, query_rewriter
from tinyllm_actors.agent.rag_prompt import NO_ANSWER
from tinyllm_actors.errors import ActorFailed, ConfigurationError, ToolError, ToolRetry
from tinyllm_actors.llm import Embedder, ImagePart, TextDelta
from tinyllm_actors.retrieval import Chunk, Hit, Loader, MemoryVectorStore, Retriever, VectorIndex
from tinyllm_actors.testing import HashEmbeddings, ScriptedModel, fail, hang, text
from tinyllm_actors.tool.builtin import make_retrieve

pytestmark = pytest.mark.anyio

HITS = [
    Hit("t", "Green tea takes three minutes.", {"source": "tea.md", "page": 2, "headings": ["Tea", "Green"]}, 0.9),
    Hit("c", "Coffee needs 92 degrees.", {"source": "coffee.md"}, 0.5),
]


async def find(query: str, k: int) -> dict[str, list[Hit]]:
    """Find all there is, or nothing, or break."""
    if query == "nothing":
        return {"hits": []}
    if query == "broken":
        raise RuntimeError("no index")
    return {"hits": (HITS if "tea" in query else HITS[::-1])[:k]}


async def _ask(model: ScriptedModel, question: str = "How long does tea take?", **options: Any) -> Any:
    async with ActorSystem("test") as system:
        rag = await system.spawn(Rag.spec(model, retriever=find, **options))
        result = await rag(question=question)
        return result["output"] if result["status"] == "success" else result


async def test_an_answer_with_checked_citations() -> None:
    """The model sees numbered sources with their places, and the output says what each sentence cites."""
    model = ScriptedModel([text('Green tea "takes three minutes" [1]. Coffee is hotter [2].')])
    output = await _ask(model)
    assert output["valid"] is True
    assert [(c["sentence"], c["source_ids"]) for c in output["citations"]] == [
        ('Green tea "takes three minutes" [1].', ("t",)),
        ("Coffee is hotter [2].", ("c",)),
    ]
    assert output["citations"][0]["quotes"] == [{"text": "takes three minutes", "source_id": "t", "score": 1.0}]
    assert [(source["number"], source["id"]) for source in output["sources"]] == [(1, "t"), (2, "c")]
    prompt = str(model.requests[0].messages[-1].content)
    assert "[1] tea.md, 2 > Tea > Green\nGreen tea takes three minutes." in prompt
    assert prompt.endswith("Question: How long does tea take?")


async def test_wrong_citations_are_corrected() -> None:
    """A number without a source, a false quote and no citation at all go back to the model with what is wrong."""
    for wrong, why in (
        ("It takes long [7].", "there is no source 7; there are [1], [2]"),
        ('It says "takes thirty minutes or so" [1].', "says 'takes thirty minutes or so'"),
        ("It takes three minutes.", "no source is cited"),
    ):
        model = ScriptedModel([text(wrong), text("Three minutes [1].")])
        output = await _ask(model)
        assert (output["answer"], output["valid"]) == ("Three minutes [1].", True)
        assert why in str(model.requests[1].messages[-1].content)


async def test_what_stays_wrong_is_told() -> None:
    """After the last correction the answer is given as it is, and is not valid."""
    output = await _ask(ScriptedModel([text("Long [7]."), text("Long [8].")]))
    assert (output["answer"], output["valid"], output["citations"][0]["unknown"]) == ("Long [8].", False, (8,))
    assert (await _ask(ScriptedModel([text("Long [7].")]), max_corrections=0))["valid"] is False


async def test_not_to_know_is_an_answer() -> None:
    """A model that says that the sources do not say is not made to cite; without sources none is asked."""
    output = await _ask(ScriptedModel([text(NO_ANSWER)]))
    assert (output["answer"], output["valid"]) == (NO_ANSWER, True)
    model = ScriptedModel([])
    output = await _ask(model, "nothing")
    assert (output["answer"], output["valid"], output["sources"]) == (NO_ANSWER, True, [])
    assert (await _ask(model, max_source_tokens=1))["sources"] == []
    assert not model.requests


async def test_failures_are_the_call_s() -> None:
    """A retriever or a model that fails is an error dictionary with what it said."""
    assert (await _ask(ScriptedModel([]), "broken"))["message"] == "no index"
    failed = await _ask(ScriptedModel([fail(ValueError("no model"))]))
    assert (failed["status"], "no model" in failed["message"]) == ("error", True)


async def _told(model: ScriptedModel, question: str = "How long does tea take?") -> list[Any]:
    """Stream an answer, and put pieces of text that follow one another together."""
    told: list[Any] = []
    async with ActorSystem("test") as system:
        rag = await system.spawn(Rag.spec(model, retriever=find))
        async with rag.stream(question=question) as events:
            async for event in events:
                if isinstance(event, TextDelta) and told and isinstance(told[-1], TextDelta):
                    event = TextDelta(told.pop().text + event.text)
                told.append(event)
    return told


async def test_an_answer_is_streamed() -> None:
    """First come the sources, then the text while it is written, at last the dictionary that a plain call answers."""
    answer = 'Green tea "takes three minutes" [1]. Coffee is hotter [2].'
    found, said, result = await _told(ScriptedModel([text(answer)]))
    output = await _ask(ScriptedModel([text(answer)]))
    assert found == SourcesFound(["How long does tea take?"], output["sources"])
    assert said == TextDelta(answer)
    assert result == {"status": "success", "output": output}


async def test_the_reader_of_a_stream_knows_which_text_is_void() -> None:
    """Between a wrong answer and the next stands what was wrong; the last one is not followed by that."""
    found, first, rejected, second, result = await _told(ScriptedModel([text("Long [7]."), text("Long [8].")]))
    assert isinstance(found, SourcesFound)
    assert (first.text, second.text) == ("Long [7].", "Long [8].")
    assert isinstance(rejected, AnswerRejected)
    assert "there is no source 7" in rejected.reason
    assert (result["output"]["answer"], result["output"]["valid"]) == ("Long [8].", False)


async def test_a_stream_without_sources_and_one_that_breaks() -> None:
    """No sources are told as such; what fails before or within the answer ends the stream with its dictionary."""
    found, result = await _told(ScriptedModel([]), "nothing")
    assert (found, result["output"]["answer"]) == (SourcesFound(["nothing"], []), NO_ANSWER)
    [result] = await _told(ScriptedModel([]), "broken")
    assert result["message"] == "no index"
    found, said, result = await _told(ScriptedModel([fail(ValueError("no model"), after="Green tea")]))
    assert said.text == "Green tea"
    assert (result["status"], "no model" in result["message"]) == ("error", True)
    async with ActorSystem("test") as system:
        rag = await system.spawn(Rag.spec(ScriptedModel([]), retriever=find))
        with pytest.raises(ActorFailed, match="question="):
            async with rag.stream("tea") as events:
                _ = [event async for event in events]


async def test_whoever_leaves_a_stream_ends_the_call() -> None:
    """The model is not waited for, and the next question is answered."""
    model = ScriptedModel([hang(), text("Three minutes [1].")])
    async with ActorSystem("test") as system:
        rag = await system.spawn(Rag.spec(model, retriever=find))
        async with rag.stream(question="tea") as events:
            async for event in events:
                assert isinstance(event, SourcesFound)
                while not model.requests:  # else the next question would meet the model that hangs
                    await anyio.lowlevel.checkpoint()
                break
        assert (await rag(question="tea"))["output"]["valid"] is True


async def test_other_words_find_more() -> None:
    """What the rewriter says is looked for too, each query once and a few at most; one that fails does no harm."""

    async def rewrite(question: str) -> Any:
        if question == "list":
            return ["tea", "tea", " ", "list", 7, "a", "b", "c"]
        if question == "dictionary":
            return {"queries": "tea"}
        if question == "odd":
            return 7
        raise ValueError("no words")

    for question, queries in (
        ("list", ["list", "tea", "a", "b"]),
        ("dictionary", ["dictionary", "tea"]),
        ("odd", ["odd"]),
        ("tea", ["tea"]),
    ):
        output = await _ask(ScriptedModel([text("So [1].")]), question, rewriter=rewrite, k=1)
        assert output["queries"] == queries
    output = await _ask(ScriptedModel([text("So [1].")]), "list", rewriter=rewrite, max_queries=0)
    assert output["queries"] == ["list"]
    model = ScriptedModel([text('["one", "two"]')])
    output = await _ask(ScriptedModel([text("So [1].")]), rewriter=query_rewriter(model))
    assert output["queries"] == ["How long does tea take?", "one", "two"]


async def test_pictures_are_described_for_a_loader() -> None:
    """The model gets the picture as a data URL; what it says is the content, and to say nothing is a failure."""
    model = ScriptedModel([text(" A cat. "), text(" ")])
    png = b"\x89PNG\r\n\x1a\n"
    async with ActorSystem("test") as system:
        vision = await system.spawn(PictureDescriber.spec(model))
        loader = await system.spawn(Loader.spec(vision=vision))
        result = await loader(data=png, name="cat.png")
        assert result["output"]["documents"][0].content == "A cat."
        content = model.requests[0].messages[0].content
        assert isinstance(content, list)
        assert content[1] == ImagePart({"url": "data:image/png;base64,iVBORw0KGgo="})
        assert "said nothing of the picture 'dog.png'" in (await loader(data=png, name="dog.png"))["message"]


async def test_all_together_over_a_store() -> None:
    """A question finds what was indexed, by meaning and by words, through the tool as well."""
    async with ActorSystem("test") as system, MemoryVectorStore() as store:
        embedder = await system.spawn(Embedder, HashEmbeddings())
        await VectorIndex(store, embedder).upsert(
            [Chunk(id=hit.id, text=hit.text, source=str(hit.metadata["source"])) for hit in HITS]
        )
        retriever = await system.spawn(Retriever, store, embedder, k=1)
        assert [hit.id for hit in (await retriever(query="92 degrees"))["output"]["hits"]] == ["c"]
        assert len((await retriever(query="tea and coffee", k=2))["output"]["hits"]) == 2

        class Shortest:
            async def score(self, query: str, texts: list[str]) -> list[float]:
                return [-len(text) for text in texts]

        ranked = await system.spawn(Retriever, store, embedder, k=1, scorer=Shortest())
        assert [hit.id for hit in (await ranked(query="green tea minutes"))["output"]["hits"]] == ["c"]
        rag = await system.spawn(Rag.spec(ScriptedModel([text("Three minutes [1].")]), retriever=retriever))
        output = (await rag(question="green tea minutes"))["output"]
        assert output["citations"][0]["source_ids"] == ("t",)
        lookup = make_retrieve(retriever, k=2)
        shown = str(await lookup.call({"query": "green tea minutes"}))
        assert shown.startswith("[1] id=t, tea.md\nGreen tea takes three minutes.\n\n[2] id=c")


async def test_the_tool_has_limits() -> None:
    """Too long or empty queries go back to the model; passages fit into their room; failures and nothing are told."""

    async def search(query: str, k: int) -> Any:
        if query == "broken":
            return {"status": "error", "message": "no index"}
        return {"status": "success", "output": {"hits": [] if query == "nothing" else HITS}}

    lookup = make_retrieve(search, max_chars=60)
    assert await lookup.call({"query": "tea"}) == "[1] id=t, tea.md\nGreen tea takes three minutes."
    assert len(str(await make_retrieve(search, max_chars=20).call({"query": "tea"}))) == 20
    assert "nothing was found" in str(await lookup.call({"query": "nothing"}))
    with pytest.raises(ToolError, match="no index"):
        await lookup.call({"query": "broken"})
    for query in (" ", "x" * 2_001):
        with pytest.raises(ToolRetry):
            await lookup.call({"query": query})


def test_senseless_numbers_are_refused() -> None:
    """Numbers without a meaning are errors that name them."""
    with pytest.raises(ConfigurationError, match="k >= 1"):
        Rag("local", retriever=find, k=0)
    with pytest.raises(ConfigurationError, match="k=0"):
        make_retrieve(find, k=0)
    with pytest.raises(ConfigurationError, match="k=0"):
        Retriever(MemoryVectorStore(), None, k=0)  # type: ignore[arg-type]
