"""What every memory owes an agent, run on each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem, Agent, BufferMemory, CharacterBufferMemory, Memory, TokenBufferMemory
from tinyllm_actors.function.language import Said, characters_of, estimate_messages
from tinyllm_actors.llm import (
    AssistantMessage,
    FilePart,
    FunctionCall,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    as_messages,
)
from tinyllm_actors.memory import CompositeMemory, SemanticMemory, SummaryMemory, groups
from tinyllm_actors.testing import HashEmbeddings, ScriptedModel, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors import ChildSpec

LIMIT = 6
TEXT_LIMIT = 200


async def summarise(content: str) -> str:
    """Stand in for a model: the same summary for the same prompt."""
    return f"summary of {len(content)} characters"


KINDS: dict[str, Callable[[], ChildSpec]] = {
    "everything": Memory.spec,
    "messages": lambda: BufferMemory.spec(buffer_size=LIMIT),
    "characters": lambda: CharacterBufferMemory.spec(buffer_size=TEXT_LIMIT),
    "tokens": lambda: TokenBufferMemory.spec(buffer_size=TEXT_LIMIT),
    "summary": lambda: SummaryMemory.spec(summarise, buffer_size=LIMIT, keep=3),
    "semantic": lambda: SemanticMemory.spec(HashEmbeddings(16), buffer_size=LIMIT, threshold=-1.0),
    "composite": lambda: CompositeMemory.spec(
        {"far": SemanticMemory.spec(HashEmbeddings(16), buffer_size=LIMIT), "near": BufferMemory.spec(buffer_size=4)},
        budgets={"far": 3},
    ),
}
SIZES: dict[str, Callable[[Sequence[Any]], bool]] = {
    "messages": lambda shown: len(shown) <= LIMIT,
    "characters": lambda shown: sum(map(characters_of, shown)) <= TEXT_LIMIT,
    "tokens": lambda shown: estimate_messages(shown) <= TEXT_LIMIT,
    "summary": lambda shown: len(shown) <= LIMIT + 1,
    "semantic": lambda shown: len(shown) <= LIMIT + 1,
    "composite": lambda shown: len(shown) <= 4 + 3,
}
every_kind = pytest.mark.parametrize("kind", KINDS)

CALL_IDS = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.text(max_size=30)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(UserMessage, TEXTS),
    st.builds(AssistantMessage, TEXTS),
    st.builds(SystemMessage, TEXTS),
    st.builds(ToolMessage, CALL_IDS, TEXTS),
    st.lists(CALL_IDS, min_size=1, max_size=3).map(
        lambda ids: AssistantMessage(tool_calls=[ToolCall(call_id, FunctionCall("look")) for call_id in ids])
    ),
    st.just(UserMessage([TextPart("look"), ImagePart({"url": "data:image/png;base64,AAAA"})])),
    st.just(UserMessage([FilePart({"file_id": "f"})])),
)
HISTORIES = st.lists(MESSAGES, max_size=25)


async def filled(kind: str, history: Sequence[Message], batches: int) -> list[list[Any]]:
    """Return what a new memory shows after each of so many batches of a history."""
    shown: list[list[Any]] = []
    step = max(1, -(-len(history) // batches))
    async with ActorSystem("test") as system:
        memory = await system.spawn(KINDS[kind]())
        for start in range(0, max(1, len(history)), step):
            result = await memory(messages=history[start : start + step])
            assert result["status"] == "success", result
            shown.append(result["output"]["memories"])
    return shown


def check(kind: str, shown: list[Any], history: list[Any]) -> None:
    """Check what is shown of a history."""
    said = [message for message in shown if not isinstance(message, Said)]
    open_ids: list[str] = []
    for message in said:  # never a result without its call
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in open_ids
            open_ids.remove(message.tool_call_id)
        else:
            open_ids = [call.id for call in getattr(message, "tool_calls", ())]
    rest = iter(history)
    assert all(any(message is other for other in rest) for message in said)  # the same messages, in order
    whole = groups(history)
    if whole:
        assert said[len(said) - len(whole[-1]) :] == whole[-1]  # the newest group is there, whole
    if kind in SIZES:
        newest = whole[-1] if whole else []
        assert SIZES[kind](shown) or said == newest or len(newest) > LIMIT
    assert all(isinstance(message, Message) for message in as_messages(shown))


@every_kind
@settings(max_examples=settings().max_examples // 2)
@given(history=HISTORIES, batches=st.integers(1, 5))
def test_a_memory_shows_whole_groups_in_order_within_its_size(kind: str, history: list[Message], batches: int) -> None:
    """Whatever is said, in whatever pieces: no orphan, the order kept, the newest there, the size respected."""

    async def both() -> tuple[list[list[Any]], list[list[Any]]]:
        return await filled(kind, history, batches), await filled(kind, history, 1)

    pieces, at_once = anyio.run(both)
    check(kind, pieces[-1], history)
    assert pieces[-1] == at_once[-1]  # a conversation that wakes up knows what it knew


HISTORY: list[Message] = [
    SystemMessage("be brief"),
    UserMessage("what is the weather in Oslo?"),
    AssistantMessage(tool_calls=[ToolCall("1", FunctionCall("look")), ToolCall("2", FunctionCall("look"))]),
    ToolMessage("1", "rain"),
    ToolMessage("2", "wind"),
    AssistantMessage("rain and wind"),
    UserMessage([TextPart("and here?"), ImagePart({"url": "data:image/png;base64,AAAA"})]),
    AssistantMessage("snow"),
]


@pytest.mark.anyio
@every_kind
async def test_a_memory_answers_like_any_function(kind: str) -> None:
    """It answers a dictionary, also to what it does not understand, and goes on."""
    async with ActorSystem("test") as system:
        memory = await system.spawn(KINDS[kind]())
        assert await memory() == {"status": "success", "output": {"memories": []}}
        shown = (await memory(messages=HISTORY))["output"]["memories"]
        assert shown[-1] == HISTORY[-1]
        assert (await memory(nonsense=1))["status"] == "error"
        assert (await memory())["output"]["memories"] == shown


@pytest.mark.anyio
@every_kind
async def test_what_it_shows_is_not_what_it_holds(kind: str) -> None:
    """Whoever changes the list it got does not change the memory."""
    async with ActorSystem("test") as system:
        memory = await system.spawn(KINDS[kind]())
        shown = (await memory(messages=HISTORY))["output"]["memories"]
        before = list(shown)
        shown.clear()
        assert (await memory())["output"]["memories"] == before


@pytest.mark.anyio
@every_kind
async def test_it_can_be_cleared_and_filled_in_one_call(kind: str) -> None:
    """After `clear=True` it is as if it were new, and knows what came with it."""
    async with ActorSystem("test") as system:
        memory, new = await system.spawn(KINDS[kind]()), await system.spawn(KINDS[kind]())
        for message in HISTORY * 3:
            await memory(messages=[message])
        assert await memory(messages=HISTORY, clear=True) == await new(messages=HISTORY)
        assert (await memory(clear=True))["output"] == {"memories": []}


@pytest.mark.anyio
@every_kind
async def test_agents_share_it(kind: str) -> None:
    """Each sees what was said to all; a history that came from a memory is one that a model takes."""
    one, two = ScriptedModel([text("Noted.")]), ScriptedModel([text("It is 7.")])
    async with ActorSystem("test") as system:
        memory = await system.spawn(KINDS[kind]())
        await memory(messages=HISTORY)
        first = await system.spawn(Agent.spec(model=one, memory=memory), name="one")
        second = await system.spawn(Agent.spec(model=two, memory=memory), name="two")
        assert (await first(content="Mine is 7."))["status"] == "success"
        assert (await second(content="What is mine?"))["status"] == "success"
    asked = two.requests[0].messages
    assert [message.content for message in asked[-3:]] == ["Mine is 7.", "Noted.", "What is mine?"]
    assert all(isinstance(message, Message) for message in asked)
