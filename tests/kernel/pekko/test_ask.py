"""Pekko's AskSpec.

| Case of Pekko | Here |
|---|---|
| send request to actor and wrap the answer in Future | `test_an_ask_is_answered` |
| return broken promises on DeadLetters, on EmptyLocalActorRefs | `test_nobody_there_is_known_at_once` |
| return broken promises on unsupported ActorRefs | `test_a_path_without_an_actor_is_known_before_the_ask` |
| return broken promises on 0 timeout, on < 0 timeout | `test_no_time_at_all_is_no_time` |
| include target, timeout information in AskTimeout | `test_a_timeout_says_whom_and_how_long` |
| include sender information in AskTimeout | `test_a_timeout_inside_an_actor_is_reported_as_its_own` |
| work for ActorSelection; when reply uses actor selection | `test_an_actor_is_asked_by_its_path` |
| throw AskTimeoutException on …; send to DeadLetter when … | `test_no_answer_is_a_timeout` |
| allow watching the promiseActor and send Terminated when completes | `test_the_callee_is_told_when_its_asker_leaves` |
| an answer that comes too late | `test_an_answer_that_comes_too_late_is_dropped` |

Do not apply: message class information in AskTimeout (what is said in messages stays out of errors), the name and the
path of the promise actor (an ask has no actor of its own and so no address: its answer is what the handler returns, or
goes through `reply_later()`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout, UnknownActor
from tinyllm_actors.kernel import Actor, ActorSystem, ChildFailed
from tinyllm_actors.testing import Puppet, TestKit

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Echo(Actor):
    async def receive(self, message: Any) -> Any:
        return message


class PlainEcho(Actor):
    def receive(self, message: Any) -> Any:
        return message


class Silent(Actor):
    """Never answers; says when its asker has left."""

    async def started(self) -> None:
        self.left = anyio.Event()

    async def receive(self, message: Any) -> None:
        self.context.reply_later().on_leave(self.left.set)


@pytest.mark.parametrize("echo", [Echo, PlainEcho])
@pytest.mark.parametrize("message", ["ping", None, 0, {"a": 1}])
async def test_an_ask_is_answered(echo: type[Actor], message: object) -> None:
    """What the handler returns arrives, whatever it is."""
    async with ActorSystem() as system:
        assert await (await system.spawn(echo)).ask(message, timeout=5) is message


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_nobody_there_is_known_at_once(how: str) -> None:
    """An ask of an actor that has ended fails at once, and says so; a tell is a dead letter."""
    async with ActorSystem() as system:
        echo = await system.spawn(Echo, name="echo")
        await getattr(echo, how)()
        began = anyio.current_time()
        with pytest.raises(ActorStopped, match="'echo'") as caught:
            await echo.ask(42, timeout=60)
        assert anyio.current_time() == began
        assert caught.value.message == 42
        await echo.tell(43)
        assert [letter.message for letter in system.dead_letters] == [43]


async def test_a_path_without_an_actor_is_known_before_the_ask() -> None:
    """There is no reference to nobody: a path that leads nowhere is an error of its own."""
    async with ActorSystem() as system:
        for path in ("unknown", "unknown/child", "", "*", ".."):
            with pytest.raises(UnknownActor):
                system[path]


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -1.0, -1000])
async def test_no_time_at_all_is_no_time(timeout: float) -> None:
    """A time-out of 0 or less is over before anybody can answer; no such number stands for something else."""
    async with ActorSystem(ask_timeout=None) as system:
        silent = await system.spawn(Silent, name="silent")
        began = anyio.current_time()
        with pytest.raises(AskTimeout, match="within 0 s"):
            await silent.ask("noreply", timeout=timeout)
        assert anyio.current_time() == began


@pytest.mark.parametrize("timeout", [0.5, 300.0])
async def test_a_timeout_says_whom_and_how_long(timeout: float) -> None:
    """The error has the path and the seconds in its message and in its fields, and is a `TimeoutError`."""
    async with ActorSystem() as system:
        silent = await system.spawn(Silent, name="silent")
        began = anyio.current_time()
        with pytest.raises(AskTimeout) as caught:
            await silent.ask("noreply", timeout=timeout)
        assert anyio.current_time() - began == pytest.approx(timeout)
        assert "'silent'" in str(caught.value)
        assert f"{timeout:g} s" in str(caught.value)
        assert (caught.value.path, caught.value.timeout) == ("silent", pytest.approx(timeout))
        assert isinstance(caught.value, TimeoutError)


async def test_the_time_that_is_not_given_is_that_of_the_system() -> None:
    """An ask without a time-out has the one of its system; None is for ever."""
    async with ActorSystem(ask_timeout=7) as system:
        silent = await system.spawn(Silent)
        with pytest.raises(AskTimeout) as caught:
            await silent.ask("noreply")
        assert caught.value.timeout == pytest.approx(7)
        with anyio.move_on_after(10_000) as patience:
            await silent.ask("noreply", timeout=None)
        assert patience.cancelled_caught


async def test_a_timeout_inside_an_actor_is_reported_as_its_own() -> None:
    """An actor whose question is not answered fails with it: the failure names it, and its cause whom it asked."""

    async def ask(self: Puppet) -> None:
        await silent.ask("noreply", timeout=0.5)

    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        silent: ActorRef = await system.spawn(Silent, name="silent")
        asker = await system.spawn(Puppet, name="asker")
        with pytest.raises(ActorFailed, match=r"'asker' failed.*'silent'"):
            await Puppet.do(asker, ask)
        event = await failures.receive()
        assert event.path == "asker"
        assert event.cause.path == "silent"


async def test_an_actor_is_asked_by_its_path() -> None:
    """A reference that was looked up is as good as the one that was returned, from inside too."""

    async def look_up(self: Puppet) -> Any:
        return await self.context.system["select/echo"].ask("hi", timeout=1)

    async with TestKit(strict=True) as kit:
        parent = await kit.system.spawn(Puppet, name="select")
        echo = await Puppet.do(parent, lambda self: self.context.spawn(Echo, name="echo"))
        assert kit.system["select/echo"] == echo
        assert await Puppet.do(parent, look_up) == "hi"


async def test_no_answer_is_a_timeout() -> None:
    """An actor that puts its answer off and never gives it costs its asker no more than the time-out."""
    async with ActorSystem() as system:
        silent = await system.spawn(Silent)
        asks = [silent.ask(number, timeout=number) for number in (1, 2, 3)]
        for number, ask in enumerate(asks, 1):
            with pytest.raises(AskTimeout):
                await ask
            assert anyio.current_time() == pytest.approx(number)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_the_callee_is_told_when_its_asker_leaves(how: str) -> None:
    """Whoever answers later can learn that nobody waits any more."""
    async with ActorSystem() as system:
        actor = Silent()
        silent = await system.spawn(lambda: actor)
        with anyio.move_on_after(2):
            try:
                await silent.ask("noreply", timeout=1 if how == "timeout" else None)
            except AskTimeout:
                assert how == "timeout"
        assert actor.left.is_set()


async def test_an_answer_that_comes_too_late_is_dropped() -> None:
    """A late answer reaches nobody, is said to be late to who gives it, and does not disturb the next ask."""
    async with TestKit(strict=True) as kit:
        probe = await kit.probe()
        with pytest.raises(AskTimeout):
            await probe.ref.ask("first", timeout=1)
        assert await probe.expect_message(str) == "first"
        with pytest.raises(AssertionError, match="nobody waits"):
            probe.reply("late")
        second = probe.ref.ask("second", timeout=1)
        assert await probe.expect_message(str) == "second"
        probe.reply("in time")
        assert await second == "in time"
