"""Rule 4: every ask ends. Each test is a way in which an actor can fail to answer; none of the asks has a time-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout, Unresponsive
from tinyllm_actors.kernel import (
    BRUTAL_KILL,
    Actor,
    ActorSystem,
    Backoff,
    Directive,
    ExitReason,
    InFlight,
    Mailbox,
    Restart,
    Strategy,
    Supervisor,
    Transition,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio


class Doer(Actor):
    """Does what it is told."""

    async def receive(self, message: Callable[[Doer], Awaitable[Any]]) -> Any:
        return await message(self)


class Held:
    """A job that holds its actor until it is let go."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.release = anyio.Event()

    async def __call__(self, actor: Doer) -> str:
        self.entered.set()
        await self.release.wait()
        return "done"


async def nothing(_: Doer) -> str:
    """Answer at once."""
    return "nothing"


async def forever(_: Doer) -> None:
    """Never answer."""
    await anyio.sleep_forever()


async def crash(_: Doer) -> None:
    """Fail."""
    raise LookupError("broken")


class Outcomes:
    """What became of asks that run in tasks of their own."""

    def __init__(self) -> None:
        self.all: dict[str, Any] = {}

    def ask(self, group: TaskGroup, name: str, ref: Any, message: Any) -> None:
        """Ask without a time-out, and note the outcome under `name`."""
        group.start_soon(self._ask, name, ref.ask(message, timeout=None))

    async def _ask(self, name: str, ask: Awaitable[Any]) -> None:
        try:
            self.all[name] = await ask
        except Exception as error:
            self.all[name] = type(error)


@pytest.mark.parametrize("ending", ["stop", "kill", "shutdown"])
async def test_rule_04_an_actor_that_ends_tells_its_askers(ending: str, settled: Settled) -> None:
    """Running, queued and blocked asks end when their actor is stopped, killed or shut down."""
    job = Held()
    outcomes = Outcomes()
    async with anyio.create_task_group() as group:
        async with ActorSystem() as system:
            ref = await system.spawn(Doer.spec().with_options(mailbox=Mailbox(capacity=1)))
            outcomes.ask(group, "running", ref, job)
            await job.entered.wait()
            outcomes.ask(group, "queued", ref, nothing)
            outcomes.ask(group, "blocked", ref, nothing)
            await settled()
            if ending == "kill":
                await ref.kill()
            elif ending == "stop":
                group.start_soon(ref.stop)
                await settled()
                job.release.set()
                await ref.join()
            else:
                job.release.set()
                system.care.end(ref.cell, ExitReason.SHUTDOWN)
        outcomes.ask(group, "late", ref, nothing)
    assert outcomes.all.pop("running") in {"done", ActorStopped}
    assert outcomes.all == {"queued": ActorStopped, "blocked": ActorStopped, "late": ActorStopped}


async def test_rule_04_a_failed_handler_tells_its_asker_why() -> None:
    """The asker gets `ActorFailed` with the very exception as its cause."""
    async with ActorSystem() as system:
        ref = await system.spawn(Doer, name="d")
        with pytest.raises(ActorFailed, match=r"'d' failed: LookupError: broken") as caught:
            await ref.ask(crash, timeout=None)
        assert isinstance(caught.value.cause, LookupError)
        assert caught.value.__cause__ is caught.value.cause


async def test_rule_04_asks_wait_through_a_restart() -> None:
    """Asks queued behind a crash are answered by the next incarnation."""
    outcomes = Outcomes()
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Doer)
        outcomes.ask(group, "crash", ref, crash)
        outcomes.ask(group, "queued", ref, nothing)
    assert outcomes.all == {"crash": ActorFailed, "queued": "nothing"}


async def test_rule_04_a_supervisor_that_gives_up_tells_all_askers(settled: Settled) -> None:
    """When the restarts are used up, the askers of every child of the supervisor are told."""
    job = Held()
    stop = Supervisor(decider=lambda _: Directive.STOP)
    outcomes = Outcomes()
    async with ActorSystem(supervisor=stop) as system, anyio.create_task_group() as group:
        children = [Doer.spec().named("a"), Doer.spec().named("b")]
        top = await system.supervise(Supervisor(max_restarts=0), children, name="s")
        a, b = system["s/a"], system["s/b"]
        outcomes.ask(group, "sibling running", b, job)
        await job.entered.wait()
        outcomes.ask(group, "sibling queued", b, nothing)
        outcomes.ask(group, "crash", a, crash)
        outcomes.ask(group, "queued", a, nothing)
        await settled()
        job.release.set()
        await top.join()
    assert outcomes.all == {
        "sibling running": "done",
        "sibling queued": ActorStopped,
        "crash": ActorFailed,
        "queued": ActorStopped,
    }


