"""Conversations at work: turns, restarts, passivation, quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.agent import ApprovalRequested, TextDelta, ToolFinished, ToolStarted
from tinyllm_actors.conversation import (
    INTERRUPTED,
    Compaction,
    MemoryStore,
    RunFinished,
    StreamRestarted,
    TurnAccepted,
    TurnStarted,
)
from tinyllm_actors.errors import ConversationBusy, ConversationQuarantined, UnknownApproval, UnknownTurn
from tinyllm_actors.llm import LLM, AssistantMessage, ToolMessage, UserMessage
from tinyllm_actors.testing import ScriptedModel, VirtualClock, fail, hang, text, tool_call, tool_calls
from tinyllm_actors.tool import ToolContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function import Failure, Result

pytestmark = pytest.mark.anyio


def answer_of(result: Any) -> str:
    """Return the text of a success."""
    assert result["status"] == "success", result
    return result["output"]["response"]["choices"][0]["message"]["content"]


def failed(result: Result) -> Failure:
    """Return what is a failure."""
    assert result["status"] == "error", result
    return result


def said(messages: Sequence[Any]) -> list[Any]:
    """Return what messages say."""
    return [message.content for message in messages]


class Gate:
    """Tools that count their calls and end when the test says so."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.began = anyio.Event()
        self.calls = 0
        self.keys: list[str] = []

    @tool
    async def slow(self) -> str:
        """Take a while."""
        self.calls += 1
        self.began.set()
        await self.open.wait()
        return "done"

    @tool(idempotent=True)
    async def again(self, context: ToolContext) -> str:
        """Take a while, and do no harm twice."""
        self.calls += 1
        self.keys.append(context.idempotency_key)
        self.began.set()
        await self.open.wait()
        return "done again"

    @tool
    async def quick(self) -> str:
        """Answer at once."""
        self.calls += 1
        return "quick result"


async def test_a_resent_turn_is_the_same_turn() -> None:
    """During and after it, in this process and the next, the model is asked once; other turns are their own."""
    gate, store = Gate(), MemoryStore()
    model = ScriptedModel([tool_call("slow"), text("One."), text("Two.")])
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.slow]), store=store)
        results: list[Any] = []

        async def send() -> None:
            results.append(await chats["k"]("1?", turn_id="t1"))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            group.start_soon(send)
            await gate.began.wait()
            group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
        assert [answer_of(result) for result in results] == ["One."] * 3
        assert answer_of(await chats["k"]("1?", turn_id="t1")) == "One."
        assert answer_of(await chats["k"]("2?", turn_id="t2")) == "Two."
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=store)
        assert answer_of(await chats["k"]("1?", turn_id="t1")) == "One."
        assert said(await chats["k"].history())[0::2] == ["1?", "done", "2?"]
    assert gate.calls == 1


async def test_conversations_do_not_know_of_each_other() -> None:
    """Each key has its own history, and they go on side by side."""
    model = ScriptedModel([text("A."), text("B.")])
    async with ActorSystem("test") as system:
        chats = await system.conversations(Agent.spec(model=model), store="memory:")
        await chats["user/a"]("a?")
        await chats["user/b"]("b?")
        assert said(await chats["user/a"].history()) == ["a?", "A."]
        assert said(await chats["user/b"].history()) == ["b?", "B."]
        assert [summary.key for summary in await chats.list("user/")] == ["user/a", "user/b"]


async def test_turns_wait_in_order_and_in_bounds() -> None:
    """What is sent during a turn comes after it; more than may wait is refused with a typed error."""
    gate = Gate()
    model = ScriptedModel([tool_call("slow"), text("1."), text("2.")])
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=model, tools=[gate.slow])
        chats = await system.conversations(spec, store="memory:", max_queued=1)
        chat = chats["k"]
        async with anyio.create_task_group() as group:
            group.start_soon(chat, "1?")
            await gate.began.wait()
            group.start_soon(chat, "2?")
            await anyio.wait_all_tasks_blocked()
            assert failed(await chat("3?"))["error"]["type"] == "ConversationBusy"
            with pytest.raises(ConversationBusy, match="'k'"):
                async with chat.stream("4?"):
                    pass
            gate.open.set()
        assert said(await chat.history()) == ["1?", None, "done", "1.", "2?", "2."]


