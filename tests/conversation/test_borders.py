"""What comes into a conversation and what goes out of it: messages, names, whole results of tools."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_runtime import answer_of, failed, said
from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.conversation import CallResult, MemoryStore, TurnStarted, open_journal, thaw
from tinyllm_actors.errors import EntryRejected, MessageRejected
from tinyllm_actors.llm import TextPart

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("content", [5, None, b"text", {"role": "user"}, ["text"], [{"type": "smell"}], object()])
async def test_what_is_no_message_is_refused(content: Any) -> None:
    """It is told, with what it was, and nothing is stored: it could not be read back."""
    store = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store)
        chat = chats["k"]
        for told in (await chat(content), await chat(content=content), await chat.edit("e", content)):
            assert failed(told)["error"]["type"] == "MessageRejected"
            assert failed(told)["error"]["state"] == "ACCEPTANCE"
            assert repr(content)[:40] in failed(told)["message"]
        with pytest.raises(MessageRejected):
            await chat.inject(content)
        with pytest.raises(MessageRejected):
            await chat.remind(content, after=60)
        if content is not None:  # that is how to attach to a turn
            with pytest.raises(ValueError, match="list of parts") as caught:
                chat.stream(content)
            assert isinstance(caught.value, MessageRejected)
            assert cast("Any", caught.value).content is content
        assert not chats.table.entries
        assert store.calls.get("append", 0) == 0


async def test_what_is_said_may_be_parts() -> None:
    """As objects or in their wire form, they are stored as parts and come back as such."""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:")
        assert (await chats["k"]([TextPart("hello")]))["status"] == "success"
        wire: Any = [{"type": "text", "text": "again"}]
        assert (await chats["k"](wire))["status"] == "success"
        entries = [record.entry() for record in await chats["k"].page()]
        assert [entry.content for entry in entries if isinstance(entry, TurnStarted)] == [
            [TextPart("hello")],
            [TextPart("again")],
        ]


async def test_names_are_text() -> None:
    """A number as the name of a turn or a user is a mistake of the caller, told at once; nothing is stored."""
    number: Any = 42
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:")
        for call in (
            chats["k"]("?", turn_id=number),
            chats["k"]("?", name=number),
            chats["k"].edit("e", "?", turn_id=number),
        ):
            with pytest.raises(TypeError, match="42"):
                await call
        with pytest.raises(TypeError, match="42"):
            chats["k"].stream("?", turn_id=number)
        assert await chats["k"].history() == []


async def test_what_could_not_be_read_back_is_not_stored() -> None:
    """What has another type than its field would end the journal where it stands: refused, the rest goes on."""
    fields: Any = {"turn_id": "t", "content": 5}
    async with MemoryStore() as store, open_journal(store) as journal:
        [grant] = await store.claim(["k"], "me")
        with pytest.raises(EntryRejected, match="content"):
            await journal.append(grant, [TurnStarted(**fields)])
        await journal.append(grant, [TurnStarted(turn_id="t", content="5")])
        assert (await thaw(store, "k", "me")).state.open_turn() is not None


@tool(max_result_chars=100)
def long_text() -> str:
    """Say much."""
    return "word " * 1000


async def test_the_whole_result_of_a_tool_is_in_the_journal() -> None:
    """The model is shown an extract; whoever reads the journal finds all of it, in this process and the next."""
    store = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[long_text]), store=store)
        assert answer_of(await chats["k"]("call long_text")) == "re: call long_text"
        shown = said(await chats["k"].history())[2]
        assert len(shown) < 300
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[long_text]), store=store)
        assert said(await chats["k"].history())[2] == shown
        [result] = [e for e in (record.entry() for record in await chats["k"].page()) if isinstance(e, CallResult)]
        assert result.content == shown
        assert result.full == "word " * 1000
