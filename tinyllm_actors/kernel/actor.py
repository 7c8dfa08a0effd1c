"""The class that users derive from."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec

from tinyllm_actors.kernel.context import ActorContext
from tinyllm_actors.kernel.spec import DEFAULT_OPTIONS, ChildSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.lifecycle import ExitReason
    from tinyllm_actors.kernel.ref import ActorRef
    from tinyllm_actors.kernel.spec import ChildOptions, Supervisor

__all__ = ["Actor"]

P = ParamSpec("P")

# What the kernel puts among the attributes of an actor that changes its behaviour or is traced.
_INSTALLED = frozenset({"receive", "stream", "produce", "kernel_receive_is_async"})


class Actor:
    """State that handles one message at a time.

    Override `receive`, and whatever else is needed. Everything between two `await`s, and everything from one message
    to the next, runs alone: no locks.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> class Counter(Actor):
    ...     def __init__(self, start: int = 0) -> None:
    ...         self.value = start
    ...     async def receive(self, message: int) -> int:
    ...         self.value += message
    ...         return self.value
    >>> async def main() -> int:
    ...     async with ActorSystem("service") as system:
    ...         counter = await system.spawn(Counter, 10, name="counter")
    ...         await counter.tell(1)
    ...         return await counter.ask(1, timeout=1.0)
    >>> anyio.run(main)
    12

    ```

    Attributes:
        options: what its supervisor shall know of every actor of this class, unless its spec says otherwise.
        supervision: how it supervises its own children.
    """

    # Set by the kernel when the object becomes an incarnation; no __init__ is needed in subclasses.
    __slots__ = ("__dict__", "kernel_cell")

    options: ClassVar[ChildOptions | None] = None
    supervision: ClassVar[Supervisor | None] = None
    ref_type: ClassVar[type[ActorRef] | None] = None

    kernel_cell: Cell
    kernel_receive_is_async: ClassVar[bool] = True
    kernel_produces: ClassVar[bool] = False
    kernel_bare_spec: ClassVar[ChildSpec | None] = None
    kernel_shares_spec: ClassVar[bool] = True
    kernel_has_started: ClassVar[bool] = False
    kernel_has_stopped: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kernel_receive_is_async = inspect.iscoroutinefunction(cls.receive)
        cls.kernel_produces = cls.produce is not Actor.produce
        cls.kernel_bare_spec = None
        cls.kernel_shares_spec = getattr(cls.spec, "__func__", None) is Actor.spec.__func__
        cls.kernel_has_started = cls.started is not Actor.started
        cls.kernel_has_stopped = cls.stopped is not Actor.stopped

    if TYPE_CHECKING:

        @classmethod
        def spec(cls: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> ChildSpec:
            """Return how to make this actor; the arguments are those of its constructor, and are checked as such."""
            ...
    else:

        @classmethod
        def spec(cls, *args: Any, **kwargs: Any) -> ChildSpec:
            """Return how to make this actor; the arguments are those of its constructor."""
            if args or kwargs or not cls.kernel_shares_spec:
                return ChildSpec(cls, *args, **kwargs)
            # Specs do not change, so all actors without arguments share one: 96 bytes and 0.2 µs less for each.
            bare = cls.kernel_bare_spec
            if bare is None or bare.options is not (cls.options or DEFAULT_OPTIONS):
                bare = cls.kernel_bare_spec = ChildSpec(cls)
            return bare

    @property
    def context(self) -> ActorContext:
        """The actor's view of the system: its reference, children, timers, deadline. From `started()` on.

        Raises:
            RuntimeError: the object is no running actor (its constructor runs before it becomes one).
        """
        try:
            return ActorContext(self.kernel_cell)
        except AttributeError:
            raise RuntimeError(
                f"{type(self).__name__} has no context yet: use `started()` instead of the constructor, and spawn it"
            ) from None

    async def started(self) -> None:
        """Get ready; runs before the first message of each incarnation. Raising here is a failed start."""

    def receive(self, message: Any) -> Any:
        """Handle one message; what is returned answers an ask.

        Define it with `async def` to await things. A plain `def` may run in the asker's task when the actor is idle,
        which makes an ask as cheap as a call.

        Raises:
            Exception: anything raised fails the asker with `ActorFailed` and is reported to the supervisor.
        """
        raise TypeError(f"{type(self).__name__} takes no messages: it does not define receive()")

    def stream(self, message: Any) -> AsyncGenerator[Any, None]:
        """Handle `ref.stream(message)`: an async generator whose items go to the reader."""
        raise TypeError(f"{type(self).__name__} does not stream: it does not define stream()")

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Handle `ref.stream(message)` without a generator: `await emit(item)` hands each item to the reader.

        Define it instead of `stream()` where the producer holds a cancel scope, a task group or a connection open
        while it produces: a generator must not yield inside of one.
        """
        raise TypeError(f"{type(self).__name__} does not stream: it does not define produce()")

    def snapshot(self) -> Any:
        """Return what `ref.get_state()` shows: the attributes, unless overridden. Must be quick.

        In a dictionary, values whose names are those of secrets (`api_key`, `password` …) are masked.
        """
        return {name: value for name, value in vars(self).items() if name not in _INSTALLED}

    def machine_states(self) -> Mapping[str, str]:
        """Return the state of each state machine of this actor by its name, for `system.inspect()`. Must be quick."""
        return {}

    async def stopped(self, reason: ExitReason) -> None:
        """Release what this incarnation holds. Runs once, after its last message and after its children ended."""