async def test_a_stream_tells_the_turn_and_can_be_attached_to() -> None:
    """Whoever leaves and comes back from the last event seen misses none and sees none twice."""
    gate = Gate()
    model = ScriptedModel([tool_call("slow"), text("All is done now.")])
    async with ActorSystem("test") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.slow]), store="memory:")
        chat = chats["k"]
        first: list[Any] = []
        async with chat.stream("Go", turn_id="t") as events:
            async for event in events:
                first.append(event)
                if isinstance(event, ToolStarted):
                    break
            seen = events.seen
        assert isinstance(first[0], TurnAccepted)
        assert seen == len(first)
        gate.open.set()
        async with chat.stream(turn_id="t", after=seen) as events:
            rest = [event async for event in events]
        async with chat.stream(turn_id="t") as events:
            whole = [event async for event in events]
        assert first + rest == whole
        assert "".join(event.text for event in whole if isinstance(event, TextDelta)) == "All is done now."
        assert isinstance(whole[-1], RunFinished)
        async with chat.stream(turn_id="t", after=len(whole)) as events:
            assert [type(event) async for event in events] == [RunFinished]
        with pytest.raises(UnknownTurn, match="'nope'"):
            async with chat.stream(turn_id="nope"):
                pass
        with pytest.raises(UnknownTurn, match="no turn in progress"):
            async with chat.stream():
                pass


@pytest.mark.parametrize("tool_name", ["slow", "again"])
async def test_a_turn_goes_on_after_the_process(tool_name: str) -> None:
    """Finished calls are not made again; one without a result only if it is idempotent, with the same key."""
    gate, store = Gate(), MemoryStore()
    tools = [gate.slow, gate.again, gate.quick]
    model = ScriptedModel([tool_calls(("quick", {}), (tool_name, {}))])
    async with ActorSystem("a", shutdown_timeout=1.0) as system:
        spec = Agent.spec(model=model, tools=tools).with_options(shutdown=0.0)
        chats = await system.conversations(spec, store=store)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: chats["k"]("Go", turn_id="t"))
            await gate.began.wait()
            await anyio.wait_all_tasks_blocked()
            await chats.kill()
            group.cancel_scope.cancel()
    assert gate.calls == 2
    gate.open.set()
    model = ScriptedModel([text("So be it.")])
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=tools), store=store)
        assert answer_of(await chats["k"]("Go", turn_id="t")) == "So be it."
    results = [message.content for message in model.requests[0].messages if isinstance(message, ToolMessage)]
    if tool_name == "again":
        assert (results, gate.calls) == (["quick result", "done again"], 3)
        assert gate.keys[0] == gate.keys[1] != ""
    else:
        assert (results, gate.calls) == (["quick result", INTERRUPTED], 2)


async def test_what_came_before_a_crash_is_remembered_in_order() -> None:
    """Rounds that were whole, and results out of order, are shown to the model as they would have been."""
    gate, store = Gate(), MemoryStore()
    tools = [gate.slow, gate.quick]
    model = ScriptedModel([tool_call("quick"), tool_calls(("slow", {}), ("quick", {}))])
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=model, tools=tools).with_options(shutdown=0.0)
        chats = await system.conversations(spec, store=store)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: chats["k"]("1?", turn_id="t"))
            await gate.began.wait()
            await anyio.wait_all_tasks_blocked()
            await chats.kill()
            group.cancel_scope.cancel()
    model = ScriptedModel([text("1."), text("2.")])
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=tools), store=store)
        await chats["k"]("1?", turn_id="t")
        await chats["k"]("2?")
        expected = ["1?", None, "quick result", None, INTERRUPTED, "quick result"]
        assert said(model.requests[0].messages[1:]) == expected
        assert said(model.requests[1].messages[1:]) == [*expected, "1.", "2?"]


