"""How to make an actor and what to do when it ends: data that a supervisor keeps and runs again."""

from __future__ import annotations

import math
from copy import copy as shallow_copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.kernel.choice import choice
from tinyllm_actors.kernel.mailbox import Mailbox
from tinyllm_actors.kernel.restart import Backoff, Directive, Restart, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.kernel.actor import Actor
    from tinyllm_actors.kernel.ref import ActorRef

__all__ = ["BRUTAL_KILL", "ChildOptions", "ChildSpec", "DynamicSupervisor", "InFlight", "Supervisor"]

BRUTAL_KILL: Final = 0.0
"""A shutdown time-out that cancels at once and runs no `stopped()` hook."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """What becomes of the message in processing when its handler fails.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import InFlight
    >>> class Unlucky(Actor):
    ...     async def receive(self, message: object) -> int:
    ...         if self.context.attempt < 2:
    ...             raise OSError("not yet")
    ...         return self.context.attempt
    >>> async def main() -> int:
    ...     async with ActorSystem("service") as system:
    ...         spec = Unlucky.spec().with_options(on_inflight=InFlight(redeliveries=3))
    ...         return await (await system.spawn(spec)).ask("go")
    >>> anyio.run(main)
    2

    ```

    Args:
        redeliveries: how often it is handled again, by the next incarnation, with the same id and `attempt + 1`;
            after that it goes to the dead letters. 0 fails its asker and drops it. If in doubt, 0: redeliver only
            what is safe to do twice.
    """

    redeliveries: int = 0

    def __post_init__(self) -> None:
        if self.redeliveries < 0:
            raise ValueError(f"redeliveries must be 0 or more, got {self.redeliveries!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """What a supervisor needs to know of a child.

    ```python
    >>> from tinyllm_actors import Actor, Mailbox, Restart
    >>> from tinyllm_actors.kernel import BRUTAL_KILL, ChildOptions
    >>> class Cache(Actor):
    ...     options = ChildOptions(restart=Restart.TRANSIENT, mailbox=Mailbox(capacity=10))  # of every cache
    >>> Cache.spec().with_options(shutdown=BRUTAL_KILL).options.shutdown  # of this one
    0.0
    >>> Cache.spec().options.mailbox.capacity
    10

    ```

    Args:
        restart: when the child is started again.
        shutdown: seconds it gets to finish its current message, and again to run `stopped()`, before it is
            cancelled; `BRUTAL_KILL` for none, `math.inf` for as long as it takes.
        mailbox: how much may wait, and what happens to what does not fit.
        on_inflight: what becomes of the message in processing when the handler fails.
        significant: when this child ends for good, so does its supervisor (see `Supervisor.auto_shutdown`).
        max_restarts: restarts of this child tolerated in the supervisor's period; None for the supervisor's own
            bound alone.
        detached: go on with a message though its asker has left or its deadline has passed.
        passivate_after: seconds without a message after which the incarnation is stopped; the next message starts
            another. None to keep it. Messages of the actor's own timers do not keep it awake.
        dedicated: give the actor a task of its own, in which `started()`, every handler and `stopped()` run, so that
            it can hold a task group, a cancel scope or any `async with` open from `started()` to `stopped()`. Costs a
            task, some 7 KB, and a few microseconds a message; without such a need leave it.
    """

    restart: Restart = Restart.PERMANENT
    shutdown: float = 5.0
    mailbox: Mailbox = field(default_factory=Mailbox)
    on_inflight: InFlight = field(default_factory=InFlight)
    significant: bool = False
    max_restarts: int | None = None
    detached: bool = False
    passivate_after: float | None = None
    dedicated: bool = False
    inline: bool = field(init=False, repr=False, default=True)
    """Whether an asker may run a plain handler itself."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "restart", choice(Restart, self.restart))
        if not self.shutdown >= 0:
            raise ValueError(f"shutdown must be 0 or more seconds, got {self.shutdown!r}")
        if self.max_restarts is not None and self.max_restarts < 0:
            raise ValueError(f"max_restarts must be 0 or more or None, got {self.max_restarts!r}")
        if self.passivate_after is not None and not self.passivate_after > 0:
            raise ValueError(f"passivate_after must be above 0 seconds or None, got {self.passivate_after!r}")
        if self.significant and self.restart is Restart.PERMANENT:
            raise ValueError("a permanent child never ends for good, so it cannot be significant; use transient")
        object.__setattr__(self, "inline", not self.on_inflight.redeliveries and not self.dedicated)


DEFAULT_OPTIONS: Final = ChildOptions()
_NO_ARGUMENTS: Final[dict[str, Any]] = {}


class ChildSpec:
    """How to make an actor. The factory runs again for every incarnation.

    `Actor.spec(…)` makes one; `ChildSpec(factory, *args, **kwargs)` does it for any callable that returns an actor.

    ```python
    >>> from tinyllm_actors import Actor, Restart
    >>> class Echo(Actor):
    ...     def receive(self, message: object) -> object:
    ...         return message
    >>> Echo.spec().named("echo").with_options(restart=Restart.TRANSIENT)
    <ChildSpec Echo name='echo'>

    ```

    Attributes:
        factory: what makes the actor.
        label: what actors are called that get no name, followed by a number.
        name: the name the actor shall have, if it shall have one.
        options: what its supervisor shall know.
        ref_type: what kind of reference leads to the actor; None for an `ActorRef`.
    """

    __slots__ = ("args", "factory", "kwargs", "label", "name", "options", "ref_type")

    keeps_children = False
    unordered = False

    def __init__(self, factory: Callable[..., Actor], /, *args: Any, **kwargs: Any) -> None:
        self.factory = factory
        self.args = args
        self.kwargs = kwargs or _NO_ARGUMENTS
        self.name: str | None = None
        self.label: str = getattr(factory, "__name__", type(factory).__name__)
        self.options: ChildOptions = getattr(factory, "options", None) or DEFAULT_OPTIONS
        self.ref_type: type[ActorRef] | None = getattr(factory, "ref_type", None)

    def make(self) -> Actor:
        """Return a new actor object."""
        if self.args or self.kwargs:
            return self.factory(*self.args, **self.kwargs)
        return self.factory()  # a plain call takes half the time of one that unpacks nothing

    def named(self, name: str) -> ChildSpec:
        """Return the same spec with a name, unique among siblings."""
        copy = shallow_copy(self)
        copy.name = check_name(name)
        return copy

    def with_options(self, **changes: Any) -> ChildSpec:
        """Return the same spec with other options (the fields of `ChildOptions`).

        Raises:
            TypeError: there is no such option.
            ValueError: a value is out of range.
        """
        copy = shallow_copy(self)
        copy.options = replace(self.options, **changes)
        return copy

    def __repr__(self) -> str:
        # The arguments may hold secrets, so they are not shown.
        name = "" if self.name is None else f" name={self.name!r}"
        return f"<ChildSpec {getattr(self.factory, '__name__', 'factory')}{name}>"


def check_name(name: str) -> str:
    """Return `name` if it can be part of a path.

    Raises:
        ValueError: it is empty or holds a slash.
    """
    if not name or "/" in name:
        raise ValueError(f"an actor's name must be non-empty and without '/', got {name!r}")
    return name


def _always_restart(_: BaseException) -> Directive:
    return Directive.RESTART


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """What is done when a child fails.

    More than `max_restarts` restarts within `period` seconds fail the supervisor itself, and its own supervisor
    decides. With the defaults the fourth failure inside five seconds does.

    Args:
        strategy: which children restart when one fails.
        max_restarts: restarts tolerated within `period`; 0 for none.
        period: in seconds.
        backoff: how long to wait before each restart; None to restart at once.
        decider: what to do about a failure, by its exception.
        auto_shutdown: stop when a significant child has ended for good by itself: `"never"`, `"any"` of them or
            `"all"`. The stop is final, and to the supervisor above it is one of the supervisor's own.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem, Strategy, Supervisor
    >>> class Part(Actor):
    ...     pass
    >>> async def main() -> None:
    ...     pair = Supervisor(strategy=Strategy.ONE_FOR_ALL, max_restarts=3, period=5.0)
    ...     async with ActorSystem("plant") as system:
    ...         ref = await system.supervise(pair, [Part.spec().named("a"), Part.spec().named("b")], name="pair")
    ...         print([child.path for child in ref.children])
    >>> anyio.run(main)
    ['pair/a', 'pair/b']

    ```

    Source: OTP `supervisor`.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    max_restarts: int = 3
    period: float = 5.0
    backoff: Backoff | None = field(default_factory=Backoff)
    decider: Callable[[BaseException], Directive] = _always_restart
    auto_shutdown: str = "never"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategy", choice(Strategy, self.strategy))
        if self.max_restarts < 0 or not 0 < self.period < math.inf:
            raise ValueError(
                f"need max_restarts >= 0 and period > 0, got max_restarts={self.max_restarts!r}, period={self.period!r}"
            )
        if self.auto_shutdown not in {"never", "any", "all"}:
            raise ValueError(f"auto_shutdown is 'never', 'any' or 'all', not {self.auto_shutdown!r}")

    def spec(self, children: Sequence[ChildSpec] = ()) -> ChildSpec:
        """Return how to make this supervisor with its children, to be a child of another one: a tree.

        ```python
        >>> import anyio
        >>> from tinyllm_actors import Actor, ActorSystem, Strategy, Supervisor
        >>> class Part(Actor):
        ...     pass
        >>> async def main() -> str:
        ...     readers = Supervisor().spec([Part.spec().named("ann"), Part.spec().named("ben")]).named("readers")
        ...     library = Supervisor(strategy=Strategy.REST_FOR_ONE)
        ...     async with ActorSystem("town") as system:
        ...         await system.supervise(library, [Part.spec().named("shelves"), readers], name="library")
        ...         return system["library/readers/ben"].path
        >>> anyio.run(main)
        'library/readers/ben'

        ```
        """
        from tinyllm_actors.kernel.node import SupervisorSpec  # which is made of what is defined here

        return SupervisorSpec(self, list(children))


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicSupervisor(Supervisor):
    """A supervisor of many children that come and go and do not depend on one another.

    They are restarted one for one and shut down all at once.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import DynamicSupervisor
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("service") as system:
    ...         sessions = await system.supervise(DynamicSupervisor(max_children=2), [], name="sessions")
    ...         for name in ("ann", "ben"):
    ...             await sessions.spawn(Actor, name=name)
    ...         return [session.path for session in sessions.children]
    >>> anyio.run(main)
    ['sessions/ann', 'sessions/ben']

    ```

    Args:
        max_children: how many there may be; None for no bound.

    Source: Elixir `DynamicSupervisor`.
    """

    max_children: int | None = None

    def __post_init__(self) -> None:
        Supervisor.__post_init__(self)
        if self.max_children is not None and self.max_children < 1:
            raise ValueError(f"max_children must be at least 1 or None, got {self.max_children!r}")
        if self.strategy is not Strategy.ONE_FOR_ONE:
            raise ValueError(f"children of a dynamic supervisor are unordered: no {self.strategy.value!r} there")
