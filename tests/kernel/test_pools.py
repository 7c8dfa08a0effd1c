"""Pools and how they choose (rule 19)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, MailboxFull
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Backoff,
    Broadcast,
    ChildRestarted,
    ConsistentHash,
    DynamicSupervisor,
    LeastBusy,
    Mailbox,
    Overflow,
    Pool,
    PoolRef,
    Restart,
    RoundRobin,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tinyllm_actors.kernel import ActorRef

pytestmark = pytest.mark.anyio


class Member(Puppet):
    """Says its name, or does what it is told."""

    async def receive(self, message: Any) -> Any:
        return await super().receive(message) if callable(message) else self.context.name

    async def stream(self, message: int) -> AsyncGenerator[str, None]:
        for _ in range(message):
            yield self.context.name


class Plain(Actor):
    """Says its name from a plain handler, which may run in the asker's task."""

    def receive(self, message: object) -> str:
        return self.context.name


def boom(_: object) -> None:
    """Fail."""
    raise LookupError("broken")


async def hold(pool: PoolRef, gate: anyio.Event) -> None:
    """Let one member wait until the gate opens."""
    began = anyio.Event()

    async def wait(_: object) -> None:
        began.set()
        await gate.wait()

    await pool.tell(wait)
    await began.wait()


async def pool_of(system: ActorSystem, size: int, *routing: Any, **options: Any) -> PoolRef:
    """Start a pool of members called 1, 2, and so on."""
    return await system.spawn(Pool.spec(Member.spec().with_options(**options), size, *routing), name="pool")


async def test_rule_19_round_robin_takes_one_after_another() -> None:
    """Each member gets every n-th message, whatever the way it is sent and through whichever reference."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 3)
        again: PoolRef = system["pool"]
        assert [await ref.ask("?") for ref in (pool, again, pool, again)] == ["1", "2", "3", "1"]
        async with pool.stream(2) as items:
            assert [item async for item in items] == ["2", "2"]
        assert pool.pick().name == "3"
        assert [ref.name for ref in pool.members] == ["1", "2", "3"]


async def test_rule_19_a_pool_of_plain_handlers_answers_in_place() -> None:
    """Routing puts no task and no mailbox between asker and member."""
    async with ActorSystem() as system:
        pool = await system.spawn(Pool.spec(Plain.spec(), 2, RoundRobin()))
        assert [await pool.ask("?") for _ in range(4)] == ["1", "2", "1", "2"]


async def test_rule_19_round_robin_passes_over_who_is_not_ready() -> None:
    """A suspended or restarting member gets nothing while another is ready; without one, messages wait in turn."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 2)
        first, second = pool.members
        await first.suspend()
        assert [await pool.ask("?") for _ in range(3)] == ["2"] * 3
        await second.suspend()
        waiting = pool.ask("?")
        await first.resume()
        await second.resume()
        assert await waiting in {"1", "2"}


async def test_rule_19_least_busy_takes_the_one_with_the_fewest_messages() -> None:
    """The one in processing counts, and so does each that waits; equals take turns."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 3, LeastBusy())
        gate = anyio.Event()
        await hold(pool, gate)
        await hold(pool, gate)
        assert [await pool.ask("?") for _ in range(3)] == ["3"] * 3
        await hold(pool, gate)
        waiting = [pool.ask("?") for _ in range(3)]
        assert [node.depth for node in system.inspect("pool").children] == [1, 1, 1]
        gate.set()
        assert sorted([await ask for ask in waiting]) == ["1", "2", "3"]


async def test_rule_19_least_busy_avoids_who_is_not_ready() -> None:
    """A suspended member has the shortest queue and gets nothing for it."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 2, LeastBusy())
        await pool.members[0].suspend()
        assert [await pool.ask("?") for _ in range(3)] == ["2"] * 3


async def test_rule_19_consistent_hash_sends_a_key_to_the_same_member() -> None:
    """Text, bytes and numbers are keys; the choice is the same in another pool of the same names."""
    async with ActorSystem() as system:
        routing = ConsistentHash(key=str)
        pool = await pool_of(system, 5, routing)
        other = await system.spawn(Pool.spec(Member.spec(), 5, routing))
        owners = [await pool.ask(str(key)) for key in range(50)]
        assert [await pool.ask(str(key)) for key in range(50)] == owners
        assert [await other.ask(str(key)) for key in range(50)] == owners
        assert len(set(owners)) == 5


async def test_rule_19_only_the_keys_of_a_member_that_leaves_move() -> None:
    """And they are spread over those that are left."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 5, ConsistentHash(key=str))
        before = {key: await pool.ask(str(key)) for key in range(200)}
        await pool.members[2].stop()
        after = {key: await pool.ask(str(key)) for key in range(200)}
        moved = {key for key in before if before[key] != after[key]}
        assert moved == {key for key in before if before[key] == "3"}
        assert len({after[key] for key in moved}) > 1


async def test_rule_19_keys_are_spread_evenly() -> None:
    """With the default number of points no member of ten has more than 1.5 times its share."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 10, ConsistentHash(key=int))
        owners = Counter(pool.pick(key).name for key in range(10_000))
        assert max(owners.values()) < 1_500
        assert min(owners.values()) > 500


