"""A system for one test, with probes, faults and a record of what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.kernel import ActorSystem, ChildFailed, DeadLetter, Lifecycle, Transition
from tinyllm_actors.testing.probe import PATIENCE, Probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["TestKit"]

_ON_THEIR_WAY = {Lifecycle.STARTING, Lifecycle.RESTARTING, Lifecycle.STOPPING}


class TestKit:
    """An actor system that keeps a record: `async with TestKit() as kit`.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor
    >>> class Relay(Actor):
    ...     def __init__(self, target: object) -> None:
    ...         self.target = target
    ...     async def receive(self, message: str) -> None:
    ...         await self.target.tell(message.upper())
    >>> async def main() -> None:
    ...     async with TestKit() as kit:
    ...         probe = await kit.probe()
    ...         relay = await kit.system.spawn(Relay, probe.ref, name="relay")
    ...         await relay.tell("hello")
    ...         print(await probe.expect_message(str))
    ...         await probe.expect_nothing()
    ...         print(kit.lines())
    >>> anyio.run(main)
    HELLO
    ['[relay] transition to: STARTING', '[relay] transition to: RUNNING']

    ```

    Args:
        name: of the system.
        strict: fail the test on leaving if an actor failed or a message became a dead letter, unless the test read
            it from `failures` or `dead_letters` and cleared it.
        options: of `ActorSystem`.

    Attributes:
        system: the system.
        transitions: what state machines did, in order.
        failures: what actors failed with, in order.
        dead_letters: messages that nobody handled, in order.
    """

    __test__ = False  # the name begins like that of a test class

    def __init__(self, name: str = "test", *, strict: bool = False, **options: Any) -> None:
        self.system = ActorSystem(name, **options)
        self.transitions: list[Transition] = []
        self.failures: list[ChildFailed] = []
        self.dead_letters: list[DeadLetter] = []
        self._strict = strict
        self._probes: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.system.__aenter__()
        events = self.system.events_stream
        events.subscribe(self.transitions.append, Transition)
        events.subscribe(self.failures.append, ChildFailed)
        events.subscribe(self.dead_letters.append, DeadLetter)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        swallowed = await self.system.__aexit__(kind, error, traceback)
        if self._strict and error is None:
            assert not self.failures, f"actors failed: {self.failures!r}"
            assert not self.dead_letters, f"messages were not handled: {self.dead_letters!r}"
        return swallowed

    async def probe(self, name: str | None = None) -> Probe:
        """Start a probe."""
        probe = await Probe.spawn(self.system, name=name)
        self._probes.add(probe.ref.path)
        return probe

    def lines(self, *, lifecycle: bool = True) -> list[str]:
        """Return the transitions as the log shows them, without those of probes.

        Args:
            lifecycle: the starts and stops of actors too.
        """
        return [
            f"[{event.name}] transition to: {event.target}"
            for event in self.transitions
            if event.path not in self._probes and (lifecycle or event.machine != "lifecycle")
        ]

    async def until(self, condition: Callable[[], object], *, within: float = PATIENCE) -> None:
        """Wait until `condition()` is true.

        Raises:
            AssertionError: it was not, for `within` seconds.
        """
        with anyio.move_on_after(within):
            while not condition():  # noqa: ASYNC110 - any condition, so nobody can tell us
                await anyio.sleep(0.001)
        if not condition():
            raise AssertionError(f"the condition did not come true within {within:g} s")

    async def settle(self, *, within: float = PATIENCE) -> None:
        """Wait until no message waits anywhere and no handler runs.

        Raises:
            AssertionError: some actor was still at work after `within` seconds; the tree shows which.
        """
        try:
            await self.until(self._settled, within=within)
        except AssertionError:
            tree = self.system.inspect().render()
            raise AssertionError(f"actors are still at work after {within:g} s:\n{tree}") from None

    def _settled(self) -> bool:
        at_rest = all(
            node.message is None and not node.depth and node.state not in _ON_THEIR_WAY
            for node in self.system.inspect().walk()
        )
        return at_rest and not self.system.scheduler.queue
