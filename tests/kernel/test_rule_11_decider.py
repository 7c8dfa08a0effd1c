"""Rule 11: what a supervisor does about a failure depends on the failure."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, RestartLimitExceeded
from tinyllm_actors.kernel import Actor, ActorSystem, ChildFailed, Directive, ExitKind, Supervisor

pytestmark = pytest.mark.anyio


class Fragile(Actor):
    """Counts messages, and raises those that are exceptions."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, message: BaseException | str) -> tuple[int, int]:
        self.count += 1
        if isinstance(message, BaseException):
            raise message
        return self.context.incarnation, self.count


def _decider(cause: BaseException) -> Directive:
    match cause:
        case LookupError():
            return Directive.RESUME
        case ArithmeticError():
            return Directive.RESTART
        case OSError():
            return Directive.STOP
        case _:
            return Directive.ESCALATE


CONFIG = Supervisor(decider=_decider, backoff=None, max_restarts=0)
TOLERANT = Supervisor(decider=_decider, backoff=None)


async def _fail(ref: Any, error: BaseException) -> None:
    with pytest.raises(ActorFailed) as caught:
        await ref.ask(error)
    assert caught.value.cause is error


async def test_rule_11_resume_keeps_the_object() -> None:
    """RESUME: the asker is told, nothing is restarted or counted, and the state is as the failure left it."""
    async with ActorSystem(supervisor=CONFIG) as system:
        ref = await system.spawn(Fragile)
        for number in range(1, 10):
            await _fail(ref, KeyError("k"))
            assert await ref.ask("next") == (1, 2 * number)


async def test_rule_11_restart_makes_a_new_object() -> None:
    """RESTART: the next incarnation begins anew behind the same reference."""
    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Fragile)
        await _fail(ref, ZeroDivisionError())
        assert await ref.ask("next") == (2, 1)


async def test_rule_11_stop_ends_the_child_for_good() -> None:
    """STOP: the child ends with its failure as the reason, and what waits is refused."""
    async with ActorSystem(supervisor=CONFIG) as system:
        ref = await system.spawn(Fragile)
        failing, behind = ref.ask(ConnectionError("down")), ref.ask("behind")
        with pytest.raises(ActorFailed):
            await failing
        with pytest.raises(ActorStopped, match="ConnectionError: down"):
            await behind
        reason = await ref.join()
        assert reason.kind is ExitKind.FAILED
        assert isinstance(reason.cause, ConnectionError)


async def test_rule_11_escalate_fails_the_supervisor_with_the_same_cause() -> None:
    """ESCALATE: the supervisor's own supervisor is asked about the very same exception."""
    error = TypeError("not mine to judge")
    asked: list[BaseException] = []

    def ask(cause: BaseException) -> Directive:
        asked.append(cause)
        return Directive.STOP

    async with ActorSystem(supervisor=Supervisor(decider=ask)) as system:
        top = await system.supervise(CONFIG, [Fragile.spec().named("a")], name="s")
        await _fail(system["s/a"], error)
        assert (await top.join()).cause is error
    assert asked == [error]


async def test_rule_11_escalation_to_the_root_raises_the_cause_from_the_block() -> None:
    """At the top, the exception itself comes out of the system's block."""
    error = TypeError("nobody's")
    with pytest.raises(TypeError) as caught:
        async with ActorSystem(supervisor=CONFIG) as system:
            ref = await system.spawn(Fragile)
            await ref.tell(error)
            await anyio.sleep_forever()
    assert caught.value is error


async def test_rule_11_a_group_of_one_is_taken_for_its_one() -> None:
    """A failure inside a task group of the handler is decided on as what it is, however deep."""
    error = KeyError("inside")

    class Grouped(Fragile):
        async def receive(self, message: Any) -> tuple[int, int]:
            async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
                inner.start_soon(self._raise, message)
                outer.start_soon(anyio.sleep_forever)
            return 0, 0

        async def _raise(self, message: Any) -> None:
            raise message

    async with ActorSystem(supervisor=CONFIG) as system, system.events(ChildFailed) as failures:
        ref = await system.spawn(Grouped)
        await _fail(ref, error)
        assert (await failures.receive()).cause is error
        assert ref.cell.incarnation == 1


