"""Decisions of people about calls that wait: durable when they are acknowledged, and in nobody's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_lazy_agent import Slow
from tests.conversation.test_races import BACKENDS, until
from tests.conversation.test_runtime import answer_of
from tests.conversation.test_sleepers import DAY, run
from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.agent import ApprovalRequested
from tinyllm_actors.conversation import ApprovalDecided, MemoryStore
from tinyllm_actors.errors import ActorStopped, EntryRejected, UnknownApproval
from tinyllm_actors.testing import ScriptedModel, text, tool_calls

if TYPE_CHECKING:
    from tinyllm_actors.conversation import Conversation

pytestmark = pytest.mark.anyio

PAYMENTS = tool_calls(("pay", {"amount": 1}), ("pay", {"amount": 2}))


class Till:
    """A tool that a person must allow."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.pay = tool(name="pay", requires_approval=True)(self._pay)

    async def _pay(self, amount: int = 0) -> str:
        """Pay."""
        self.paid.append(amount)
        return "paid"


async def left_open() -> tuple[Till, MemoryStore, str]:
    """Return a till, the store of a conversation that waits for a decision asleep, and the name of the call."""
    till, store = Till(), MemoryStore()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[till.pay])
        [call_id] = await asked((await system.conversations(spec, store=store))["k"], "call pay", 1)
    Slow.anew()
    return till, store, call_id


async def asked(chat: Conversation, content: str, number: int) -> list[str]:
    """Say something, and return the names of the calls for which a person is asked then."""
    calls: list[str] = []
    async with chat.stream(content, turn_id="t") as events:
        async for event in events:
            if isinstance(event, ApprovalRequested):
                calls.append(event.request.call_id)
                if len(calls) == number:
                    break
    return calls


@pytest.mark.virtual_time
async def test_a_shutdown_does_not_wait_for_a_person() -> None:
    """A turn that only waits for a decision costs no grace, alone or in a conversation, and goes on in the next."""
    till, store = Till(), MemoryStore()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=ScriptedModel([PAYMENTS] * 2), tools=[till.pay])
        [first, _] = await asked((await system.conversations(spec, store=store))["k"], "Pay", 2)
        alone, waits = await system.spawn(spec), anyio.Event()

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                async with alone.stream(content="Pay") as events:
                    async for event in events:
                        if isinstance(event, ApprovalRequested):
                            waits.set()

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await waits.wait()
            await anyio.sleep(1.0)  # until it has asked for both, and waits
            start = system.now()
            await alone.stop()
            assert system.now() - start < 0.1
        start = anyio.current_time()
    assert anyio.current_time() - start < 0.1
    async with ActorSystem("b") as system:
        spec = Agent.spec(model=ScriptedModel([text("Done.")]), tools=[till.pay])
        chat = (await system.conversations(spec, store=store))["k"]
        for call in [first, (await asked(chat, "Pay", 2))[1]]:
            await chat.deny(call)
        assert answer_of(await chat("Pay", turn_id="t")) == "Done."
    assert till.paid == []


async def test_a_decision_out_of_order_outlives_the_process() -> None:
    """The second of two calls is allowed; the first is open when everything ends, and only it is asked again."""
    till, store = Till(), MemoryStore()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=ScriptedModel([PAYMENTS]), tools=[till.pay]).with_options(shutdown=0.0)
        chat = (await system.conversations(spec, store=store))["k"]
        first, second = await asked(chat, "Pay", 2)
        await chat.approve(second)
        assert [request.call_id for request in await chat.pending_approvals()] == [first]
        with pytest.raises(UnknownApproval):
            await chat.deny(second)
    async with ActorSystem("b") as system:
        spec = Agent.spec(model=ScriptedModel([text("Done.")]), tools=[till.pay])
        chat = (await system.conversations(spec, store=store))["k"]
        await chat.deny(first)
        assert answer_of(await chat("Pay", turn_id="t")) == "Done."
    assert till.paid == [2]
    made = [entry for record in store._rows["k"].records if isinstance(entry := record.entry(), ApprovalDecided)]  # pyright: ignore[reportPrivateUsage]
    assert [(entry.call_id, entry.approved) for entry in made] == [(second, True), (first, False)]


