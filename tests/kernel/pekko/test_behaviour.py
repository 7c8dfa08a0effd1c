"""Pekko's HotSwapSpec, and "clear the behavior stack upon restart" of ActorLifeCycleSpec.

| Case of Pekko | Here |
|---|---|
| be able to become (multiple times) in its constructor | `test_the_last_behaviour_counts`, in `started()` |
| be able to become with stacking (multiple times) in its constructor | `test_behaviours_are_stacked` |
| hotswap its behavior with become; revert it with unbecome | `test_there_and_back` |
| revert to initial state on restart; clear the behavior stack | `test_a_restart_begins_with_the_method` |

Everything applies; `receive` may be a plain function or a coroutine function, before and after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import Actor, ActorSystem, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


class Becomer(Actor):
    """Becomes 1, 2, 3 and 4 at its start; each of them goes back one step after it has answered."""

    def __init__(self, *, stacked: bool, plain: bool) -> None:
        self._stacked, self._plain = stacked, plain

    def _behaviour(self, number: int) -> Callable[[Any], Any]:
        def answer(message: str) -> str:
            self.context.unbecome()
            return f"{number}:{message}"

        async def answer_later(message: str) -> str:
            return answer(message)

        return answer if self._plain else answer_later

    async def started(self) -> None:
        for number in (1, 2, 3, 4):
            self.context.become(self._behaviour(number), discard_old=not self._stacked)

    def receive(self, message: str) -> str:
        return f"own:{message}"


@pytest.mark.parametrize("plain", [True, False])
async def test_the_last_behaviour_counts(plain: bool) -> None:
    """Each behaviour takes the place of the one before; beneath it is the actor's own method."""
    async with ActorSystem() as system:
        actor = await system.spawn(Becomer, stacked=False, plain=plain)
        assert [await actor.ask("x", timeout=5) for _ in range(3)] == ["4:x", "own:x", "own:x"]


@pytest.mark.parametrize("plain", [True, False])
async def test_behaviours_are_stacked(plain: bool) -> None:
    """Kept behaviours come back in reverse, and then the actor's own method, for good."""
    async with ActorSystem() as system:
        actor = await system.spawn(Becomer, stacked=True, plain=plain)
        asks = [actor.ask("x", timeout=5) for _ in range(6)]
        assert [await ask for ask in asks] == ["4:x", "3:x", "2:x", "1:x", "own:x", "own:x"]


class Swapper(Actor):
    async def receive(self, message: str) -> str:
        if message == "swap":
            self.context.become(self.swapped)
        if message == "back":
            return str(self.context.unbecome())
        return f"init:{message}"

    async def swapped(self, message: str) -> str:
        if message == "revert":
            assert self.context.unbecome()
        if message == "crash":
            raise LookupError("boom")
        return f"swapped:{message}"


async def test_there_and_back() -> None:
    """A new behaviour holds from the next message on, and so does the old one."""
    async with ActorSystem() as system:
        actor = await system.spawn(Swapper)
        asks = [actor.ask(message, timeout=5) for message in ("a", "swap", "b", "revert", "c")]
        assert [await ask for ask in asks] == ["init:a", "init:swap", "swapped:b", "swapped:revert", "init:c"]


async def test_a_restart_begins_with_the_method() -> None:
    """Whatever it had become, the next incarnation is what its class says."""
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        actor = await system.spawn(Swapper)
        await actor.ask("swap", timeout=5)
        assert await actor.ask("a", timeout=5) == "swapped:a"
        with pytest.raises(ActorFailed):
            await actor.ask("crash", timeout=5)
        assert await actor.ask("a", timeout=5) == "init:a"
        assert await actor.ask("back", timeout=5) == "False"
