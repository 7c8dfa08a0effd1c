"""Rule 9: who restarts with whom, in which order, and who never does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.parts import LOG, Part, at_once, crash, parts, restarts
from tinyllm_actors.errors import ActorFailed, ActorStopped, NameTaken, StartFailed
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ActorTerminated,
    ChildFailed,
    ChildOptions,
    ChildRestarted,
    Directive,
    DynamicSupervisor,
    ExitKind,
    Mailbox,
    Overflow,
    Restart,
    Strategy,
    Supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ExitReason


pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    LOG.clear()


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["-b", "+b"]),
        (Strategy.ONE_FOR_ALL, ["-c", "-b", "-a", "+a", "+b", "+c"]),
        (Strategy.REST_FOR_ONE, ["-c", "-b", "+b", "+c"]),
    ],
)
async def test_rule_09_siblings_stop_in_reverse_and_start_in_order(strategy: Strategy, expected: list[str]) -> None:
    """The strategy says who restarts; they stop last first and start first first, and keep their references."""
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        await system.supervise(at_once(strategy), parts("a", "b", "c"), name="s")
        assert LOG == ["+a", "+b", "+c"]
        LOG.clear()
        with pytest.raises(ActorFailed):
            await system["s/b"].ask(crash)
        await restarts(events, len(expected) // 2)
        assert expected == LOG
        incarnations = [await system[f"s/{name}"].ask("incarnation") for name in "abc"]
        assert incarnations == [1 + LOG.count(f"+{name}") for name in "abc"]


async def test_rule_09_one_for_one_leaves_siblings_alone() -> None:
    """A sibling in the middle of a message goes on with it while another one restarts."""
    entered, release = anyio.Event(), anyio.Event()

    async def wait(_: Part) -> str:
        entered.set()
        await release.wait()
        return "undisturbed"

    async with ActorSystem() as system, system.events(ChildRestarted) as events, anyio.create_task_group() as group:
        await system.supervise(at_once(Strategy.ONE_FOR_ONE), parts("a", "b"), name="s")

        async def ask() -> None:
            assert await system["s/a"].ask(wait) == "undisturbed"

        group.start_soon(ask)
        await entered.wait()
        await system["s/b"].tell(crash)
        assert await restarts(events, 1) == ["s/b"]
        release.set()


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_rule_09_temporary_children_are_never_restarted(strategy: Strategy) -> None:
    """A temporary child ends with its own failure, and with that of a sibling it depends on, for good."""
    specs = [*parts("a"), *parts("b", restart=Restart.TEMPORARY), *parts("c")]
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        await system.supervise(at_once(strategy), specs, name="s")
        b = system["s/b"]
        await system["s/a"].tell(crash)
        reason = await b.join()
        assert reason.kind is ExitKind.SHUTDOWN
        assert await restarts(events, 2) == ["s/a", "s/c"]
        assert LOG == ["+a", "+b", "+c", "-c", "-b", "-a", "+a", "+c"]
        with pytest.raises(ActorStopped):
            await b.ask("incarnation")


@pytest.mark.parametrize(
    ("restart", "how", "restarted"),
    [
        (Restart.PERMANENT, "leave", True),
        (Restart.PERMANENT, "crash", True),
        (Restart.TRANSIENT, "leave", False),
        (Restart.TRANSIENT, "crash", True),
        (Restart.TEMPORARY, "leave", False),
        (Restart.TEMPORARY, "crash", False),
    ],
)
async def test_rule_09_restart_types(restart: Restart, how: str, restarted: bool) -> None:
    """Permanent comes back always, transient after a failure only, temporary never."""

    async def leave(part: Part) -> None:
        part.context.stop()

    async with ActorSystem() as system, system.events(ChildRestarted, ActorTerminated) as events:
        await system.supervise(at_once(Strategy.ONE_FOR_ONE), parts("a", restart=restart), name="s")
        ref = system["s/a"]
        await ref.tell({"leave": leave, "crash": crash}[how])
        event = await events.receive()
        assert ref.alive is restarted
        if restarted:
            assert isinstance(event, ChildRestarted)
        else:
            assert isinstance(event, ActorTerminated)
            assert event.reason.kind is (ExitKind.NORMAL if how == "leave" else ExitKind.FAILED)


async def test_rule_09_a_stop_is_final_for_every_restart_type() -> None:
    """`ref.stop()` and `ref.kill()` are orders, after which not even a permanent child comes back."""
    async with ActorSystem() as system:
        await system.supervise(at_once(Strategy.ONE_FOR_ALL), parts("a", "b", "c"), name="s")
        a, b, c = (system[f"s/{name}"] for name in "abc")
        assert (await a.stop()).kind is ExitKind.STOPPED
        assert (await b.kill()).kind is ExitKind.KILLED
        assert await c.ask("incarnation") == 1


async def test_rule_09_a_new_failure_during_a_restart_takes_it_over() -> None:
    """While `c` is on its way back, a failure of `a` restarts all three, and nobody meets the one before him."""
    starting, go_on = anyio.Event(), anyio.Event()
    running: dict[str, int] = {}
    most = 0

    class Slow(Part):
        async def started(self) -> None:
            nonlocal most
            name = self.context.name
            running[name] = running.get(name, 0) + 1
            most = max(most, running[name])
            await super().started()
            if name == "c" and self.context.incarnation == 2:
                starting.set()
                await go_on.wait()

        async def stopped(self, reason: ExitReason) -> None:
            await anyio.lowlevel.checkpoint()
            await super().stopped(reason)
            running[self.context.name] -= 1

    specs = [Slow.spec().named(name) for name in "abc"]
    async with (
        ActorSystem() as system,
        system.events(ChildRestarted) as events,
        system.events(ChildFailed) as failures,
    ):
        await system.supervise(at_once(Strategy.REST_FOR_ONE), specs, name="s")
        await system["s/c"].tell(crash)
        await starting.wait()
        await system["s/a"].tell(crash)
        assert [(await failures.receive()).path for _ in range(2)] == ["s/c", "s/a"]
        go_on.set()
        assert await restarts(events, 3) == ["s/a", "s/b", "s/c"]
        assert most == 1
        assert running == {"a": 1, "b": 1, "c": 1}


async def test_rule_09_a_start_that_fails_leaves_nobody_waiting() -> None:
    """When one of several siblings cannot start again and is stopped for it, those after it start all the same."""
    broken = False

    class Fragile(Part):
        async def started(self) -> None:
            if broken:
                raise ConnectionError("still down")
            await super().started()

    def decider(cause: BaseException) -> Directive:
        return Directive.STOP if isinstance(cause, ConnectionError) else Directive.RESTART

    specs = [*parts("a"), Fragile.spec().named("b"), *parts("c")]
    async with ActorSystem() as system:
        await system.supervise(at_once(Strategy.ONE_FOR_ALL, decider=decider), specs, name="s")
        b = system["s/b"]
        broken = True
        await system["s/a"].tell(crash)
        assert (await b.join()).kind is ExitKind.FAILED
        assert await system["s/c"].ask("incarnation", timeout=None) == 2


async def test_rule_09_a_restarted_supervisor_brings_its_children_back() -> None:
    """When a supervisor restarts, its children stop in reverse, start in order, and their references stay valid."""
    async with ActorSystem(supervisor=at_once(Strategy.ONE_FOR_ONE)) as system, system.events(ChildRestarted) as e:
        config = at_once(Strategy.ONE_FOR_ONE, max_restarts=0)
        specs = [*parts("a", "b"), *parts("once", restart=Restart.TEMPORARY)]
        await system.supervise(config, specs, name="s")
        a, b, once = (system[f"s/{name}"] for name in ("a", "b", "once"))
        LOG.clear()
        await b.tell(crash)
        assert await restarts(e, 1) == ["s"]
        assert LOG == ["-once", "-b", "-a", "+a", "+b"]
        assert [await a.ask("incarnation"), await b.ask("incarnation")] == [2, 2]
        assert not once.alive


async def test_rule_09_a_restarted_supervisor_starts_whom_it_had_lost() -> None:
    """A transient child that had left before its supervisor restarts is started anew, in its old place."""

    async def leave(part: Part) -> None:
        part.context.stop()

    async with ActorSystem(supervisor=at_once(Strategy.ONE_FOR_ONE)) as system, system.events(ChildRestarted) as e:
        config = at_once(Strategy.REST_FOR_ONE, max_restarts=0)
        supervisor = await system.supervise(config, parts("a", "b", "c", restart=Restart.TRANSIENT), name="s")
        old = system["s/b"]
        await old.tell(leave)
        await old.join()
        LOG.clear()
        await system["s/c"].tell(crash)
        assert await restarts(e, 1) == ["s"]
        assert LOG == ["-c", "-a", "+a", "+b", "+c"]
        assert [child.name for child in supervisor.children] == ["a", "b", "c"]
        assert not old.alive
        assert system["s/b"].alive


async def test_rule_09_nested_supervisors_restart_as_a_tree() -> None:
    """A subtree restarts as one child of its supervisor, from the leaves up and back."""
    root = at_once(Strategy.ONE_FOR_ALL)
    async with ActorSystem(supervisor=root) as system, system.events(ChildRestarted) as events:
        await system.supervise(at_once(Strategy.ONE_FOR_ONE), parts("a", "b"), name="left")
        right = await system.spawn(Part, name="right")
        leaf = system["left/a"]
        LOG.clear()
        await right.tell(crash)
        assert await restarts(events, 2) == ["left", "right"]
        assert LOG == ["-right", "-b", "-a", "+a", "+b", "+right"]
        assert await leaf.ask("incarnation") == 2


async def test_rule_09_a_stray_message_does_not_restart_a_supervisor() -> None:
    """What is told to a supervisor becomes a dead letter, an ask and a stream fail, and its children stay up."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(at_once(Strategy.ONE_FOR_ONE), parts("a"), name="s")
        await supervisor.tell("stray")
        with pytest.raises(ActorFailed, match="takes no messages"):
            await supervisor.ask("stray")
        with pytest.raises(ActorFailed, match="takes no messages"):
            async with supervisor.stream("stray") as items:
                await items.receive()
        assert await system["s/a"].ask("incarnation") == 1
        assert [letter.reason for letter in system.dead_letters] == ["unknown"]