async def test_rule_04_a_supervisor_told_to_resume_ends_the_child_it_gave_up_on() -> None:
    """If an escalation is answered with RESUME, the child ends for good instead of waiting for ever."""
    resume = Supervisor(decider=lambda _: Directive.RESUME)
    outcomes = Outcomes()
    async with ActorSystem(supervisor=resume) as system, anyio.create_task_group() as group:
        children = [Doer.spec().named("a"), Doer.spec().named("b")]
        await system.supervise(Supervisor(max_restarts=0), children, name="s")
        a, b = system["s/a"], system["s/b"]
        outcomes.ask(group, "crash", a, crash)
        outcomes.ask(group, "queued", a, nothing)
        assert (await a.join()).abnormal
        assert await b.ask(nothing) == "nothing"
    assert outcomes.all == {"crash": ActorFailed, "queued": ActorStopped}


@pytest.mark.virtual_time
async def test_rule_04_stopping_during_a_back_off_tells_the_askers() -> None:
    """A child that waits out its back-off is stopped at once, and its askers are told at once."""
    config = Supervisor(backoff=Backoff(100.0, 100.0, jitter=0.0))
    outcomes = Outcomes()
    async with ActorSystem(supervisor=config) as system, anyio.create_task_group() as group:
        ref = await system.spawn(Doer)
        outcomes.ask(group, "crash", ref, crash)
        outcomes.ask(group, "queued", ref, nothing)
        await anyio.sleep(1)
        await ref.stop()
        assert anyio.current_time() == 1
    assert outcomes.all == {"crash": ActorFailed, "queued": ActorStopped}
    assert anyio.current_time() == 1  # nothing waited on for the back-off


async def test_rule_04_stopping_during_the_start_tells_the_askers(settled: Settled) -> None:
    """Asks sent to an actor that restarts, and is stopped before it is up, end."""
    starting = anyio.Event()

    class Slow(Doer):
        async def started(self) -> None:
            if self.context.incarnation > 1:
                starting.set()
                await anyio.sleep_forever()

    outcomes = Outcomes()
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system, anyio.create_task_group() as group:
        ref = await system.spawn(Slow.spec().with_options(shutdown=BRUTAL_KILL))
        outcomes.ask(group, "crash", ref, crash)
        outcomes.ask(group, "queued", ref, nothing)
        await starting.wait()
        await ref.stop()
    assert outcomes.all == {"crash": ActorFailed, "queued": ActorStopped}


async def test_rule_04_stopping_during_a_restart_of_siblings_tells_the_askers(settled: Settled) -> None:
    """A child that is stopped while it waits for a sibling to stop ends too, and so do its asks."""
    job = Held()
    config = Supervisor(strategy=Strategy.ONE_FOR_ALL, backoff=None)
    outcomes = Outcomes()
    async with ActorSystem() as system, anyio.create_task_group() as group:
        await system.supervise(config, [Doer.spec().named("a"), Doer.spec().named("b")], name="s")
        a, b = system["s/a"], system["s/b"]
        outcomes.ask(group, "running", b, job)
        await job.entered.wait()
        outcomes.ask(group, "crash", a, crash)
        await settled()
        outcomes.ask(group, "queued", a, nothing)
        await a.stop()
        job.release.set()
        assert await b.ask(nothing) == "nothing"
    assert outcomes.all == {"running": "done", "crash": ActorFailed, "queued": ActorStopped}


async def swallow(_: Doer) -> None:
    """Never end, not even when cancelled: it spins, so these tests cannot run on a virtual clock."""
    while True:
        try:
            await anyio.sleep(1000)
        except anyio.get_cancelled_exc_class():
            continue


