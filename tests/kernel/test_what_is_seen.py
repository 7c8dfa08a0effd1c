"""What an actor and whoever looks at it see."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import (
    ActorFailed,
    UnknownActor,
)
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ChildOptions,
    ConsoleLog,
    Supervisor,
    Terminated,
    trace,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    pass
pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_the_context_shows_the_family() -> None:
    """An actor sees its parent and its children, and may supervise more of them."""

    class Child(Actor):
        async def receive(self, message: object) -> str | None:
            parent = self.context.parent
            return None if parent is None else parent.path

    class Parent(Actor):
        async def receive(self, message: str) -> Any:
            if message == "supervise":
                await self.context.supervise(Supervisor(), [Child.spec().named("c")], name="s")
                return [child.path for child in self.context.children]
            if message == "parent":
                return self.context.parent
            return self.context.child(message).path

    async with ActorSystem(supervisor=PATIENT) as system:
        parent = await system.spawn(Parent, name="p")
        assert await parent.ask("parent") is None
        with pytest.raises(ActorFailed) as caught:
            await parent.ask("s")
        assert isinstance(caught.value.cause, UnknownActor)
        assert await parent.ask("supervise") == ["p/s"]
        assert await parent.ask("s") == "p/s"
        assert await system["p/s/c"].ask("?") == "p/s"
        with pytest.raises(ActorFailed, match="nobody"):
            await parent.ask("nobody")


def test_the_console_wipes_what_is_drawn_below_and_writes_no_empty_text() -> None:
    """`below` is called before each write, and nothing is written for nothing."""
    file = io.StringIO()
    log = ConsoleLog(file)
    wiped: list[str] = []
    log.below = lambda: wiped.append(file.getvalue())
    log.write("")
    log.end()
    assert (file.getvalue(), wiped) == ("", [])
    log.write("text")
    log.line("a line")
    log.end()
    assert file.getvalue() == "text\na line\n"
    assert wiped == ["", "text"]


async def test_a_watch_and_a_link_of_one_actor_end_separately() -> None:
    """Taking back the link leaves the watch, and the other way round."""
    seen: list[object] = []

    class Watches(Actor):
        async def receive(self, message: Any) -> None:
            if callable(message):
                message(self)
            else:
                seen.append(message)

    async with ActorSystem(supervisor=PATIENT) as system:
        target, watcher = await system.spawn(Puppet), await system.spawn(Watches)
        await watcher.ask(lambda self: (self.context.watch(target), self.context.link(target)))
        await watcher.ask(lambda self: self.context.unlink(target))
        await target.kill()
        await watcher.ask(lambda self: None)
        assert [type(message) for message in seen] == [Terminated]
        assert system.inspect(watcher.path).incarnation == 1


@pytest.mark.virtual_time
async def test_a_trace_goes_on_through_sleep() -> None:
    """An actor that is passive when the trace begins shows the messages that wake it."""

    class Sleepy(Actor):
        options = ChildOptions(passivate_after=0.01)

        async def receive(self, message: str) -> str:
            return message

    async with ActorSystem() as system:
        sleepy = await system.spawn(Sleepy, name="s")
        with anyio.fail_after(5):
            while system.inspect("s").state != "PASSIVE":  # noqa: ASYNC110 - it falls asleep on its own
                await anyio.sleep(0.01)
        async with trace(sleepy) as records:
            await sleepy.ask("hello")
            assert (await records.receive()).message == "str"
