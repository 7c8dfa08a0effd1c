"""The garbage collector's switch, and that the runtime does not depend on the collector."""

from __future__ import annotations

import gc
import weakref

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import Actor, ActorSystem, Supervisor, short_pauses


class Fragile(Actor):
    """Keeps an object alive for as long as it lives."""

    def __init__(self, alive: weakref.WeakSet[Actor]) -> None:
        alive.add(self)

    async def receive(self, message: str) -> str:
        if message == "wait":
            await anyio.lowlevel.checkpoint()
        if message == "fail":
            raise LookupError(message)
        return message


class PlainFragile(Actor):
    """The same with a handler that the asker runs."""

    def __init__(self, alive: weakref.WeakSet[Actor]) -> None:
        alive.add(self)

    def receive(self, message: str) -> str:
        if message == "fail":
            raise LookupError(message)
        return message


def test_the_switch_holds_inside_the_block_only() -> None:
    """Old objects are left alone inside the block; after it, also after a failure, everything is as it was."""
    before = gc.get_threshold()
    with pytest.raises(LookupError), short_pauses():
        assert gc.get_threshold()[0] <= 10_000
        assert gc.get_threshold()[1] >= 1_000_000
        raise LookupError
    assert gc.get_threshold() == before


@pytest.mark.anyio
@pytest.mark.usefixtures("only_new_garbage")
@pytest.mark.parametrize("kind", [Fragile, PlainFragile])
async def test_an_actor_that_ended_is_free_without_the_collector(kind: type[Actor]) -> None:
    """What ended by a stop, a kill or a crash is freed at once, with no circle left for the collector."""
    alive: weakref.WeakSet[Actor] = weakref.WeakSet()
    gc.disable()
    try:
        async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
            refs = [await system.spawn(kind, alive) for _ in range(3)]
            for ref in refs:
                assert await ref.ask("hello") == "hello"
                assert await ref.ask("wait") == "wait"
            await refs[0].stop()
            await refs[1].kill()
            first = weakref.ref(next(actor for actor in alive if actor.kernel_cell is refs[2].cell))
            with pytest.raises(ActorFailed) as caught:
                await refs[2].ask("fail")
            del caught
            assert await refs[2].ask("hello") == "hello"
            assert first() is None
            assert len(alive) == 1
            await refs[2].stop()
            assert len(alive) == 0
    finally:
        gc.enable()