async def test_rule_19_broadcast_reaches_every_member() -> None:
    """A tell goes to all, an ask returns the answers of all in start order, a stream is refused with a remedy."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 3, Broadcast())
        called: list[str] = []

        def note(member: Member) -> str:
            called.append(member.context.name)
            return member.context.name * 2

        await pool.tell(note)
        assert pool.tell_nowait(note) is True
        assert await pool.ask(note) == ["11", "22", "33"]
        assert sorted(called) == ["1", "1", "1", "2", "2", "2", "3", "3", "3"]
        with pytest.raises(TypeError, match="'pool' broadcasts"):
            pool.stream(1)


async def test_rule_19_a_broadcast_ask_fails_with_the_first_failure_and_gives_up_the_rest() -> None:
    """The handlers of the others are cancelled, as their asker does not wait for them any more."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 3, Broadcast())
        ended: list[str] = []
        began: list[str] = []

        async def act(member: Member) -> None:
            began.append(member.context.name)
            if member.context.name == "1":
                while len(began) < 3:
                    await anyio.lowlevel.checkpoint()
                raise LookupError("broken")
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(member.context.name)

        with pytest.raises(ActorFailed, match="'pool/1'"):
            await pool.ask(act)
        assert await pool.ask("?") == ["1", "2", "3"]
        assert sorted(ended) == ["2", "3"]


async def test_rule_19_a_broadcast_tell_reaches_those_with_room() -> None:
    """A member that rejects is raised once all others have the message; a cancelled one is taken back."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 2, Broadcast(), mailbox=Mailbox(capacity=1, overflow=Overflow.REJECT))
        gate = anyio.Event()
        began: list[str] = []
        seen: list[str] = []

        async def wait(member: Member) -> None:
            began.append(member.context.name)
            if member.context.name == "1":
                await gate.wait()

        def see(member: Member) -> None:
            seen.append(member.context.name)

        await pool.tell(wait)
        while len(began) < 2:
            await anyio.lowlevel.checkpoint()
        await pool.members[0].tell(see)
        with pytest.raises(MailboxFull, match="'pool/1'"):
            await pool.tell(see)
        while not seen:
            await anyio.lowlevel.checkpoint()
        assert pool.tell_nowait(see) is False
        gate.set()
        while len(seen) < 3:
            await anyio.lowlevel.checkpoint()
        assert sorted(seen) == ["1", "2", "2"]


@pytest.mark.virtual_time
async def test_rule_19_a_cancelled_broadcast_tell_is_taken_back_where_it_waits() -> None:
    """The member that was full does not get it later."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 2, Broadcast(), mailbox=Mailbox(capacity=1))
        gate = anyio.Event()
        seen: list[str] = []

        async def wait(_: Member) -> None:
            await gate.wait()

        def first(member: Member) -> None:
            seen.append(f"first {member.context.name}")

        def second(_: Member) -> None:
            seen.append("second")

        await pool.tell(wait)
        while any(ref.cell.current is None for ref in pool.members):
            await anyio.lowlevel.checkpoint()
        await pool.tell(first)
        with anyio.move_on_after(0.01):
            await pool.tell(second)
        gate.set()
        for ref in pool.members:
            while ref.cell.mailbox or ref.cell.current is not None:
                await anyio.lowlevel.checkpoint()
        assert sorted(seen) == ["first 1", "first 2"]


async def test_rule_19_members_are_supervised() -> None:
    """A member that fails is restarted under the same reference; the others do not notice."""
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        spec = Pool.spec(Member.spec(), 2, supervisor=DynamicSupervisor(backoff=None))
        pool: PoolRef = await system.spawn(spec, name="pool")
        first, second = pool.members
        with pytest.raises(ActorFailed):
            await first.ask(boom)
        assert (await events.receive()).path == "pool/1"
        assert await Puppet.do(first, lambda self: self.context.incarnation) == 2
        assert await Puppet.do(second, lambda self: self.context.incarnation) == 1


@pytest.mark.virtual_time
async def test_rule_19_messages_wait_through_a_restart_of_the_whole_pool() -> None:
    """When the pool itself is restarted, references to it and to members stay valid and messages are kept."""
    async with ActorSystem(supervisor=Supervisor(backoff=Backoff(0.01, 0.01, jitter=0.0))) as system:
        spec = Pool.spec(Member.spec(), 2, supervisor=Supervisor(max_restarts=0))
        pool: PoolRef = await system.spawn(spec, name="pool")
        first = pool.members[0]
        with pytest.raises(ActorFailed):
            await first.ask(boom)
        answers = [await pool.ask("?") for _ in range(4)]
        assert sorted(answers) == ["1", "1", "2", "2"]
        assert pool.members[0] == first


async def test_rule_19_members_that_end_for_good_leave_the_pool() -> None:
    """Routing goes on among those that are left; without any, asks fail and tells become dead letters."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 2, restart=Restart.TEMPORARY)
        for ref in pool.members:
            with pytest.raises(ActorFailed):
                await ref.ask(boom)
            await ref.join()
        assert pool.members == []
        with pytest.raises(ActorStopped):
            await pool.ask("?")
        with pytest.raises(ActorStopped, match="no member"):
            pool.pick()
        await pool.tell("lost")
        assert pool.tell_nowait("lost too") is False
        assert [letter.message for letter in system.dead_letters] == ["lost", "lost too"]


async def test_rule_19_stopping_a_pool_stops_its_members() -> None:
    """What is asked afterwards fails with `ActorStopped`."""
    async with ActorSystem() as system:
        pool = await pool_of(system, 2)
        members: list[ActorRef] = pool.members
        await pool.stop()
        assert not any(ref.alive for ref in members)
        with pytest.raises(ActorStopped):
            await pool.ask("?")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pool.spec(Member.spec(), 0), "at least one member, not 0"),
        (lambda: ConsistentHash(key=str, points=0), "points must be at least 1, got 0"),
    ],
)
async def test_pools_refuse_numbers_that_make_no_sense(make: Callable[[], object], message: str) -> None:
    """The wrong value is named."""
    with pytest.raises(ValueError, match=message):
        make()
