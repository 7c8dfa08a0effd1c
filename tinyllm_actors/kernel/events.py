"""What happens inside a system, as records that anybody may subscribe to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tinyllm_actors.kernel.lifecycle import ExitReason

__all__ = [
    "ActorTerminated",
    "CallFailed",
    "ChildFailed",
    "ChildRestarted",
    "DeadLetter",
    "Escalated",
    "Transition",
    "Unanswered",
]


# The others are frozen dataclasses. This one is made for every step of every call: a tuple takes half the time.
class Transition(NamedTuple):
    """A state machine of an actor moved.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Transition
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(Transition) as moves:
    ...         await system.spawn(Actor, name="a")
    ...         for _ in range(2):
    ...             move = await moves.receive()
    ...             print(f"{move.path}: {move.source} --{move.event}-> {move.target}")
    >>> anyio.run(main)
    a: NEW --start-> STARTING
    a: STARTING --started-> RUNNING

    ```

    Attributes:
        path: whose.
        name: how the actor is called in the log.
        machine: which of its machines: `"lifecycle"`, `"function"` …
        source: the state it left.
        event: what moved it.
        target: the state it is in.
        message_id: the message in processing; 0 outside of one.
        elapsed: seconds it spent in `source`; 0.0 where that is not measured.
    """

    path: str
    name: str
    machine: str
    source: str
    event: str
    target: str
    message_id: int = 0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call of a Function (a model, a tool, an agent …) ended in an error dictionary. The actor lives on.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function
    >>> from tinyllm_actors.function import CallFailed
    >>> class Fragile(Function):
    ...     async def run(self) -> None:
    ...         raise OSError("disk full")
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(CallFailed) as failures:
    ...         await (await system.spawn(Fragile, name="fragile"))()
    ...         print(await failures.receive())
    >>> anyio.run(main)
    CallFailed(path='fragile', name='Fragile', state=<States.RUNNING: 'RUNNING'>, error=OSError('disk full'))

    ```

    Attributes:
        path: the Function.
        name: what it is called in the log.
        state: where in the call it happened.
        error: the exception.
    """

    path: str
    name: str
    state: str
    error: Exception


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """A child's handler, or its start, failed.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import ChildFailed
    >>> class Fragile(Actor):
    ...     async def receive(self, message: object) -> None:
    ...         raise OSError("disk full")
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(ChildFailed) as failures:
    ...         await (await system.spawn(Fragile, name="fragile")).tell("go")
    ...         print(await failures.receive())
    >>> anyio.run(main)
    ChildFailed(path='fragile', cause=OSError('disk full'), incarnation=1)

    ```
    """

    path: str
    cause: BaseException
    incarnation: int


@dataclass(frozen=True, slots=True)
class ChildRestarted:
    """A child is running again.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import ChildRestarted
    >>> class Fragile(Actor):
    ...     async def receive(self, message: object) -> None:
    ...         raise OSError("disk full")
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(ChildRestarted) as restarts:
    ...         await (await system.spawn(Fragile, name="fragile")).tell("go")
    ...         print(await restarts.receive())
    >>> anyio.run(main)
    ChildRestarted(path='fragile', incarnation=2, cause=OSError('disk full'))

    ```

    Attributes:
        incarnation: the number of the new incarnation; the first was 1.
        cause: the failure that ended the old one; None where a sibling's did.
    """

    path: str
    incarnation: int
    cause: BaseException | None


@dataclass(frozen=True, slots=True)
class Escalated:
    """A supervisor gave up on a child and failed itself.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem, Supervisor
    >>> from tinyllm_actors.kernel import Escalated
    >>> class Fragile(Actor):
    ...     async def receive(self, message: object) -> None:
    ...         raise OSError("disk full")
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(Escalated) as escalations:
    ...         await system.supervise(Supervisor(max_restarts=0), [Fragile.spec().named("a")], name="s")
    ...         await system["s/a"].tell("go")
    ...         event = await escalations.receive()
    ...         print(event.path, event.child, event.cause)
    >>> anyio.run(main)
    s s/a 's/a' failed beyond 0 restarts in 5 s under 's'; last cause: OSError: disk full

    ```
    """

    path: str
    child: str
    cause: BaseException


@dataclass(frozen=True, slots=True)
class ActorTerminated:
    """An actor ended for good.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import ActorTerminated
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(ActorTerminated) as ends:
    ...         await (await system.spawn(Actor, name="a")).stop()
    ...         event = await ends.receive()
    ...         print(event.path, event.reason)
    >>> anyio.run(main)
    a stopped

    ```
    """

    path: str
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nobody handled.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import DeadLetter
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(DeadLetter) as letters:
    ...         ref = await system.spawn(Actor, name="a")
    ...         await ref.stop()
    ...         await ref.tell("too late")
    ...         print(await letters.receive())
    >>> anyio.run(main)
    DeadLetter(path='a', message='too late', reason='stopped', asked=False, replays=0)

    ```

    Attributes:
        path: whom it was for.
        message: what it was.
        reason: why: `"stopped"`, `"expired"`, `"drop_oldest"`, `"drop_newest"`, `"full"` (of a published message),
            `"poison"` (its handler failed each time).
        asked: whether somebody waited for an answer, and has been told that none comes.
        replays: how often it had been replayed before it became this dead letter.
    """

    path: str
    message: object
    reason: str
    asked: bool = False
    replays: int = 0


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An actor did not end when it was cancelled, and was abandoned.

    ```python
    >>> from tinyllm_actors.kernel import Unanswered
    >>> def on_abandoned(event: Unanswered) -> None:  # for `system.events_stream.subscribe(on_abandoned, Unanswered)`
    ...     print(f"{event.path} was given up after {event.waited:g} s; a thread or a swallowed cancellation?")
    >>> on_abandoned(Unanswered("pool/3", 1.0))
    pool/3 was given up after 1 s; a thread or a swallowed cancellation?

    ```
    """

    path: str
    waited: float