async def test_open_turns_go_on_though_nobody_asks() -> None:
    """What was acknowledged is answered at the next start."""
    store = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(
            Agent.spec(model=ScriptedModel([hang()])).with_options(shutdown=0.0), store=store
        )
        async with chats["k"].stream("Hello?", turn_id="t") as events:
            assert isinstance(await events.receive(), TurnAccepted)
            await events.receive()
        await chats.kill()
    model = ScriptedModel([text("Good morning.")])
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=model), store=store)
        while not model.requests:
            await anyio.lowlevel.checkpoint()
        assert answer_of(await chats["k"]("Hello?", turn_id="t")) == "Good morning."


async def test_an_answer_that_was_paid_for_is_not_asked_for_again() -> None:
    """A process that ends between the answer and the end of the turn leaves an answer."""
    store = MemoryStore()
    async with ActorSystem("a") as system:
        model = ScriptedModel([text("Paid.")])
        chats = await system.conversations(Agent.spec(model=model), store=store)
        assert answer_of(await chats["k"]("?", turn_id="t")) == "Paid."
    async with store:
        [*kept, last] = await store.page("k")
        assert last.kind == "turn_ended"
        [grant] = await store.claim(["k"], "somebody")
        await store.cut(grant, kept[-1].sequence)
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=store)
        assert answer_of(await chats["k"]("?", turn_id="t")) == "Paid."


async def test_a_crash_in_the_middle_restarts_the_conversation_only() -> None:
    """The reader is told, the caller gets the answer, and the others do not notice."""
    gate = Gate()
    model = ScriptedModel([tool_call("slow"), text("After all.")])
    async with ActorSystem("test") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.slow]), store="memory:")
        chat = chats["k"]
        kinds: list[Any] = []
        async with chat.stream("Go", turn_id="t") as events:
            async for event in events:
                kinds.append(type(event))
                if isinstance(event, ToolStarted):
                    gate.open.set()
                    await system["conversations/k/agent"].kill()
        assert StreamRestarted in kinds
        assert kinds[-1] is RunFinished
        assert said(await chat.history())[-1] == "After all."


async def test_a_conversation_in_a_crash_loop_is_quarantined() -> None:
    """After so many failures it says why, others go on, and a release lets it start again."""
    broken = True

    class Broken(Agent):
        async def started(self) -> None:
            if broken:
                raise RuntimeError("no disk")
            await super().started()

    model = ScriptedModel([text("Here."), text("Mended.")])
    async with ActorSystem("test") as system:
        chats = await system.conversations(Broken.spec(model=model), store="memory:", max_failures=1)
        bad = chats["bad"]
        first = await bad("Hello?", turn_id="t")
        assert "no disk" in str(failed(first)["message"])
        second = await bad("Hello?", turn_id="t")
        assert second["status"] == "error"
        third = await bad("Hello?", turn_id="t")
        assert failed(third)["error"]["type"] == "ConversationQuarantined"
        [quarantine] = await chats.quarantined()
        assert (quarantine.key, "no disk" in str(quarantine.cause)) == ("bad", True)
        with pytest.raises(ConversationQuarantined, match="no disk"):
            await bad.history()
        broken = False
        assert answer_of(await chats["good"]("Hello?")) == "Here."
        assert await bad.release()
        assert not await bad.release()
        assert answer_of(await bad("Hello?", turn_id="t")) == "Mended."


async def test_cancelling_a_turn() -> None:
    """The turn in progress ends with an error that says so, one that waits without having been begun."""
    gate, store = Gate(), MemoryStore()
    model = ScriptedModel([tool_call("slow"), text("Fine.")])
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.slow]), store=store)
        chat = chats["k"]
        results: dict[str, Any] = {}

        async def send(turn_id: str) -> None:
            results[turn_id] = await chat(turn_id, turn_id=turn_id)

        async with anyio.create_task_group() as group:
            group.start_soon(send, "t1")
            await gate.began.wait()
            group.start_soon(send, "t2")
            await anyio.wait_all_tasks_blocked()
            assert await chat.cancel("changed my mind", turn_id="t2")
            assert not await chat.cancel(turn_id="t3")
            assert await chat.cancel("enough")
        assert [results[turn]["error"]["type"] for turn in ("t1", "t2")] == ["RunCancelled"] * 2
        assert results["t1"]["message"] == "enough"
        assert not await chat.cancel()
        assert answer_of(await chat("Well?")) == "Fine."
        assert said(await chat.history()) == ["t1", None, INTERRUPTED, "Well?", "Fine."]
        assert failed(await chat("t1", turn_id="t1"))["message"] == "enough"