async def test_rule_04_an_abandoned_handler_tells_its_asker(settled: Settled) -> None:
    """The asker of a handler that swallows its cancellation gets `Unresponsive`; those behind it, `ActorStopped`."""
    outcomes = Outcomes()
    async with ActorSystem(grace=0.02) as system, anyio.create_task_group() as group:
        ref = await system.spawn(Doer)
        outcomes.ask(group, "running", ref, swallow)
        outcomes.ask(group, "queued", ref, nothing)
        await settled()
        await ref.stop(timeout=0.01)
    assert outcomes.all == {"running": Unresponsive, "queued": ActorStopped}


async def test_rule_04_the_end_of_the_system_tells_every_asker(settled: Settled) -> None:
    """Even a shutdown that is broken off ends the asks that wait on actors it had not come to."""
    outcomes = Outcomes()
    async with anyio.create_task_group() as group, ActorSystem(shutdown_timeout=0.02, grace=0.02) as system:
        first = await system.spawn(Doer)
        last = await system.spawn(Doer.spec().with_options(shutdown=1000.0))
        for ref in (first, last):
            outcomes.ask(group, f"running {ref.name}", ref, swallow)
            outcomes.ask(group, f"queued {ref.name}", ref, nothing)
        await settled()
    assert sorted(outcomes.all.values(), key=str) == [ActorStopped, ActorStopped, Unresponsive, Unresponsive]


@pytest.mark.virtual_time
async def test_rule_04_a_passive_actor_that_does_not_thaw_tells_its_asker() -> None:
    """A thaw that fails is a failed start: an actor that is not restarted for it ends, and its asker is told."""

    class Fragile(Actor):
        async def started(self) -> None:
            if self.context.incarnation > 1:
                raise ConnectionError

        async def receive(self, message: object) -> object:
            return message

    spec = Fragile.spec().with_options(passivate_after=0.01, restart=Restart.TEMPORARY)
    async with ActorSystem() as system, system.events(Transition) as events:
        ref = await system.spawn(spec)
        async for event in events:
            if event.target == "PASSIVE":
                break
        with pytest.raises(ActorStopped, match="ConnectionError"):
            await ref.ask("thaw", timeout=None)


async def test_rule_04_a_poisonous_message_tells_its_asker() -> None:
    """A message that fails again and again is given up after its redeliveries, and its asker is told."""
    spec = Doer.spec().with_options(on_inflight=InFlight(redeliveries=2))
    async with ActorSystem(supervisor=Supervisor(backoff=None, max_restarts=9)) as system:
        ref = await system.spawn(spec)
        with pytest.raises(ActorFailed):
            await ref.ask(crash, timeout=None)


@pytest.mark.virtual_time
async def test_rule_04_an_ask_ends_with_its_time() -> None:
    """`AskTimeout` comes exactly when it is due and is a `TimeoutError`; so does the system's `ask_timeout`."""
    async with ActorSystem(ask_timeout=7.0) as system:
        ref = await system.spawn(Doer, name="d")
        with pytest.raises(AskTimeout, match=r"'d' did not answer within 2 s"):
            await ref.ask(forever, timeout=2.0)
        assert anyio.current_time() == 2
        with pytest.raises(TimeoutError):
            await ref.ask(forever)
        assert anyio.current_time() == 9


async def test_rule_04_an_ask_is_awaited_by_one_task(settled: Settled) -> None:
    """A second task that awaits the same ask is told so; the first gets the answer, once: the ask does not keep it."""
    job = Held()
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Doer)
        ask = ref.ask(job)

        async def wait() -> None:
            assert await ask == "done"
            with pytest.raises(RuntimeError, match="awaited already"):
                await ask

        group.start_soon(wait)
        await settled()
        with pytest.raises(RuntimeError, match="another task"):
            await ask
        job.release.set()


async def test_rule_04_a_thousand_asks_at_once_are_each_answered() -> None:
    """Asks under way at the same time, of one actor and of many, get their own answers."""

    class Echo(Actor):
        async def receive(self, message: int) -> int:
            await anyio.lowlevel.checkpoint()
            return message

    async with ActorSystem() as system:
        refs = [await system.spawn(Echo) for _ in range(10)]
        asks = [refs[number % 10].ask(number) for number in range(1000)]
        assert [await ask for ask in asks] == list(range(1000))
