"""The arithmetic of restarts: how often, after how long, and who else. Pure: no clock, no loop, no actors."""

from __future__ import annotations

import enum
import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Backoff", "Directive", "Restart", "RestartWindow", "Strategy", "affected", "inside", "unwrap"]

T = TypeVar("T")


class Restart(enum.StrEnum):
    """When a child that ended is started again.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors import Restart
    >>> class Job(Actor):
    ...     async def receive(self, message: object) -> None:
    ...         self.context.stop()
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         once = await system.spawn(Job.spec().with_options(restart=Restart.TRANSIENT), name="once")
    ...         await once.tell("go")
    ...         print(await once.join())  # a permanent one would be started again
    >>> anyio.run(main)
    normal

    ```

    Source: OTP `supervisor`, child specification, `restart`.
    """

    PERMANENT = "permanent"
    """Always. If in doubt, use this."""
    TRANSIENT = "transient"
    """Only after a failure."""
    TEMPORARY = "temporary"
    """Never, not even when a sibling's failure stops it."""


class Strategy(enum.StrEnum):
    """Which children are restarted when one fails.

    ```python
    >>> from tinyllm_actors import Strategy, Supervisor
    >>> from tinyllm_actors.kernel.restart import affected
    >>> Supervisor(strategy=Strategy.REST_FOR_ONE).strategy.value
    'rest_for_one'
    >>> {strategy.value: affected(strategy, ["a", "b", "c"], "b") for strategy in Strategy}
    {'one_for_one': ['b'], 'one_for_all': ['a', 'b', 'c'], 'rest_for_one': ['b', 'c']}

    ```

    Source: OTP `supervisor`, `strategy`.
    """

    ONE_FOR_ONE = "one_for_one"
    """That one. If in doubt, use this."""
    ONE_FOR_ALL = "one_for_all"
    """All of them: none can work without the others."""
    REST_FOR_ONE = "rest_for_one"
    """That one and those started after it: each depends on the earlier ones."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the n-th restart in a row.

    With `Backoff(3.0, 30.0, jitter=0.0)` the waits are 3, 6, 12, 24, 30, 30 … seconds.

    ```python
    >>> from tinyllm_actors import Backoff
    >>> backoff = Backoff(3.0, 30.0, jitter=0.0)
    >>> [backoff.delay(attempt) for attempt in range(6)]
    [3.0, 6.0, 12.0, 24.0, 30.0, 30.0]

    ```

    Args:
        initial: the first wait, in seconds.
        maximum: the longest wait, in seconds.
        jitter: the share by which a wait is lengthened at random, so that many do not restart at once: 0.2 adds up
            to 20 %.
        factor: what each wait is multiplied by.
        reset_after: seconds without a failure after which counting begins anew; None for twice `maximum`.

    Raises:
        ValueError: a number is negative, or `maximum` is below `initial`.
    """

    initial: float = 0.1
    maximum: float = 30.0
    jitter: float = 0.2
    factor: float = 2.0
    reset_after: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.initial <= self.maximum < math.inf):
            raise ValueError(f"need 0 <= initial <= maximum, got initial={self.initial!r}, maximum={self.maximum!r}")
        if not (0 <= self.jitter < math.inf and 1 <= self.factor < math.inf):
            raise ValueError(f"need jitter >= 0 and factor >= 1, got {self.jitter!r} and {self.factor!r}")
        if self.reset_after is not None and not self.reset_after >= 0:
            raise ValueError(f"need reset_after >= 0 or None, got {self.reset_after!r}")

    def delay(self, attempt: int, random: float = 0.0) -> float:
        """Return the seconds to wait before a restart.

        Args:
            attempt: how many there were in a row before it; 0 for the first.
            random: a number from 0 to 1 that places the wait inside its jitter.
        """
        # Beyond 64 doublings the power overflows, and the maximum was reached long ago.
        wait = min(self.maximum, self.initial * self.factor ** min(attempt, 64))
        return wait * (1.0 + self.jitter * random)

    @property
    def quiet(self) -> float:
        """Seconds without a failure after which counting begins anew."""
        return self.maximum * 2 if self.reset_after is None else self.reset_after


@dataclass(slots=True, kw_only=True)
class RestartWindow:
    """Count restarts in a sliding window.

    ```python
    >>> from tinyllm_actors.kernel import RestartWindow
    >>> window = RestartWindow(max_restarts=2, period=5.0)
    >>> [window.admit(now) for now in (0.0, 1.0, 2.0)]
    [True, True, False]
    >>> window.left(now=6.5)
    1

    ```

    Args:
        max_restarts: restarts tolerated inside one window; 0 means never restart.
        period: window length, in seconds of the caller's clock.

    Source: OTP `supervisor`, `intensity` and `period`.
    """

    max_restarts: int
    period: float
    # A list: they are few, and an empty deque takes 760 bytes of every supervisor.
    _times: list[float] = field(default_factory=list[float])

    def _count(self, now: float) -> int:
        """Return how many restarts are in the window that ends at `now`."""
        # OTP keeps a restart that is exactly `period` old inside the window.
        old = bisect_left(self._times, now - self.period)
        if 2 * old > len(self._times):  # all at once and not each time: it moves those that stay
            del self._times[:old]
            old = 0
        return len(self._times) - old

    def admit(self, now: float) -> bool:
        """Count a restart at `now`; False when that is one too many."""
        count = self._count(now)
        self._times.append(now)
        return count < self.max_restarts

    def left(self, now: float) -> int:
        """Return how many restarts are left in the window that ends at `now`."""
        return max(0, self.max_restarts - self._count(now))


def affected(strategy: Strategy, children: Sequence[T], failed: T) -> list[T]:
    """Return the children that stop and start because `failed` did, in start order.

    ```python
    >>> affected(Strategy.REST_FOR_ONE, ["a", "b", "c"], "b")
    ['b', 'c']

    ```
    """
    if strategy is Strategy.ONE_FOR_ONE:
        return [failed]
    if strategy is Strategy.ONE_FOR_ALL:
        return list(children)
    return list(children[children.index(failed) :])


def unwrap(error: BaseException) -> BaseException:
    """Return the only leaf of an exception group, however deep; any other error as it is."""
    while len(inner := inside(error)) == 1:
        error = inner[0]
    return error


def inside(error: BaseException) -> Sequence[BaseException]:
    """Return the members of an exception group; nothing for any other error."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions
    return ()


class Directive(enum.StrEnum):
    """What a supervisor does about a failure.

    ```python
    >>> from tinyllm_actors import Supervisor
    >>> from tinyllm_actors.kernel import Directive
    >>> def decide(cause: BaseException) -> Directive:
    ...     return Directive.STOP if isinstance(cause, PermissionError) else Directive.RESTART
    >>> Supervisor(decider=decide).decider(PermissionError("no")).value
    'stop'

    ```

    Source: Pekko, "Fault tolerance", supervision directives.
    """

    RESTART = "restart"
    """Start a new incarnation. If in doubt, use this."""
    RESUME = "resume"
    """Go on with the same object, as if the message had not come. Only when its state cannot be harmed."""
    STOP = "stop"
    """Stop the child for good."""
    ESCALATE = "escalate"
    """Fail the supervisor itself, with the same cause."""