async def test_talking_into_a_turn() -> None:
    """What is injected is heard in the same turn and is in the history of the next process."""
    gate, store = Gate(), MemoryStore()
    model = ScriptedModel([tool_call("slow"), text("Both.")])
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.slow]), store=store)
        chat = chats["k"]
        assert not await chat.inject("nobody listens")
        async with chat.stream("1?") as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    assert await chat.inject("and 2?")
                    gate.open.set()
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=store)
        assert said(await chats["k"].history()) == ["1?", None, "done", "and 2?", "Both."]


async def test_an_approval_survives_the_process() -> None:
    """A call that waits for a person waits in the next process too, and is made once."""
    gate, store = Gate(), MemoryStore()
    paid: list[int] = []

    @tool(requires_approval=True)
    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return f"paid {amount}"

    tools = [pay, gate.quick]
    model = ScriptedModel([tool_calls(("quick", {}), ("pay", {"amount": 5}))])
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=model, tools=tools).with_options(shutdown=0.0)
        chats = await system.conversations(spec, store=store)
        async with chats["k"].stream("Pay", turn_id="t") as events:
            async for event in events:
                if isinstance(event, ToolFinished):
                    break
                assert not isinstance(event, RunFinished)
        await anyio.wait_all_tasks_blocked()
    model = ScriptedModel([text("Paid four.")])
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=tools), store=store)
        chat = chats["k"]
        with pytest.raises(UnknownApproval, match="call_9"):
            await chat.approve("call_9")
        await chat.approve("call_1_1", arguments='{"amount": 4}')
        assert answer_of(await chat("Pay", turn_id="t")) == "Paid four."
        assert not await chat.pending_approvals()
    assert (paid, gate.calls) == ([4], 1)


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_idle_conversations_leave_the_memory(backend: str) -> None:
    """After the idle time the actor is gone; the next message brings the conversation back as it was."""
    model = ScriptedModel([text("1."), text("2.")])

    async def main() -> None:
        async with ActorSystem("test") as system:
            chats = await system.conversations(Agent.spec(model=model), store="memory:", idle=60.0)
            await chats["k"]("1?")
            assert list(chats.table.entries) == ["k"]
            await anyio.sleep(61)
            assert not chats.table.entries
            assert answer_of(await chats["k"]("2?")) == "2."
            assert said(await chats["k"].history()) == ["1?", "1.", "2?", "2."]

    VirtualClock(backend).run(main)


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_turn_that_waits_for_a_person_leaves_the_memory(backend: str) -> None:
    """It may wait for days; a decision brings it back."""

    @tool(requires_approval=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    model = ScriptedModel([tool_call("pay"), text("Paid.")])

    async def main() -> None:
        async with ActorSystem("test") as system:
            chats = await system.conversations(Agent.spec(model=model, tools=[pay]), store="memory:", idle=60.0)
            chat = chats["k"]
            async with chat.stream("Pay", turn_id="t") as events:
                async for event in events:
                    if isinstance(event, ApprovalRequested):
                        break
            await anyio.sleep(80_000)
            assert not chats.table.entries
            await chat.approve("call_1_0")
            assert answer_of(await chat("Pay", turn_id="t")) == "Paid."

    VirtualClock(backend).run(main)


async def test_the_number_in_memory_is_bounded() -> None:
    """The one that was not used for the longest makes room; one in the middle of a turn stays, and who comes waits."""
    gate = Gate()
    model = ScriptedModel([text("a"), text("b"), text("a"), text("c"), tool_call("slow"), text("c"), text("d")])
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=model, tools=[gate.slow])
        chats = await system.conversations(spec, store="memory:", max_live=2)
        for key in ("a", "b", "a", "c"):
            await chats[key]("?")
        assert set(chats.table.entries) == {"a", "c"}
        async with anyio.create_task_group() as group:
            group.start_soon(chats["c"], "?")
            await gate.began.wait()
            group.start_soon(chats["d"], "?")
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
        assert set(chats.table.entries) == {"c", "d"}


