"""A set of conversations under everything that can happen to it, against what must hold whatever happens."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.conversation.parrot import Parrot
from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.conversation import MemoryStore, TurnStarted, repair
from tinyllm_actors.errors import ActorError, OutcomeUnknown, StoreBusy, StoreUnavailable, SystemClosed, UnknownActor
from tinyllm_actors.tool import ToolContext

pytestmark = pytest.mark.anyio

KEYS = ("a", "b", "c", "d")
STEPS = 40
FAULTS = (StoreBusy, StoreUnavailable, OutcomeUnknown)
PASSING = {"ActorStopped", "SystemClosed", *(fault.__name__ for fault in FAULTS)}
OPERATIONS: tuple[Any, ...] = ("append", "claim", "load", "release")


class Model:
    """What is known from outside: what was sent, what was answered, and what the tools did.

    Attributes:
        sent: the content of each turn, by key and turn.
        answered: the results that callers got, by key and turn.
        ran: how often the tool that must not run twice did, by its key.
    """

    def __init__(self) -> None:
        self.sent: dict[tuple[str, str], str] = {}
        self.answered: dict[tuple[str, str], Any] = {}
        self.ran: dict[str, int] = {}

    @tool
    async def once(self, context: ToolContext) -> str:
        """Do what must not be done twice."""
        key = context.idempotency_key
        self.ran[key] = self.ran.get(key, 0) + 1
        for _ in range(int(key[:2], 16) % 6):
            await anyio.lowlevel.checkpoint()
        return "done"

    def told(self, key: str, turn_id: str, result: Any) -> None:
        """A caller got a result: of one turn there is only one, unless it says itself that it is none."""
        error = result.get("error")
        if error is not None and error["type"] != "RunCancelled":
            assert error["type"] in {
                "ActorStopped",
                "SystemClosed",
                "StoreBusy",
                "StoreUnavailable",
                "OutcomeUnknown",
            }, result
            return
        if error is not None and error["state"] == "QUEUED":
            return  # it was not begun, so it is no turn
        assert self.answered.setdefault((key, turn_id), result) == result
        if error is None:
            answer = result["output"]["response"]["choices"][0]["message"]["content"]
            assert answer == f"re: {self.sent[key, turn_id]}"


async def _storm(seed: int, store: MemoryStore, model: Model) -> None:  # noqa: C901 - all that can happen
    """Let one process live through some things, and end in the middle of them."""
    chance = random.Random(seed)

    async with anyio.create_task_group() as group, ActorSystem("storm", shutdown_timeout=2.0) as system:
        spec = Agent.spec(model=Parrot(), tools=[model.once]).with_options(shutdown=chance.choice([0.0, 0.01]))
        chats = await system.conversations(
            spec, store=store, max_live=2, max_failures=1000, patience=chance.choice([0.0, 1.0]), snapshot_every=7
        )

        async def send(key: str, turn_id: str) -> None:
            model.told(key, turn_id, await chats[key](model.sent[key, turn_id], turn_id=turn_id))

        async def kill(path: str) -> None:
            with contextlib.suppress(UnknownActor, SystemClosed):
                await system[path].kill()

        async def cancel(key: str) -> None:
            with contextlib.suppress(ActorError, SystemClosed, *FAULTS):
                await chats[key].cancel()

        for step in range(STEPS):
            key = chance.choice(KEYS)
            match chance.randrange(10):
                case 0 | 1 | 2 | 3:
                    turn_id = f"{seed}.{step}"
                    model.sent[key, turn_id] = chance.choice([f"say {turn_id}", f"call once {turn_id}"])
                    group.start_soon(send, key, turn_id)
                case 4 if model.sent:
                    group.start_soon(send, *chance.choice(list(model.sent)))
                case 5:
                    group.start_soon(kill, f"conversations/{key}")
                case 6:
                    group.start_soon(kill, f"conversations/{key}/agent")
                case 7:
                    group.start_soon(cancel, key)
                case 8:
                    error = chance.choice(FAULTS)("a fault")
                    lost = isinstance(error, OutcomeUnknown)
                    store.fail(chance.choice(OPERATIONS), error, after=lost)
                case _:
                    pass
            for _ in range(chance.randrange(25)):
                await anyio.lowlevel.checkpoint()
        if chance.random() < 0.5:
            await chats.kill()


@pytest.mark.parametrize("seed", [*range(6), 111, 183])
async def test_whatever_happens_what_was_promised_holds(seed: int) -> None:
    """Sends, resends, cancels, kills, passivation, faults and restarts: nothing lost, twice, or answered otherwise."""
    store, model = MemoryStore(), Model()
    for process in range(3):
        await _storm(seed * 10 + process, store, model)
    store._faults.clear()  # pyright: ignore[reportPrivateUsage]
    async with ActorSystem("after") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store)
        for (key, turn_id), content in model.sent.items():
            result = await chats[key](content, turn_id=turn_id)
            assert result["status"] == "success" or result["error"]["type"] == "RunCancelled", result
            model.told(key, turn_id, result)
        for key in KEYS:
            history = await chats[key].history()
            assert repair(history) == history
            entries = [record.entry() for record in await chats[key].page(limit=1000)]
            begun = [entry.turn_id for entry in entries if isinstance(entry, TurnStarted)]
            assert len(begun) == len(set(begun))
            assert set(begun) == {turn_id for of, turn_id in model.sent if of == key}
    assert not [key for key, times in model.ran.items() if times > 1]
