"""What an actor may be called, and where it cannot be spawned."""

from __future__ import annotations

import pytest

from tinyllm_actors.errors import NameTaken, StartFailed, SystemClosed, UnknownActor
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


class Nameless(Actor):
    pass


async def test_who_got_no_name_has_one_all_the_same() -> None:
    """An actor without a chosen name is called by its class and a number, and found, shown and refused by that."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Nameless)
        label, dash, number = ref.name.partition("-")
        assert (label, dash, number.isdecimal()) == ("Nameless", "-", True)
        assert system[ref.path] == ref
        assert [node.path for node in system.inspect().children] == [ref.path]
        with pytest.raises(NameTaken, match=repr(ref.name)):
            await system.spawn(Nameless, name=ref.name)
        for path in (f"Nameless-0{number}", f"Other-{number}", number, f"Nameless-{number * 5000}", "Nameless-", "-"):
            with pytest.raises(UnknownActor):
                _ = system[path]
        await ref.stop()
        with pytest.raises(UnknownActor):
            _ = system[ref.path]


async def test_a_made_name_never_meets_a_chosen_one() -> None:
    """Whoever chooses names that end in numbers hinders nobody who chooses none, and all are found by their own."""
    async with ActorSystem("test") as system:
        chosen = [await system.spawn(Nameless, name=f"Nameless-{number}") for number in range(20)]
        made = [await system.spawn(Nameless) for _ in range(20)]
        assert len({ref.path for ref in chosen + made}) == 40
        assert all(system[ref.path] == ref for ref in chosen + made)


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