async def test_a_decision_is_durable_before_there_is_an_agent() -> None:
    """It waits for none that starts, holds nobody up meanwhile, and counts though the process ends before the run."""
    till, store, call_id = await left_open()
    async with ActorSystem("b") as system:
        slow = Slow.spec(model=Parrot(), tools=[till.pay]).with_options(shutdown=0.0)
        chats = await system.conversations(slow, store=store)
        await Slow.began.wait()
        await chats["k"].approve(call_id)
        assert await chats["k"].history()
        await chats.kill()
    assert till.paid == []
    async with ActorSystem("c") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[till.pay]), store=store)
        assert answer_of(await chats["k"]("call pay", turn_id="t")) == "re: call pay"
    assert till.paid == [0]


async def test_a_run_that_asks_later_finds_the_decision() -> None:
    """It was made while the agent started, so the run, which knows the journal of before, does not wait for it."""
    till, store, call_id = await left_open()
    async with ActorSystem("b") as system:
        chats = await system.conversations(Slow.spec(model=Parrot(), tools=[till.pay]), store=store)
        await Slow.began.wait()
        await chats["k"].approve(call_id)
        Slow.gate.set()
        assert answer_of(await chats["k"]("call pay", turn_id="t")) == "re: call pay"
    assert till.paid == [0]


async def test_a_decision_is_being_stored_when_the_run_begins() -> None:
    """Neither what the journal says yet, nor that the asker leaves, hides it from the run, which asks later."""
    till = Till()
    store: Any = MemoryStore()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=ScriptedModel([PAYMENTS]), tools=[till.pay]).with_options(shutdown=0.0)
        chat = (await system.conversations(spec, store=store))["k"]
        first, second = await asked(chat, "Pay", 2)
        await chat.approve(first)  # so the next run makes this call before it asks
    Slow.anew()
    async with ActorSystem("b") as system:
        spec = Slow.spec(model=ScriptedModel([text("Done.")]), tools=[till.pay])
        chats = await system.conversations(spec, store=store)
        await Slow.began.wait()
        disk, calls = store.stall(), store.calls["append"]
        async with anyio.create_task_group() as group:
            group.start_soon(chats["k"].approve, second)
            await until(lambda: store.calls["append"] > calls)
            Slow.gate.set()
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        disk.set()
        assert answer_of(await chats["k"]("Pay", turn_id="t")) == "Done."
    assert till.paid == [1, 2]


async def test_a_decision_that_cannot_be_stored_is_none() -> None:
    """Whoever made it is told, and may decide again."""
    till = Till()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[till.pay])
        chat = (await system.conversations(spec, store="memory:"))["k"]
        [call_id] = await asked(chat, "call pay", 1)
        with pytest.raises(EntryRejected):
            await chat.deny(call_id, "\ud800")
        assert len(await chat.pending_approvals()) == 1
        await chat.approve(call_id)
        assert answer_of(await chat("call pay", turn_id="t")) == "re: call pay"
    assert till.paid == [0]


@BACKENDS
def test_each_question_expires_asleep(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the one that is left when another was decided; then the turn ends, and no timer is left."""
    till, model = Till(), ScriptedModel([PAYMENTS, text("One.")])

    async def main() -> None:
        async with ActorSystem("test") as system:
            spec = Agent.spec(model=model, tools=[till.pay], approval_timeout=DAY)
            chats = await system.conversations(spec, store="memory:", idle=60.0)
            first, _ = await asked(chats["k"], "Pay", 2)
            await chats["k"].approve(first)
            await anyio.sleep(DAY / 2)
            assert not chats.table.entries
            await anyio.sleep(DAY / 2 + 300)
            assert len(model.requests) == 2
            assert till.paid == [1]
            assert (await chats.stats()).timers == 0

    run(backend, main, monkeypatch)


async def test_an_expiry_and_a_decision_do_not_both_count() -> None:
    """What came first is what the run does and the journal says; whoever was later is told."""
    till = Till()
    store: Any = MemoryStore()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[till.pay], approval_timeout=0.05)
        chats = await system.conversations(spec, store=store)
        chat = chats["k"]
        [call_id] = await asked(chat, "call pay", 1)
        disk = store.stall()
        await until(lambda: store.calls["append"] == 3)  # the run denies it
        async with anyio.create_task_group() as group:

            async def decide() -> None:
                with pytest.raises(UnknownApproval):
                    await chat.approve(call_id)

            group.start_soon(decide)
            await anyio.wait_all_tasks_blocked()
            disk.set()
        assert answer_of(await chat("call pay", turn_id="t")) == "re: call pay"
    assert till.paid == []
