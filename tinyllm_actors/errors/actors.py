"""What happens to actors. See the package for the whole tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.errors.base import TinyLLMError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ActorError",
    "ActorFailed",
    "ActorStopped",
    "AskDeadlock",
    "AskTimeout",
    "ChildLimitExceeded",
    "ForeignCancellation",
    "InvalidTransition",
    "LinkedActorFailed",
    "MailboxFull",
    "MessageDiscarded",
    "NameTaken",
    "RestartLimitExceeded",
    "ScopeLeftOpen",
    "StartFailed",
    "SystemClosed",
    "UnknownActor",
    "Unresponsive",
]


class ActorError(TinyLLMError):
    """Something happened to an actor.

    Attributes:
        path: where the actor is in the tree, such as `"service/counter"`.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class ActorFailed(ActorError):
    """The handler raised while it worked on this message.

    Attributes:
        cause: what the handler raised; also `__cause__`.
    """

    def __init__(self, path: str, cause: BaseException) -> None:
        super().__init__(path, f"actor {path!r} failed: {type(cause).__name__}: {cause}")
        self.cause = cause
        self.__cause__ = cause


class ActorStopped(ActorError):
    """The actor is stopped, or stopped before it answered.

    Attributes:
        message: the message that was not handled, if there was one.
    """

    def __init__(self, path: str, detail: str = "it is stopped", message: object = None) -> None:
        super().__init__(path, f"actor {path!r} cannot answer: {detail}")
        self.message = message


class StartFailed(ActorError):
    """The constructor or `started()` raised, so there is no actor.

    Attributes:
        cause: what it raised; also `__cause__`.
    """

    def __init__(self, path: str, cause: BaseException) -> None:
        super().__init__(path, f"actor {path!r} did not start: {type(cause).__name__}: {cause}")
        self.cause = cause
        self.__cause__ = cause


class AskTimeout(ActorError, TimeoutError):
    """The answer did not come in time; the callee's work on it was cancelled.

    Attributes:
        timeout: how long the asker was willing to wait, in seconds.
    """

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__(path, f"actor {path!r} did not answer within {timeout:g} s")
        self.timeout = timeout


class AskDeadlock(ActorError):
    """The ask would have closed a cycle of actors that wait for one another.

    Attributes:
        cycle: the paths in the order in which they wait; the first is also the last.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        super().__init__(cycle[-1], "this ask would wait for itself: " + " → ".join(map(repr, cycle)))
        self.cycle = tuple(cycle)


class MailboxFull(ActorError):
    """The mailbox holds as many messages as it may, and its policy is to say so.

    Attributes:
        capacity: how many messages it may hold.
        message: the message that was refused.
    """

    def __init__(self, path: str, capacity: int, message: object = None) -> None:
        super().__init__(path, f"mailbox of {path!r} is full ({capacity} messages); slow down, or raise its capacity")
        self.capacity = capacity
        self.message = message


class MessageDiscarded(ActorError):
    """The message was dropped before it was handled.

    Attributes:
        reason: `"drop_oldest"`, `"drop_newest"`, `"expired"` or `"poison"`.
        message: the message that was dropped.
    """

    def __init__(self, path: str, reason: str, message: object = None) -> None:
        super().__init__(path, f"message to {path!r} was discarded: {reason}")
        self.reason = reason
        self.message = message


class Unresponsive(ActorError):
    """The actor was cancelled and did not stop; it was abandoned.

    Attributes:
        waited: how long its supervisor waited, in seconds.
    """

    def __init__(self, path: str, waited: float) -> None:
        super().__init__(
            path, f"actor {path!r} did not stop within {waited:g} s of being cancelled; something in it swallows that"
        )
        self.waited = waited


class ForeignCancellation(ActorError):
    """A library cancelled a future that the handler awaited; nobody asked for the handler to be cancelled.

    A handler that raises `GeneratorExit`, with which Python closes coroutines, has failed in this way too.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, f"what the handler of {path!r} awaited was cancelled by somebody else")


class ScopeLeftOpen(ActorError):
    """A handler, a hook or a task of the actor ended inside a cancel scope or a task group that it had entered.

    Leave them in the handler that entered them, best with `with`. What shall stay open from one message to the next
    needs an actor with a task of its own, `ChildOptions(dedicated=True)`, which opens it in `started()` and closes it
    in `stopped()`.
    """

    def __init__(self, path: str) -> None:
        super().__init__(
            path,
            f"{path!r} entered a cancel scope or a task group and did not leave it; use `with`, or open it in"
            " `started()` and close it in `stopped()` of an actor with ChildOptions(dedicated=True)",
        )


class LinkedActorFailed(ActorError):
    """An actor that this one is linked to ended abnormally, so this one fails too.

    Attributes:
        peer: the path of the actor that ended.
        cause: why it did, if it failed; also `__cause__`.
    """

    def __init__(self, path: str, peer: str, reason: str, cause: BaseException | None = None) -> None:
        super().__init__(path, f"actor {path!r} fails with {peer!r}, to which it is linked and which ended ({reason})")
        self.peer = peer
        self.cause = cause
        self.__cause__ = cause


class RestartLimitExceeded(ActorError):
    """Children failed more often than their supervisor allows, so the supervisor failed too.

    Attributes:
        child: the path of the child that failed last.
        max_restarts: how many restarts are allowed in one window.
        period: the length of the window, in seconds.
        cause: the last failure; also `__cause__`.
    """

    def __init__(self, path: str, child: str, max_restarts: int, period: float, cause: BaseException | None) -> None:
        why = "" if cause is None else f"; last cause: {type(cause).__name__}: {cause}"
        super().__init__(path, f"{child!r} failed beyond {max_restarts} restarts in {period:g} s under {path!r}{why}")
        self.child = child
        self.max_restarts = max_restarts
        self.period = period
        self.cause = cause
        self.__cause__ = cause


class InvalidTransition(ActorError):
    """The state machine has no edge for this event in this state; the state stays as it was.

    Attributes:
        state: the state the machine is in.
        event: the event that came.
    """

    def __init__(self, path: str, state: object, event: object) -> None:
        super().__init__(path, f"{path!r} has no transition for {event!s} in state {state!s}")
        self.state = state
        self.event = event


class ChildLimitExceeded(ActorError):
    """A supervisor has as many children as it may.

    Attributes:
        max_children: how many it may have.
    """

    def __init__(self, path: str, max_children: int) -> None:
        super().__init__(path, f"{path!r} may have {max_children} children and has; stop one, or raise max_children")
        self.max_children = max_children


class NameTaken(ActorError):
    """A sibling has that name already, or another actor is registered under it.

    Attributes:
        owner: the path of the actor that has the name.
    """

    def __init__(self, path: str, owner: str | None = None) -> None:
        if owner is None:
            message = f"there is an actor at {path!r} already; choose another name, or stop that one first"
        else:
            message = f"the name {path!r} is registered for {owner!r}; choose another one, or unregister that first"
        super().__init__(path, message)
        self.owner = path if owner is None else owner


class UnknownActor(ActorError, LookupError):
    """No actor lives at that path."""

    def __init__(self, path: str) -> None:
        super().__init__(path, f"no actor at {path!r}; system.inspect() shows those there are")


class SystemClosed(TinyLLMError):
    """The actor system is closed or closing, and takes nothing new."""

    def __init__(self, name: str) -> None:
        super().__init__(f"actor system {name!r} is not running; use it inside `async with ActorSystem(…)`")
        self.name = name