async def test_fork_edit_and_regenerate() -> None:
    """A fork goes its own way; an edit and a second answer leave the first one in the journal."""
    model = ScriptedModel([text(str(n)) for n in range(1, 7)])
    async with ActorSystem("test") as system:
        chats = await system.conversations(Agent.spec(model=model), store="memory:")
        chat = chats["k"]
        await chat("a?")
        await chat("b?")
        (_, a), (b_id, _) = await chat.user_entries()
        assert a.content == "a?"
        fork = await chat.fork("fork", at=(await chat.page())[2].id)
        assert answer_of(await fork("c?")) == "3"
        assert said(await fork.history()) == ["a?", "1", "c?", "3"]
        assert answer_of(await chat.edit(b_id, "B?")) == "4"
        assert said(await chat.history()) == ["a?", "1", "B?", "4"]
        assert said(model.requests[-1].messages[1:]) == ["a?", "1", "B?"]
        assert answer_of(await chat.regenerate()) == "5"
        assert said(await chat.history()) == ["a?", "1", "B?", "5"]
        kept = [record.entry() for record in await chat.page()]
        assert [entry.content for entry in kept if isinstance(entry, TurnStarted)] == ["a?", "b?", "B?", "B?"]
        assert failed(await chat.edit("nope", "?"))["error"]["type"] == "UnknownTurn"
        assert answer_of(await chat("d?")) == "6"


async def test_timers_survive_the_process() -> None:
    """What was to be said later is said in the next process, once, and a repeated one is set anew."""
    store = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=store)
        chat = chats["k"]
        later = await chat.remind("Never.", after=1e6)
        assert await chat.cancel_timer(later)
        assert not await chat.cancel_timer(later)
        await chat.remind("Wake up.", after=3600, timer_id="once")
        await chat.remind("Drink.", after=7200, every=3600, timer_id="often")
        with pytest.raises(ValueError, match="one of after"):
            await chat.remind("?")
        await chat.remind("Wake up.", at=1.0, timer_id="once")
        await chats.kill()
    async with ActorSystem("b") as system:
        model = ScriptedModel([text("I am awake.")])
        chats = await system.conversations(Agent.spec(model=model), store=store)
        while not model.requests:
            await anyio.lowlevel.checkpoint()
        assert answer_of(await chats["k"]("?", turn_id="timer:once:1.0")) == "I am awake."
        assert [timer.timer_id for timer in await chats["k"].timers()] == ["often"]
    async with ActorSystem("c") as system:
        model = ScriptedModel([text("I drink.")])
        chats = await system.conversations(Agent.spec(model=model), store=store)
        await chats["k"].remind("Drink.", at=1.0, every=3600, timer_id="often")
        while not model.requests:
            await anyio.lowlevel.checkpoint()
        assert answer_of(await chats["k"]("?", turn_id="timer:often:1.0")) == "I drink."
        [timer] = await chats["k"].timers()
        assert (timer.due - 1.0) % 3600 == 0
        assert timer.due > 1e9


async def test_long_histories_are_made_short() -> None:
    """Old results are cleared first, then the oldest are summarised; the newest exchange and the journal stay whole."""
    big = "x" * 3000

    @tool
    async def fetch() -> str:
        """Fetch."""
        return big

    model = ScriptedModel([tool_call("fetch"), text("1."), text("2."), text("3. " + big), text("4.")])
    summariser = ScriptedModel([text("They fetched x."), text("They fetched x.")])
    store = MemoryStore()
    async with ActorSystem("a") as system:
        compaction = Compaction(max_tokens=800, target_tokens=400, summariser=LLM.spec(summariser))
        spec = Agent.spec(model=model, tools=[fetch])
        chats = await system.conversations(spec, store=store, compaction=compaction)
        chat = chats["k"]
        await chat("fetch")
        assert big in said(await chat.history())  # the newest exchange is never touched
        await chat("2?")
        await anyio.wait_all_tasks_blocked()  # the caller does not wait until the history is short
        cleared = said(await chat.history())
        assert big not in cleared
        assert cleared[-2:] == ["2?", "2."]
        await chat("3?")
        await chat("4?")
        await anyio.wait_all_tasks_blocked()
        history = await chat.history()
        assert "They fetched x." in str(history[0].content)
        assert said(history)[-2:] == ["4?", "4."]
        assert said(model.requests[-1].messages[1:])[-1] == "4?"
    async with store:
        kinds = {record.kind for record in await store.page("k", limit=1000)}
    assert {"compacted", "call_result"} <= kinds


