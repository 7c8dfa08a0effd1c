"""Faults by script: wrap the spec of a well-behaved actor, and it fails when the test says so."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.errors import ForeignCancellation, TinyLLMError
from tinyllm_actors.kernel import ChildSpec

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tinyllm_actors.kernel import Actor
    from tinyllm_actors.kernel.context import ActorContext

__all__ = ["Faults", "InjectedFault"]

When = int | Collection[int] | Callable[[Any], bool] | None
"""Which messages: the n-th (the first is 1), several, those for which a function says so, or None for every one."""


class InjectedFault(TinyLLMError):
    """What a wrapped actor raises unless the test gives another error."""


@dataclass(frozen=True, slots=True)
class _Fault:
    when: When
    act: Callable[[ActorContext, int], Awaitable[None]]

    def applies(self, number: int, message: Any) -> bool:
        when = self.when
        if when is None:
            return True
        if callable(when):
            return when(message)
        return number == when if isinstance(when, int) else number in when


class Faults:
    """A script of faults. Messages are counted over all actors and incarnations made of the wrapped spec.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.errors import AskTimeout
    >>> class Echo(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return message
    >>> async def main() -> None:
    ...     async with ActorSystem("test") as system:
    ...         echo = await system.spawn(Faults().hang(on=2).wrap(Echo.spec()), name="echo")
    ...         print(await echo.ask("one"))
    ...         try:
    ...             await echo.ask("two", timeout=0.01)
    ...         except AskTimeout as error:
    ...             print(error)
    ...         print(await echo.ask("three"))
    >>> anyio.run(main)
    one
    actor 'echo' did not answer within 0.01 s
    three

    ```

    Each method adds a fault and returns the script; faults of the same message happen in the order of adding.

    Attributes:
        handled: how many messages came so far.
        starts: how many incarnations were started.
    """

    def __init__(self) -> None:
        self.handled = 0
        self.starts = 0
        self._faults: list[_Fault] = []
        self._failed_starts: Collection[int] = ()
        self._start_error: BaseException | None = None

    def crash(self, on: When = None, *, error: BaseException | None = None) -> Faults:
        """Raise instead of handling the message."""

        async def act(_: ActorContext, number: int) -> None:
            raise error if error is not None else InjectedFault(f"message {number} of the script")

        return self._add(on, act)

    def delay(self, seconds: float, on: When = None) -> Faults:
        """Sleep before handling the message."""

        async def act(_: ActorContext, __: int) -> None:
            await anyio.sleep(seconds)

        return self._add(on, act)

    def hang(self, on: When = None) -> Faults:
        """Never come to an end; only cancellation helps."""

        async def act(_: ActorContext, __: int) -> None:
            await anyio.sleep_forever()

        return self._add(on, act)

    def drop_reply(self, on: When = None) -> Faults:
        """Handle the message, but lose the answer: the asker waits for its deadline."""

        async def act(context: ActorContext, _: int) -> None:
            context.reply_later()

        return self._add(on, act)

    def foreign_cancellation(self, on: When = None) -> Faults:
        """Behave like a library that cancels what the handler awaits.

        On asyncio that is a cancelled future; trio has no such thing, and the failure is raised as the kernel reports
        it.
        """

        async def act(context: ActorContext, _: int) -> None:
            await _cancelled_by_somebody(context)

        return self._add(on, act)

    def fail_start(self, on: int | Collection[int] = 1, *, error: BaseException | None = None) -> Faults:
        """Let `started()` of the n-th incarnation raise (the first is 1)."""
        self._failed_starts = (on,) if isinstance(on, int) else on
        self._start_error = error
        return self

    def wrap(self, spec: ChildSpec) -> ChildSpec:
        """Return the same spec with these faults."""
        return _FaultySpec(spec, self)

    def _add(self, when: When, act: Callable[[ActorContext, int], Awaitable[None]]) -> Faults:
        self._faults.append(_Fault(when, act))
        return self

    def install(self, actor: Actor) -> Actor:
        """Put the faults before the handler and the start of a new actor."""
        receive, started = actor.receive, actor.started

        async def faulty_receive(message: Any) -> Any:
            self.handled += 1
            number = self.handled
            for fault in self._faults:
                if fault.applies(number, message):
                    await fault.act(actor.context, number)
            result = receive(message)
            return await result if inspect.isawaitable(result) else result

        async def faulty_started() -> None:
            self.starts += 1
            if self.starts in self._failed_starts:
                raise self._start_error or InjectedFault(f"start {self.starts} of the script")
            await started()

        vars(actor).update(receive=faulty_receive, kernel_receive_is_async=True)
        vars(actor).update(started=faulty_started, kernel_has_started=True)
        return actor


class _FaultySpec(ChildSpec):
    __slots__ = ("_faults", "_spec", "keeps_children", "unordered")

    def __init__(self, spec: ChildSpec, faults: Faults) -> None:
        super().__init__(spec.factory, *spec.args, **spec.kwargs)
        self.name = spec.name
        self.options = spec.options
        self.keeps_children = spec.keeps_children
        self.unordered = spec.unordered
        self._spec = spec
        self._faults = faults

    def make(self) -> Actor:
        return self._faults.install(self._spec.make())


async def _cancelled_by_somebody(context: ActorContext) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise ForeignCancellation(context.path) from None
    future: asyncio.Future[None] = loop.create_future()
    future.cancel()
    await future
