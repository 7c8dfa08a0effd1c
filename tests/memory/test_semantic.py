"""The memory that finds facts and past turns by what they are about."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import ActorSystem, Agent, Function
from tinyllm_actors.errors import ConfigurationError, Overloaded
from tinyllm_actors.function.language import Said
from tinyllm_actors.llm import AssistantMessage as Answer
from tinyllm_actors.llm import Embedder, Embeddings, Message, UserMessage
from tinyllm_actors.memory import SemanticMemory
from tinyllm_actors.memory.semantic import RECALLED_HEAD
from tinyllm_actors.testing import HashEmbeddings, ScriptedModel, text

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio

FACTS = ["The office closes at six.", "Ada likes green tea."]
TEA = UserMessage("Which tea does Ada like?")


def recalled(result: Any) -> list[str]:
    """Return the entries that a memory found."""
    assert result["status"] == "success", result
    found = [message.content for message in result["output"]["memories"] if isinstance(message, Said)]
    return found[0].removeprefix(f"{RECALLED_HEAD}\n- ").split("\n- ") if found else []


@pytest.mark.parametrize("source", ["object", "spec", "reference", "function"])
async def test_facts_are_found_whatever_makes_the_vectors(source: str) -> None:
    """An embedding model, the spec or the reference of a Function, and a plain function do."""
    model = HashEmbeddings()

    async def embed(texts: list[str]) -> list[list[float]]:
        return [list(vector) for vector in (await model.embed(texts)).vectors]

    async with ActorSystem("test") as system:
        sources: dict[str, Any] = {"object": model, "spec": Embedder.spec(HashEmbeddings()), "function": embed}
        if source == "reference":
            sources["reference"] = await system.spawn(Embedder.spec(HashEmbeddings()))
        memory = await system.spawn(SemanticMemory.spec(sources[source], facts=FACTS, k=1))
        assert recalled(await memory(messages=[TEA])) == [FACTS[1]]
        assert recalled(await memory(query="when closes the office")) == [FACTS[0]]
        assert recalled(await memory(facts=["Bob likes black tea."], query="what tea likes Bob")) == [
            "Bob likes black tea."
        ]


async def test_turns_that_are_long_ago_are_found() -> None:
    """A turn is a question with its answer; what is among the newest is not shown twice."""
    history: list[Message] = [
        UserMessage("my cat is called Tom"),
        Answer("a fine name"),
        UserMessage("what is the weather"),
        Answer("rain"),
        UserMessage("how is my cat called"),
    ]
    async with ActorSystem("test") as system:
        memory = await system.spawn(SemanticMemory.spec(HashEmbeddings(), buffer_size=2, k=1))
        shown = await memory(messages=history)
        assert recalled(shown) == ["user: my cat is called Tom\nassistant: a fine name"]
        assert shown["output"]["memories"][1:] == history[-2:]


async def test_vectors_are_made_once() -> None:
    """A call that asks nothing new embeds nothing; the facts that stay are not embedded again."""
    model = HashEmbeddings()
    async with ActorSystem("test") as system:
        memory = await system.spawn(SemanticMemory.spec(model, facts=FACTS))
        await memory(messages=[TEA])
        await memory(messages=[Answer("Green.")])
        await memory()
        assert model.calls == [[*FACTS, TEA.content]]
        await memory(clear=True, messages=[TEA])
        assert model.calls[1:] == [[TEA.content]]


async def test_without_vectors_it_shows_the_newest() -> None:
    """An embedder that fails, or answers nonsense, costs the search and no more; later everything is found."""
    answers: list[Any] = [Overloaded("busy"), 7, [[1.0]], [["x"], ["y"], ["z"]], [[1.0], [1.0, 2.0], [1.0]]]

    class Moody:
        async def embed(self, texts: Sequence[str], /) -> Any:
            if answers:
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            return await HashEmbeddings().embed(texts)

    async with ActorSystem("test") as system:
        memory = await system.spawn(SemanticMemory.spec(Moody(), facts=FACTS, k=1))
        for _ in range(5):
            shown = await memory(messages=[TEA], clear=True)
            assert shown["output"]["memories"] == [TEA]
        assert recalled(await memory(messages=[TEA], clear=True)) == [FACTS[1]]


async def test_another_model_starts_over() -> None:
    """Vectors of different lengths are never compared: all texts are embedded again."""
    sizes = [16, 8, 8]

    class Changing:
        async def embed(self, texts: Sequence[str], /) -> Embeddings:
            return await HashEmbeddings(sizes.pop(0)).embed(texts)

    async with ActorSystem("test") as system:
        memory = await system.spawn(SemanticMemory.spec(Changing(), facts=FACTS, k=1, threshold=-1.0))
        assert len(recalled(await memory(messages=[TEA]))) == 1
        assert recalled(await memory(query="when closes the office")) == []
        assert recalled(await memory(query="when closes the office")) != []


async def test_what_it_holds_is_bounded() -> None:
    """Of too many entries the oldest goes, never a fact that it was made with; each is cut to its size."""
    async with ActorSystem("test") as system:
        spec = SemanticMemory.spec(
            HashEmbeddings(), facts=[FACTS[0]], k=9, threshold=-1.0, max_entries=3, max_entry_characters=12
        )
        memory = await system.spawn(spec)
        shown = await memory(facts=["one", "two", "three", "four " * 9], query="two")
        assert len(recalled(shown)) == 3
        shown = await memory(facts=["three", "five"], query="two")
        assert recalled(shown) == ["The of … ix.", "four f … our", "five"]


async def test_an_agent_is_shown_what_it_should_know() -> None:
    """The model sees facts as a message of the user, before the question."""
    model = ScriptedModel([text("Green tea.")])
    async with ActorSystem("test") as system:
        memory = SemanticMemory.spec(HashEmbeddings(), facts=FACTS, k=1)
        agent = await system.spawn(Agent.spec(model=model, memory=memory))
        assert (await agent(content=TEA.content))["status"] == "success"
    assert model.requests[0].messages[1:] == [UserMessage(f"{RECALLED_HEAD}\n- {FACTS[1]}"), TEA]


async def test_what_makes_no_vectors_is_refused() -> None:
    """When it is made, not when it is asked."""
    with pytest.raises(ConfigurationError, match="embedder=7 makes no vectors"):
        SemanticMemory(7)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="facts"):
        SemanticMemory(HashEmbeddings(), facts="one text")
    with pytest.raises(ConfigurationError, match="k must"):
        SemanticMemory(HashEmbeddings(), k=0)
    with pytest.raises(ConfigurationError, match="less than max_entries=2"):
        SemanticMemory(HashEmbeddings(), facts=FACTS, max_entries=2)


async def test_a_function_may_answer_bare_vectors() -> None:
    """The output of a Function is `embeddings`, `vectors` or the rows themselves."""

    class Bare(Function):
        async def run(self, texts: list[str]) -> dict[str, list[array[float]]]:  # pyright: ignore[reportIncompatibleMethodOverride]
            return {"vectors": (await HashEmbeddings().embed(texts)).vectors}

    async with ActorSystem("test") as system:
        memory = await system.spawn(SemanticMemory.spec(Bare.spec(), facts=FACTS, k=1))
        assert recalled(await memory(messages=[TEA])) == [FACTS[1]]