async def test_rule_09_names_are_unique_among_siblings_and_free_again_after() -> None:
    """A taken name is refused with its path; after a stop, and after a failed start, it is free at once."""

    class Broken(Actor):
        async def started(self) -> None:
            raise ConnectionError

    async with ActorSystem() as system:
        first = await system.spawn(Part, name="x")
        with pytest.raises(NameTaken, match="'x'"):
            await system.spawn(Part, name="x")
        await first.stop()
        with pytest.raises(StartFailed):
            await system.spawn(Broken, name="x")
        assert await system.spawn(Part, name="x") != first


OUT_OF_RANGE: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (Supervisor, {"max_restarts": -1}, "max_restarts=-1"),
    (Supervisor, {"period": 0.0}, "period=0.0"),
    (Supervisor, {"auto_shutdown": "some"}, "'some'"),
    (Supervisor, {"strategy": "all_for_one"}, "'all_for_one'.*'one_for_all'"),
    (DynamicSupervisor, {"max_children": 0}, "0"),
    (DynamicSupervisor, {"strategy": Strategy.ONE_FOR_ALL}, "'one_for_all'"),
    (ChildOptions, {"shutdown": -1.0}, "-1.0"),
    (ChildOptions, {"significant": True}, "permanent"),
    (ChildOptions, {"restart": "sometimes"}, "'sometimes'.*'transient'"),
    (ChildOptions, {"max_restarts": -1}, "-1"),
    (ChildOptions, {"passivate_after": 0.0}, "0.0"),
    (Mailbox, {"overflow": "drop"}, "'drop'.*'drop_oldest'"),
    (Part.spec().named, {"name": "a/b"}, "'a/b'"),
    (Part.spec().named, {"name": ""}, "''"),
]


@pytest.mark.parametrize(("make", "options", "message"), OUT_OF_RANGE, ids=[row[2] for row in OUT_OF_RANGE])
def test_rule_09_options_out_of_range_are_refused(
    make: Callable[..., object], options: dict[str, Any], message: str
) -> None:
    """A supervisor or a child spec that cannot work is refused where it is written, with the value and the remedy."""
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_rule_09_words_do_what_they_say() -> None:
    """An option given as a plain word is the option, not something that is silently none of them."""
    assert ChildOptions(restart="transient").restart is Restart.TRANSIENT  # pyright: ignore[reportArgumentType]
    assert Supervisor(strategy="one_for_all").strategy is Strategy.ONE_FOR_ALL  # pyright: ignore[reportArgumentType]
    assert Mailbox(overflow="reject").overflow is Overflow.REJECT  # pyright: ignore[reportArgumentType]