async def test_rule_11_a_group_of_several_stays_a_group() -> None:
    """Two failures at once are not cut down to one of them."""
    group = ExceptionGroup("both", [KeyError("a"), ValueError("b")])

    def decider(cause: BaseException) -> Directive:
        assert cause is group
        return Directive.RESUME

    async with ActorSystem(supervisor=Supervisor(decider=decider)) as system:
        ref = await system.spawn(Fragile)
        await _fail(ref, group)
        assert await ref.ask("next") == (1, 2)


async def test_rule_11_a_cancellation_beside_a_failure_does_not_hide_it() -> None:
    """A task group that fails while it is cancelled counts as its failure alone."""

    class Grouped(Fragile):
        async def receive(self, message: Any) -> tuple[int, int]:
            if isinstance(message, str):
                return self.context.incarnation, 0
            async with anyio.create_task_group() as group:
                group.start_soon(self._clean_up_badly, message)
                group.start_soon(anyio.sleep_forever)
                await anyio.sleep_forever()
            return 0, 0

        async def _clean_up_badly(self, message: Any) -> None:
            started.set()
            try:
                await anyio.sleep_forever()
            finally:
                raise message

    started = anyio.Event()
    error = KeyError("clean-up")
    async with ActorSystem(supervisor=CONFIG) as system, system.events(ChildFailed) as failures:
        ref = await system.spawn(Grouped)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel() -> None:
                    await started.wait()
                    scope.cancel()

                group.start_soon(cancel)
                await ref.ask(error)
        assert (await failures.receive()).cause is error
        assert await ref.ask("next") == (1, 0)


async def test_rule_11_a_decider_that_fails_escalates_its_own_failure() -> None:
    """A supervisor that cannot decide has failed itself; nothing else comes to harm."""

    def broken(cause: BaseException) -> Directive:
        raise RuntimeError("cannot decide")

    stop = Supervisor(decider=lambda _: Directive.STOP)
    async with ActorSystem(supervisor=stop) as system:
        other = await system.spawn(Fragile)
        top = await system.supervise(Supervisor(decider=broken), [Fragile.spec().named("a")], name="s")
        await _fail(system["s/a"], KeyError("k"))
        cause = (await top.join()).cause
        assert isinstance(cause, RuntimeError)
        assert isinstance(cause.__context__, KeyError)
        assert await other.ask("next") == (1, 1)


async def test_rule_11_resume_is_no_answer_to_a_failed_start() -> None:
    """Where there is no object to go on with, RESUME means restart."""
    starts = 0

    class Down(Fragile):
        async def started(self) -> None:
            nonlocal starts
            starts += 1
            if starts == 2:
                raise LookupError("start")

    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Down)
        await _fail(ref, ZeroDivisionError())
        assert await ref.ask("next") == (3, 1)


async def test_rule_11_the_decider_sees_a_childs_exceeded_limit() -> None:
    """What a nested supervisor fails with can be told apart, and has its own cause."""
    seen: list[BaseException] = []

    def decider(cause: BaseException) -> Directive:
        seen.append(cause)
        return Directive.STOP

    async with ActorSystem(supervisor=Supervisor(decider=decider)) as system:
        config = Supervisor(max_restarts=0)
        top = await system.supervise(config, [Fragile.spec().named("a")], name="s")
        await system["s/a"].tell(ZeroDivisionError("first"))
        await top.join()
    assert isinstance(seen[0], RestartLimitExceeded)
    assert isinstance(seen[0].cause, ZeroDivisionError)


async def test_rule_11_a_decider_may_answer_with_a_word() -> None:
    """A directive given as a plain word is that directive; one that does not exist is the decider's failure."""

    def decider(cause: BaseException) -> Directive:
        return str(cause)  # pyright: ignore[reportReturnType] - on purpose

    async with ActorSystem(supervisor=Supervisor(decider=lambda _: Directive.STOP)) as system:
        top = await system.supervise(Supervisor(decider=decider), [Fragile.spec().named("a")], name="s")
        await _fail(system["s/a"], ValueError("resume"))
        assert await system["s/a"].ask("next") == (1, 2)
        await _fail(system["s/a"], ValueError("ignore"))
        assert "'ignore' is no Directive" in str((await top.join()).cause)