async def test_a_summary_that_fails_costs_nothing() -> None:
    """The history stays as it was, and the turn is answered."""
    model = ScriptedModel([text("1." + "x" * 3000), text("2.")])
    summariser = ScriptedModel([fail(RuntimeError("no"))])
    async with ActorSystem("a") as system:
        compaction = Compaction(max_tokens=300, summariser=LLM.spec(summariser))
        chats = await system.conversations(Agent.spec(model=model), store="memory:", compaction=compaction)
        await chats["k"]("1?")
        assert answer_of(await chats["k"]("2?")) == "2."
        assert len(await chats["k"].history()) == 4
        assert not await chats["other"].compact()


async def test_snapshots_stand_for_what_was_before() -> None:
    """A conversation wakes up from its newest snapshot, and what is older can be pruned."""
    store = MemoryStore()
    model = ScriptedModel([text(str(n)) for n in range(8)])
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model), store=store, snapshot_every=6)
        for n in range(8):
            await chats["k"](f"{n}?", turn_id=f"t{n}")
        before = await chats["k"].history()
        assert await chats.prune(older_than=1e12) > 0
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=store)
        assert await chats["k"].history() == before
        assert answer_of(await chats["k"]("0?", turn_id="t0")) == "0"


async def test_deleting_leaves_nothing() -> None:
    """Store and memory forget it, also in the middle of a turn; the key begins anew."""
    gate, store = Gate(), MemoryStore()
    model = ScriptedModel([tool_call("slow"), text("New.")])
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.slow]), store=store)
        chat = chats["k"]
        async with chat.stream("Go") as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    break
        assert await chat.delete()
        assert not await chat.page()
        assert (await chats.stats()).entries == 0
        assert not await chat.delete()
        assert answer_of(await chat("Hello?")) == "New."
        assert said(await chat.history()) == ["Hello?", "New."]


async def test_an_operator_sees_a_conversation() -> None:
    """The report says what it does and what it has used."""
    gate = Gate()
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=ScriptedModel([tool_call("slow"), text("Done.")]), tools=[gate.slow])
        chats = await system.conversations(spec, store="memory:")
        chat = chats["k"]
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: chat("Go", turn_id="t"))
            await gate.began.wait()
            report = await chat.report()
            assert (report.key, report.turn_id, report.queued, report.epoch) == ("k", "t", 0, 1)
            gate.open.set()
        assert "conversations/k/agent" in system.inspect().render() or "agent" in system.inspect().render()
        assert repr(chat) == "<Conversation 'k'>"


@pytest.mark.virtual_time
async def test_a_call_has_a_time_out_and_the_turn_has_not() -> None:
    """The caller is told that it is late; the turn goes on and its answer is there later."""
    gate = Gate()
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=ScriptedModel([tool_call("slow"), text("Late.")]), tools=[gate.slow])
        chats = await system.conversations(spec, store="memory:")
        late = await chats["k"].within(0.01)("Go", turn_id="t")
        assert failed(late)["error"]["type"] == "AskTimeout"
        gate.open.set()
        assert answer_of(await chats["k"]("Go", turn_id="t")) == "Late."
        kinds: list[Any] = [type(message) for message in await chats["k"].history()]
        assert kinds == [UserMessage, AssistantMessage, ToolMessage, AssistantMessage]


async def test_settings_that_make_no_sense_are_refused() -> None:
    """The error names them."""
    async with ActorSystem("test") as system:
        with pytest.raises(TypeError, match="'idel'"):
            await system.conversations(Agent.spec(model=ScriptedModel([])), store="memory:", idel=3)  # pyright: ignore[reportCallIssue]
        with pytest.raises(ValueError, match="idle"):
            await system.conversations(Agent.spec(model=ScriptedModel([])), store="memory:", idle=0)
