"""Transitions, failures and dead letters as structlog events."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from tinyllm_actors.kernel.events import ChildFailed, ChildRestarted, DeadLetter, Escalated, Transition, Unanswered

if TYPE_CHECKING:
    from tinyllm_actors.kernel.events import EventStream

__all__ = ["attach_log"]

KERNEL_LOGGER: Final = "tinyllm_actors.kernel"


async def attach_log(events: EventStream, *, transitions: bool | None) -> None:
    """Log what a system does.

    A transition reads `[name] transition to: STATE`, at level info; those of the actor lifecycle are at level debug.
    Failures, abandoned actors and dead letters are warnings. A log line that cannot be written harms no actor.

    Args:
        events: what happens in the system.
        transitions: log them too; None for "if structlog has been configured".
    """
    if "structlog" not in sys.modules:
        # With rich beside it 120 ms and 5 MB: importing the library shall not cost that, nor the event loop wait.
        await anyio.to_thread.run_sync(importlib.import_module, "structlog")
    import structlog

    _subscribe(events, structlog.get_logger(), structlog.is_configured() if transitions is None else transitions)


def _subscribe(events: EventStream, sink: Any, transitions: bool) -> None:
    def on_transition(event: Transition) -> None:
        lifecycle = event.machine == "lifecycle"
        (sink.debug if lifecycle else sink.info)(
            f"[{event.name}] transition to: {event.target}",
            logger=KERNEL_LOGGER if lifecycle else f"tinyllm_actors.{event.machine}",
            actor=event.path,
            machine=event.machine,
            source=event.source,
            trigger=event.event,
            target=event.target,
            message_id=event.message_id,
            elapsed=round(event.elapsed, 6),
        )

    def on_failure(event: ChildFailed) -> None:
        cause = event.cause
        sink.warning(
            f"[{event.path}] failed: {type(cause).__name__}: {cause}",
            logger=KERNEL_LOGGER,
            actor=event.path,
            incarnation=event.incarnation,
            error=type(cause).__name__,
        )

    def on_restart(event: ChildRestarted) -> None:
        sink.info(f"[{event.path}] restarted", logger=KERNEL_LOGGER, actor=event.path, incarnation=event.incarnation)

    def on_escalation(event: Escalated) -> None:
        sink.error(
            f"[{event.path}] gave up on {event.child!r}: {event.cause}",
            logger=KERNEL_LOGGER,
            actor=event.path,
            child=event.child,
        )

    def on_abandoned(event: Unanswered) -> None:
        sink.error(
            f"[{event.path}] did not stop when cancelled and was abandoned",
            logger=KERNEL_LOGGER,
            actor=event.path,
            waited=event.waited,
        )

    def on_dead_letter(event: DeadLetter) -> None:
        # The message may hold what users said, so only its type is logged; `system.dead_letters` has it.
        sink.warning(
            f"[{event.path}] dead letter ({event.reason}): {type(event.message).__name__}",
            logger=KERNEL_LOGGER,
            actor=event.path,
            reason=event.reason,
        )

    def guarded(callback: Any) -> Any:
        def call(event: Any) -> None:
            try:
                callback(event)
            except Exception:
                events.log_failures += 1

        return call

    events.subscribe(guarded(on_failure), ChildFailed)
    events.subscribe(guarded(on_restart), ChildRestarted)
    events.subscribe(guarded(on_escalation), Escalated)
    events.subscribe(guarded(on_abandoned), Unanswered)
    events.subscribe(guarded(on_dead_letter), DeadLetter)
    if transitions:
        events.subscribe(guarded(on_transition), Transition)
