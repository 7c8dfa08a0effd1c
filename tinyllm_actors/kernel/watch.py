"""Death watch and links: being told that another actor ended, or ending with it.

Both are about the final stop; a restart is none. A watch belongs to the incarnation that made it: the next one
watches again, in `started()`, and is told at once of who has ended meanwhile. A link holds between two actors until
one of them ends or somebody takes it back; one that is just being restarted then has no incarnation to fail.

Source: OTP `erlang:monitor`, `erlang:link`; Pekko, "Lifecycle monitoring aka DeathWatch".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import LinkedActorFailed
from tinyllm_actors.kernel.envelope import Signal
from tinyllm_actors.kernel.lifecycle import ExitReason, Lifecycle

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.cold import Cold
    from tinyllm_actors.kernel.ref import ActorRef

__all__ = ["Terminated", "forget", "link", "tell_all", "unlink", "unwatch", "watch"]

# How one actor follows another (values of `Cold.watchers` and `Cold.watching`).
_WATCH: Final = 1
_LINK: Final = 2

_GONE: Final = frozenset({Lifecycle.RESTARTING, Lifecycle.PASSIVE, Lifecycle.STOPPING, Lifecycle.STOPPED})


@dataclass(frozen=True, slots=True)
class Terminated:
    """The message that a watcher gets, once, when the actor it watches has ended for good.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Terminated
    >>> from tinyllm_actors.testing import Probe
    >>> async def main() -> None:
    ...     async with ActorSystem("test") as system:
    ...         probe = await Probe.spawn(system)
    ...         other = await system.spawn(Actor, name="other")
    ...         await probe.watch(other)
    ...         await other.stop()
    ...         message = await probe.expect_message(Terminated)
    ...         print(message.ref.path, message.reason)
    >>> anyio.run(main)
    other stopped

    ```

    Attributes:
        ref: who ended.
        reason: why.
    """

    ref: ActorRef
    reason: ExitReason


def watch(cell: Cell, target: Cell) -> None:
    """Tell `cell` of the end of `target`; at once if that was before."""
    if target.state is Lifecycle.STOPPED:
        _tell(cell, target, target.reason or ExitReason.STOPPED)
    else:
        _follow(cell, target, _WATCH)


def unwatch(cell: Cell, target: Cell) -> None:
    """Tell it no more, and take back a `Terminated` that it has not handled yet."""
    _unfollow(cell, target, _WATCH)
    extra = cell.extra
    for envelope in [*(cell.mailbox or ()), *(extra.urgent if extra is not None else ())]:
        message = envelope.message
        if isinstance(envelope, Signal) and isinstance(message, Terminated) and message.ref.cell is target:
            envelope.withdraw()


def link(cell: Cell, target: Cell) -> None:
    """Let each of the two fail when the other ends abnormally.

    Raises:
        LinkedActorFailed: `target` has ended abnormally already.
    """
    if target is cell:
        return
    if target.state is not Lifecycle.STOPPED:
        _follow(cell, target, _LINK)
        _follow(target, cell, _LINK)
    elif target.reason is not None and target.reason.abnormal:
        raise LinkedActorFailed(cell.path, target.path, str(target.reason), target.reason.cause)


def unlink(cell: Cell, target: Cell) -> None:
    """Take a link back."""
    _unfollow(cell, target, _LINK)
    _unfollow(target, cell, _LINK)


def tell_all(cell: Cell, extra: Cold, reason: ExitReason) -> None:
    """`cell` has ended for good: tell who watches it, fail who is linked to it, and undo what else it left."""
    for target in list(extra.watching):
        _unfollow(cell, target, _WATCH | _LINK)
    watchers, extra.watchers = extra.watchers, {}
    for watcher, how in watchers.items():
        watcher.cold.watching.pop(cell, None)
        if how & _WATCH:
            _tell(watcher, cell, reason)
        if how & _LINK and reason.abnormal and watcher.state not in _GONE:
            error = LinkedActorFailed(watcher.path, cell.path, str(reason), reason.cause)
            cell.system.care.fail(watcher, error)
    endings, extra.endings = extra.endings, {}
    for undo in endings.values():
        undo(cell, reason)


def forget(cell: Cell, extra: Cold) -> None:
    """An incarnation ended: its watches end with it."""
    for target in list(extra.watching):
        _unfollow(cell, target, _WATCH)


def _tell(cell: Cell, target: Cell, reason: ExitReason) -> None:
    cell.post_urgent(Signal(Terminated(cell.system.ref_to(target), reason), cell))


def _follow(cell: Cell, target: Cell, how: int) -> None:
    target.cold.watchers[cell] = target.cold.watchers.get(cell, 0) | how
    cell.cold.watching[target] = cell.cold.watching.get(target, 0) | how


def _unfollow(cell: Cell, target: Cell, how: int) -> None:
    for extra, other, follows in ((cell.extra, target, "watching"), (target.extra, cell, "watchers")):
        if extra is None:
            continue
        followed: dict[Cell, int] = getattr(extra, follows)
        left = followed.get(other, 0) & ~how
        if left:
            followed[other] = left
        else:
            followed.pop(other, None)
