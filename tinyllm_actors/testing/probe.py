"""An actor that a test talks through: it keeps what it gets, and answers what the test says."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar, overload

import anyio

from tinyllm_actors.kernel import Actor, ReplyTo, Terminated

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ActorRef, ActorSystem, ExitReason

__all__ = ["Probe"]

M = TypeVar("M")

PATIENCE = 3.0
"""Seconds that a probe waits unless told otherwise; real ones, or virtual ones under a virtual clock."""


class _Watch:
    """Asks the probe's actor to watch another."""

    def __init__(self, ref: ActorRef) -> None:
        self.ref = ref


class _ProbeActor(Actor):
    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    async def receive(self, message: Any) -> Any:
        if isinstance(message, _Watch):
            self.context.watch(message.ref)
        else:
            self._probe.take(message, self.context.reply_later())


class Probe:
    """The test's own place among the actors: hand `probe.ref` to those under test, and say what must arrive there.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> async def main() -> None:
    ...     async with ActorSystem("test") as system:
    ...         probe = await Probe.spawn(system)
    ...         question = probe.ref.ask("how many?")
    ...         print(await probe.expect_message(str))
    ...         probe.reply(3)
    ...         print(await question)
    >>> anyio.run(main)
    how many?
    3

    ```

    Attributes:
        ref: the reference of its actor.
        messages: everything that arrived, in order.
    """

    ref: ActorRef

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._waiting: deque[tuple[Any, ReplyTo]] = deque()
        self._arrived = anyio.Event()
        self._last: ReplyTo | None = None
        self._ignored: Callable[[Any], bool] = lambda _: False

    @classmethod
    async def spawn(cls, system: ActorSystem, *, name: str | None = None) -> Probe:
        """Start a probe under a system.

        Args:
            system: where.
            name: of its actor; left out, a number is part of it.
        """
        probe = cls()
        probe.ref = await system.spawn(_ProbeActor, probe, name=name)
        return probe

    def take(self, message: Any, reply_to: ReplyTo) -> None:
        """Keep a message; its actor calls this."""
        self.messages.append(message)
        if not self._ignored(message):
            self._waiting.append((message, reply_to))
            self._arrived.set()

    def ignore(self, wanted: Callable[[Any], bool]) -> None:
        """Do not expect messages for which `wanted` says True; they are in `messages` all the same."""
        self._ignored = wanted

    @overload
    async def expect_message(self, kind: type[M], *, within: float = PATIENCE) -> M: ...

    @overload
    async def expect_message(self, *, within: float = PATIENCE) -> Any: ...

    async def expect_message(self, kind: type[Any] = object, *, within: float = PATIENCE) -> Any:
        """Return the next message, which must be of that type.

        Args:
            kind: its type, or a base of it.
            within: seconds to wait for it.

        Raises:
            AssertionError: nothing came, or something else did.
        """
        with anyio.move_on_after(within):
            while not self._waiting:
                self._arrived = anyio.Event()
                await self._arrived.wait()
        if not self._waiting:
            raise AssertionError(f"no {kind.__name__} arrived at {self.ref.path!r} within {within:g} s")
        message, self._last = self._waiting.popleft()
        if not isinstance(message, kind):
            raise AssertionError(f"expected a {kind.__name__} at {self.ref.path!r}, got {message!r}")
        return message

    async def expect_nothing(self, within: float = 0.1) -> None:
        """Wait for a while, in which no message may arrive.

        Args:
            within: seconds; under a virtual clock as many as you like.

        Raises:
            AssertionError: a message arrived, or had not been expected before.
        """
        with anyio.move_on_after(within):
            while not self._waiting:
                self._arrived = anyio.Event()
                await self._arrived.wait()
        if self._waiting:
            raise AssertionError(f"expected nothing at {self.ref.path!r}, got {self._waiting[0][0]!r}")

    def reply(self, value: object) -> None:
        """Answer the message that was expected last.

        Raises:
            AssertionError: nobody waits for its answer.
        """
        if self._last is None or not self._last.reply(value):
            raise AssertionError(f"nobody waits for an answer of {self.ref.path!r}: it was told, or the asker has left")

    def fail(self, error: BaseException) -> None:
        """Answer the message that was expected last with a failure.

        Raises:
            AssertionError: nobody waits for its answer.
        """
        if self._last is None or not self._last.fail(error):
            raise AssertionError(f"nobody waits for an answer of {self.ref.path!r}: it was told, or the asker has left")

    async def watch(self, ref: ActorRef) -> None:
        """Let the end of an actor arrive here, as a `Terminated`."""
        await self.ref.ask(_Watch(ref), timeout=PATIENCE)

    async def expect_terminated(self, ref: ActorRef, *, within: float = PATIENCE) -> ExitReason:
        """Return why a watched actor ended, which must be the next that arrives here.

        Raises:
            AssertionError: something else came, or nothing.
        """
        message = await self.expect_message(Terminated, within=within)
        if message.ref != ref:
            raise AssertionError(f"expected the end of {ref.path!r}, got that of {message.ref.path!r}")
        return message.reason
