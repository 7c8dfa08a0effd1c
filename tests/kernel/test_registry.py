"""Registered names and groups (rule 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, NameTaken, UnknownActor
from tinyllm_actors.kernel import Actor, ActorSystem, Mailbox, Overflow, Supervisor
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Keeper(Actor):
    """Keeps its messages; holds the first one until the gate opens."""

    def __init__(self, gate: anyio.Event | None = None) -> None:
        self.gate = gate
        self.kept: list[Any] = []

    async def receive(self, message: Any) -> list[Any]:
        if self.gate is not None:
            await self.gate.wait()
        if message is not None:
            self.kept.append(message)
        return self.kept


async def kept(ref: ActorRef) -> list[Any]:
    """Return what a keeper has, after all it was told."""
    return await ref.ask(None)


async def until_busy(*refs: ActorRef) -> None:
    """Wait until each of these actors holds a message."""
    while any(ref.cell.current is None for ref in refs):
        await anyio.lowlevel.checkpoint()


async def test_rule_19_a_registered_name_leads_to_its_actor() -> None:
    """A name is found by look-up, index, `get` and `in`, and is listed."""
    async with ActorSystem() as system:
        clerk = await system.spawn(Keeper)
        registry = system.registry
        registry.register("clerk", clerk)
        registry.register("clerk", clerk)
        registry.register("scribe", clerk)
        assert registry.lookup("clerk") == registry["clerk"] == registry.get("clerk") == clerk
        assert "clerk" in registry
        assert list(registry) == registry.names_of(clerk) == ["clerk", "scribe"]
        assert len(registry) == 2


async def test_rule_19_an_unknown_name_is_an_error_that_names_it() -> None:
    """`lookup` raises `UnknownActor` (a `LookupError`), `get` returns None."""
    async with ActorSystem() as system:
        with pytest.raises(UnknownActor, match="'nobody'"):
            system.registry.lookup("nobody")
        assert system.registry.get("nobody") is None
        assert system.registry.unregister("nobody") is False


async def test_rule_19_a_name_belongs_to_one_actor() -> None:
    """A second actor is refused with the name and its owner, until the first gives it up."""
    async with ActorSystem() as system:
        first, second = await system.spawn(Keeper, name="first"), await system.spawn(Keeper)
        system.registry.register("clerk", first)
        with pytest.raises(NameTaken, match=r"'clerk'.*'first'") as caught:
            system.registry.register("clerk", second)
        assert caught.value.owner == "first"
        assert system.registry.unregister("clerk") is True
        system.registry.register("clerk", second)
        await first.stop()
        assert system.registry["clerk"] == second


async def test_rule_19_a_name_is_free_after_the_final_stop() -> None:
    """A restart keeps the name; the final stop frees all names of the actor."""
    async with ActorSystem(supervisor=PATIENT) as system:
        clerk = await system.spawn(Puppet)
        for name in ("clerk", "scribe"):
            system.registry.register(name, clerk)
        with pytest.raises(ActorFailed):
            await Puppet.do(clerk, lambda _: 1 / 0)
        assert len(system.registry) == 2
        await clerk.stop()
        assert list(system.registry) == []


async def test_rule_19_one_that_has_ended_cannot_be_registered() -> None:
    """It would keep the name for ever."""
    async with ActorSystem() as system:
        clerk = await system.spawn(Keeper)
        await clerk.stop()
        with pytest.raises(ActorStopped, match="'clerk'"):
            system.registry.register("clerk", clerk)
        with pytest.raises(ActorStopped, match="'news'"):
            system.group("news").join(clerk)


async def test_rule_19_a_message_to_a_group_reaches_each_member_once() -> None:
    """In the order of publishing, also to one that joined twice; nobody else gets it."""
    async with ActorSystem() as system:
        one, two, three = [await system.spawn(Keeper) for _ in range(3)]
        news = system.group("news")
        for ref in (one, two, one):
            news.join(ref)
        assert [await news.publish(number) for number in range(3)] == [2, 2, 2]
        assert await kept(one) == await kept(two) == [0, 1, 2]
        assert await kept(three) == []
        assert news.members() == [one, two]
        assert repr(news) == "<Group 'news' of 2>"


async def test_rule_19_members_leave_by_themselves_at_their_final_stop() -> None:
    """A group without members is gone; a handle to it works again when somebody joins."""
    async with ActorSystem() as system:
        one, two = await system.spawn(Keeper), await system.spawn(Keeper)
        news = system.group("news")
        news.join(one)
        await one.stop()
        assert len(news) == 0
        assert await news.publish("lost") == 0
        news.join(two)
        assert await system.group("news").publish("found") == 1
        assert news.leave(two) is True
        assert news.leave(two) is False
        assert await news.publish("lost") == 0
        assert await kept(two) == ["found"]


async def test_rule_19_a_full_member_delays_only_the_publisher() -> None:
    """Members with room have the message at once, while the publisher waits for the one that is full."""
    async with ActorSystem() as system:
        gate = anyio.Event()
        slow = await system.spawn(Keeper.spec(gate).with_options(mailbox=Mailbox(capacity=1)))
        quick = await system.spawn(Keeper)
        news = system.group("news")
        news.join(slow)
        news.join(quick)
        taken: list[int] = []

        async def publish() -> None:
            taken.append(await news.publish("third"))

        await news.publish("first")
        await until_busy(slow)
        await news.publish("second")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish)
            while await kept(quick) != ["first", "second", "third"]:
                await anyio.lowlevel.checkpoint()
            assert taken == []
            gate.set()
        assert taken == [2]
        assert await kept(slow) == ["first", "second", "third"]


@pytest.mark.virtual_time
async def test_rule_19_a_member_that_refuses_does_not_count_and_leaves_a_dead_letter() -> None:
    """A full mailbox that rejects makes a dead letter `"full"`, whether it refuses at once or after a while."""
    async with ActorSystem() as system:
        gate = anyio.Event()
        news = system.group("news")
        for mailbox in (Mailbox(capacity=1, overflow=Overflow.REJECT), Mailbox(capacity=1, block_timeout=0.01)):
            news.join(await system.spawn(Keeper.spec(gate).with_options(mailbox=mailbox)))
        await news.publish("in processing")
        await until_busy(*news.members())
        assert await news.publish("waiting") == 2
        assert await news.publish("too much") == 0
        assert [(letter.message, letter.reason) for letter in system.dead_letters] == [("too much", "full")] * 2
        assert news.publish_nowait("too much") == 0
        gate.set()


@pytest.mark.virtual_time
async def test_rule_19_a_cancelled_publisher_takes_back_what_is_not_sent() -> None:
    """Whoever has it has it; a member that was full does not get the message later."""
    async with ActorSystem() as system:
        gate = anyio.Event()
        full = [await system.spawn(Keeper.spec(gate).with_options(mailbox=Mailbox(capacity=1))) for _ in range(2)]
        news = system.group("news")
        for ref in full:
            news.join(ref)
        await news.publish("first")
        await until_busy(*full)
        await news.publish("second")
        with anyio.move_on_after(0.01):
            await news.publish("third")
        gate.set()
        for ref in full:
            assert await kept(ref) == ["first", "second"]


async def test_rule_19_publish_nowait_counts_who_took_it() -> None:
    """It waits for nobody."""
    async with ActorSystem() as system:
        news = system.group("news")
        refs = [await system.spawn(Keeper) for _ in range(2)]
        for ref in refs:
            news.join(ref)
        assert news.publish_nowait("now") == 2
        assert [await kept(ref) for ref in refs] == [["now"], ["now"]]
