"""Rule 1: one message at a time, in order for each sender, at most once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import Actor, ActorSystem, Directive, Mailbox, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=1000, backoff=None)


class Lonely(Actor):
    """Notices whether it is ever in two handlers at once; what it saw survives restarts."""

    inside = 0
    most = 0
    seen: list[Any]

    async def receive(self, message: Any) -> Any:
        cls = type(self)
        cls.inside += 1
        cls.most = max(cls.most, cls.inside)
        try:
            if message == "crash":
                raise LookupError
            if message == "leave":
                self.context.stop()
                return None
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            cls.seen.append(message)
            return message
        finally:
            cls.inside -= 1

    async def stream(self, message: Any) -> AsyncGenerator[Any, None]:
        yield await self.receive(message)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Lonely.inside = Lonely.most = 0
    Lonely.seen = []


async def test_rule_01_messages_of_one_sender_arrive_in_order() -> None:
    """A thousand tells are handled in the order in which they were sent, whether the handler waits or not."""

    class Collector(Actor):
        def __init__(self) -> None:
            self.got: list[int] = []

        async def receive(self, message: int | None) -> list[int]:
            if message is not None:
                if message % 7 == 0:
                    await anyio.lowlevel.checkpoint()
                self.got.append(message)
            return self.got

    async with ActorSystem() as system:
        ref = await system.spawn(Collector)
        for number in range(1000):
            await ref.tell(number)
        assert await ref.ask(None) == list(range(1000))


async def test_rule_01_order_holds_across_tell_ask_and_a_full_mailbox() -> None:
    """Blocked senders get in, in the order in which they came, and before whoever comes later."""
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Lonely.spec().with_options(mailbox=Mailbox(capacity=1)))

        async def ask(number: int) -> None:
            assert await ref.ask(number) == number

        for number in range(20):
            group.start_soon(ref.tell if number % 2 else ask, number)
            await anyio.lowlevel.checkpoint()  # each task sends before the next one starts
    assert Lonely.seen == list(range(20))


async def test_rule_01_one_message_at_a_time() -> None:
    """However many senders there are, and however they send, no two handlers of an actor run at once."""
    async with ActorSystem() as system:
        ref = await system.spawn(Lonely)

        async def ask(number: int) -> None:
            assert await ref.ask(number) == number

        async def read(number: int) -> None:
            async with ref.stream(number) as items:
                assert [item async for item in items] == [number]

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon((ref.tell, ask, read)[number % 3], number)
        await ref.ask("last")
    assert Lonely.most == 1
    assert sorted(Lonely.seen[:-1]) == list(range(30))


@pytest.mark.parametrize("ending", ["crash", "leave"])
async def test_rule_01_one_message_at_a_time_across_restarts(ending: str) -> None:
    """A crash, or a wish to stop, between queued messages starts no second hand beside the first."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Lonely)
        for number in range(10):
            for message in (ending, number, f"{number} again"):
                await ref.tell(message)
        assert await ref.ask("last") == "last"
    assert Lonely.most == 1
    assert Lonely.seen == [*(seen for number in range(10) for seen in (number, f"{number} again")), "last"]


async def test_rule_01_one_message_at_a_time_after_a_resume() -> None:
    """The same when the supervisor says that the actor shall go on."""
    resume = Supervisor(decider=lambda _: Directive.RESUME)
    async with ActorSystem(supervisor=resume) as system:
        ref = await system.spawn(Lonely)
        for number in range(10):
            await ref.tell("crash")
            await ref.tell(number)
        await ref.ask("last")
    assert Lonely.most == 1
    assert Lonely.seen == [*range(10), "last"]


async def test_rule_01_one_message_at_a_time_after_a_pause() -> None:
    """Suspending and resuming before the run queue comes round leaves the actor in it once."""
    async with ActorSystem() as system:
        ref = await system.spawn(Lonely)
        for number in range(10):
            await ref.tell(number)
            await ref.suspend()
            await ref.resume()
            await ref.tell(f"{number} again")
        await ref.ask("last")
    assert Lonely.most == 1
    assert len(Lonely.seen) == 21


async def test_rule_01_a_message_is_handled_at_most_once() -> None:
    """A message during which the handler failed is not handled again."""

    class Once(Actor):
        handled: dict[int, int]

        async def receive(self, message: int) -> None:
            Once.handled[message] = Once.handled.get(message, 0) + 1
            await anyio.lowlevel.checkpoint()
            if message % 3 == 0:
                raise LookupError

    Once.handled = {}
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Once)
        for number in range(1, 30):
            await ref.tell(number)
        with pytest.raises(ActorFailed):
            await ref.ask(30)
    assert Once.handled == dict.fromkeys(range(1, 31), 1)


async def test_rule_01_a_waiting_handler_holds_up_nobody_else() -> None:
    """Other actors work while one waits, including one that waits on it in turn."""
    entered, release = anyio.Event(), anyio.Event()

    class Waiter(Actor):
        async def receive(self, message: str) -> str:
            entered.set()
            await release.wait()
            return message

    async with ActorSystem() as system, anyio.create_task_group() as group:
        waiter, other = await system.spawn(Waiter), await system.spawn(Lonely)

        async def ask() -> None:
            assert await waiter.ask("slow") == "slow"

        group.start_soon(ask)
        await entered.wait()
        assert [await other.ask(number) for number in range(100)] == list(range(100))
        release.set()


async def test_rule_01_a_busy_actor_lets_the_loop_breathe() -> None:
    """A mailbox full of messages whose handlers never wait does not keep other tasks from running."""

    class Busy(Actor):
        async def receive(self, message: Any) -> None:
            if not done:
                self.context.ref.tell_nowait(message)

    done = False
    async with ActorSystem() as system:
        ref = await system.spawn(Busy)
        await ref.tell("again")
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        done = True


async def test_rule_01_two_thousand_actors_under_load_keep_order() -> None:
    """Each of 2,000 actors gets the messages of each of two senders in order, and all of them once."""

    class Keeper(Actor):
        def __init__(self) -> None:
            self.last = {"one": -1, "two": -1}

        async def receive(self, message: tuple[str, int]) -> dict[str, int]:
            sender, number = message
            if number % 5 == 0:
                await anyio.lowlevel.checkpoint()
            if number >= 0:
                assert number == self.last[sender] + 1
                self.last[sender] = number
            return self.last

    async with ActorSystem(supervisor=Supervisor(max_restarts=0)) as system:
        refs = [await system.spawn(Keeper) for _ in range(2000)]

        async def send(sender: str) -> None:
            for number in range(10):
                for ref in refs:
                    await ref.tell((sender, number))
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(send, "one")
            group.start_soon(send, "two")
        asks = [ref.ask(("one", -1)) for ref in refs]
        assert all([await ask == {"one": 9, "two": 9} for ask in asks])
