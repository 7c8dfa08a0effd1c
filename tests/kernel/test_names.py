"""What an actor may be called, and where it cannot be spawned."""

from __future__ import annotations

import pytest

from tinyllm_actors.errors import NameTaken, StartFailed, SystemClosed
from tinyllm_actors.kernel import Actor, ActorSystem

pytestmark = pytest.mark.anyio


async def test_names_are_unique_among_siblings() -> None:
    """A second actor of a name is refused and the first one undisturbed."""
    async with ActorSystem("test") as system:
        first = await system.spawn(Actor, name="one")
        with pytest.raises(NameTaken, match="'one'"):
            await system.spawn(Actor, name="one")
        assert first.alive
        for name in ("", "a/b"):
            with pytest.raises(ValueError, match=repr(name)):
                await system.spawn(Actor, name=name)


async def test_nothing_starts_in_a_closed_system() -> None:
    """After the block, and before it, a spawn is refused with a sentence that says what to do."""
    system = ActorSystem("test")
    with pytest.raises((SystemClosed, AttributeError, RuntimeError)):
        await system.spawn(Actor)
    async with system:
        pass
    with pytest.raises(SystemClosed, match="async with"):
        await system.spawn(Actor)


async def test_what_cannot_be_an_actor_is_named() -> None:
    """A factory that makes something else, and something that is no factory, are refused with its name."""
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed, match="int"):
            await system.spawn(lambda: 3)
        with pytest.raises(TypeError, match="3"):
            await system.spawn(3)
        with pytest.raises(StartFailed, match="takes no arguments"):
            await system.spawn(Actor, sise=3)
