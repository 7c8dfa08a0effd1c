"""`become`: another handler from the next message on, until a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Directive,
    Supervisor,
)

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef


pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Chameleon(Actor):
    """Answers which behaviour handled a message, and changes it when told."""

    async def receive(self, message: str) -> str:
        return await self.handle("first", message)

    async def second(self, message: str) -> str:
        return await self.handle("second", message)

    def third(self, message: str) -> str:
        if message == "back":
            self.context.unbecome()
        return "third"

    async def handle(self, name: str, message: str) -> str:
        match message:
            case "second":
                self.context.become(self.second)
            case "push third":
                self.context.become(self.third, discard_old=False)
            case "back":
                return f"{name} {self.context.unbecome()}"
            case "wait":
                await anyio.lowlevel.checkpoint()
            case "boom":
                raise LookupError("broken")
            case _:
                pass
        return name


async def ask_all(ref: ActorRef, *messages: str) -> list[str]:
    """Ask all at once, so that they are handled in one go, and return the answers."""
    asks = [ref.ask(message) for message in messages]
    return [await ask for ask in asks]


async def test_become_changes_the_handler_from_the_next_message_on() -> None:
    """Also for messages that waited already, for asynchronous and plain handlers."""
    async with ActorSystem() as system:
        ref = await system.spawn(Chameleon)
        assert await ask_all(ref, "?", "second", "?", "push third", "?", "back", "?", "back", "?") == [
            "first",
            "first",
            "second",
            "second",
            "third",
            "third",
            "second",
            "second True",
            "first",
        ]
        assert await ref.ask("back") == "first False"


async def test_become_takes_the_place_of_the_last_behaviour_unless_told_to_keep_it() -> None:
    """`discard_old=False` stacks; the actor's own method is always at the bottom."""
    async with ActorSystem() as system:
        ref = await system.spawn(Chameleon)
        assert await ask_all(ref, "second", "second", "back", "?") == ["first", "second", "second True", "first"]
        assert await ask_all(ref, "push third", "back", "?") == ["first", "third", "first"]


async def test_a_restart_begins_with_the_actors_own_behaviour() -> None:
    """Nothing of the stack is left."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Chameleon)
        await ask_all(ref, "second", "push third", "back")
        with pytest.raises(ActorFailed):
            await ref.ask("boom")
        assert await ask_all(ref, "?", "back") == ["first", "first False"]


async def test_a_resumed_actor_keeps_its_behaviour() -> None:
    """`Directive.RESUME` keeps the object and what it has become."""
    async with ActorSystem(supervisor=Supervisor(decider=lambda _: Directive.RESUME)) as system:
        ref = await system.spawn(Chameleon)
        await ref.ask("second")
        with pytest.raises(ActorFailed):
            await ref.ask("boom")
        assert await ref.ask("?") == "second"


async def test_become_works_across_a_wait() -> None:
    """In a handler that has waited, and before one that does."""

    class Waiting(Chameleon):
        async def receive(self, message: str) -> str:
            await anyio.lowlevel.checkpoint()
            return await super().receive(message)

    async with ActorSystem() as system:
        ref = await system.spawn(Waiting)
        assert await ask_all(ref, "?", "second", "wait", "back", "wait") == [
            "first",
            "first",
            "second",
            "second True",
            "first",
        ]


async def test_a_plain_behaviour_answers_an_idle_ask_in_place() -> None:
    """An actor that became plain is as quick as one that was born so, and one that became asynchronous is right."""

    class Switch(Actor):
        def receive(self, message: str) -> int:
            if message == "async":
                self.context.become(self.slow)
            return anyio.get_current_task().id

        async def slow(self, message: str) -> int:
            await anyio.lowlevel.checkpoint()
            if message == "plain":
                self.context.unbecome()
            return anyio.get_current_task().id

    async with ActorSystem() as system:
        ref = await system.spawn(Switch)
        mine = anyio.get_current_task().id
        assert await ref.ask("?") == mine
        assert await ref.ask("async") == mine
        assert await ref.ask("?") != mine
        assert await ref.ask("plain") != mine
        assert await ref.ask("?") == mine
