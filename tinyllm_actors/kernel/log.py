"""Transitions, failures and dead letters as structlog events."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from tinyllm_actors.errors import ActorFailed, FunctionFailed, RunCancelled, StartFailed
from tinyllm_actors.kernel.events import (
    CallFailed,
    ChildFailed,
    ChildRestarted,
    DeadLetter,
    Escalated,
    Transition,
    Unanswered,
)
from tinyllm_actors.kernel.json_log import JsonLog
from tinyllm_actors.kernel.redaction import read_environment, redact, redact_start
from tinyllm_actors.kernel.transition_filter import TransitionFilter, configured_filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel.event_stream import EventStream, MovesCallback

__all__ = ["attach_log"]

KERNEL_LOGGER: Final = "tinyllm_actors.kernel"
CALL_LOGGER: Final = "tinyllm_actors.function"

MAX_CAUSE_CHARS: Final = 1_000
"""How much of the text of a failed call's exception a line shows: a peer may say anything of any length."""

_TOLD: Final = (FunctionFailed, RunCancelled)
"""Failures of calls that are no line: of an inner call, which has a line of its own, and what somebody asked for."""


async def attach_log(events: EventStream, *, transitions: bool | TransitionFilter | None) -> None:
    """Log what a system does.

    A transition reads `[name] transition to: STATE`, at level info; those of the actor lifecycle are at level debug.
    Failures, abandoned actors and dead letters are warnings; so are calls that failed, with what failed, if structlog
    has been configured: otherwise their result says it. A log line that cannot be written harms no actor.

    Args:
        events: what happens in the system.
        transitions: log them too, or those that a filter lets through; None for "if structlog has been configured",
            then through the filter that `configure_json_log` or `configure_console_log` was given.
    """
    read_environment()
    if "structlog" not in sys.modules:  # pragma: no cover - a test imports it first; test_public_surface runs it
        # With rich beside it 120 ms and 5 MB: importing the library shall not cost that, nor the event loop wait.
        await anyio.to_thread.run_sync(importlib.import_module, "structlog")
    import structlog

    # Bound once: each call of what `get_logger()` returns would make a logger. Configure structlog before the system.
    chosen = transitions
    if chosen is None:
        chosen = configured_filter() or True if structlog.is_configured() else False
    _subscribe(events, structlog.get_logger().bind(), chosen, calls=structlog.is_configured())


def _transition_line(
    sink: Any, chosen: TransitionFilter | None, failed: Callable[[], None]
) -> tuple[Callable[[Transition], None], MovesCallback | None]:
    """Return what logs a transition, and calls `failed` where it cannot: without another function around it.

    The second is what logs several that were made at one moment, where that takes less.
    """
    import structlog

    details = _heard(sink, logging.DEBUG)

    def tell(text: str, path: str) -> None:
        try:
            sink.info(text, logger=KERNEL_LOGGER, actor=path)
        except Exception:
            failed()

    wanted = None if chosen is None else chosen.gate(tell)
    log = getattr(structlog.get_config()["processors"][-1], "__self__", None)
    if isinstance(log, JsonLog):
        return log.on_transition(details, wanted, failed), None if wanted else log.on_moves(details, failed)

    loggers = {"lifecycle": KERNEL_LOGGER}

    def on_transition(event: Transition) -> None:
        # Taken apart at once: asked for one by one, the fields of a tuple take 0.3 µs of a line's 5.
        path, name, machine, source, trigger, target, message_id, elapsed = event
        lifecycle = machine == "lifecycle"
        if lifecycle and not details:
            return
        if wanted is not None and not wanted(path, name, target):
            return
        logger = loggers.get(machine)
        if logger is None:
            logger = loggers[machine] = f"tinyllm_actors.{machine}"
        try:
            (sink.debug if lifecycle else sink.info)(
                f"[{name}] transition to: {target}",
                logger=logger,
                actor=path,
                machine=machine,
                source=source,
                trigger=trigger,
                target=target,
                message_id=message_id,
                elapsed=round(elapsed, 6),
            )
        except Exception:
            failed()

    return on_transition, None


def _failed_call_line(sink: Any) -> Callable[[CallFailed], None]:
    """Return what logs the failure of a call, once: where it happened, with what it was."""

    def on_failed_call(event: CallFailed) -> None:
        cause: BaseException = event.error
        if isinstance(cause, ActorFailed | StartFailed):
            cause = cause.cause
        if not isinstance(cause, _TOLD):
            sink.warning(
                f"[{redact(event.name)}] failed: {type(cause).__name__}: {redact_start(str(cause), MAX_CAUSE_CHARS)}",
                logger=CALL_LOGGER,
                actor=event.path,
                state=str(event.state),
                error=type(cause).__name__,
            )

    return on_failed_call


def _subscribe(events: EventStream, sink: Any, transitions: bool | TransitionFilter, *, calls: bool) -> None:
    def on_failure(event: ChildFailed) -> None:
        cause = event.cause
        sink.warning(
            redact(f"[{event.path}] failed: {type(cause).__name__}: {cause}"),
            logger=KERNEL_LOGGER,
            actor=event.path,
            incarnation=event.incarnation,
            error=type(cause).__name__,
        )

    def on_restart(event: ChildRestarted) -> None:
        sink.info(f"[{event.path}] restarted", logger=KERNEL_LOGGER, actor=event.path, incarnation=event.incarnation)

    def on_escalation(event: Escalated) -> None:
        sink.error(
            redact(f"[{event.path}] gave up on {event.child!r}: {event.cause}"),
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

    def failed() -> None:
        events.log_failures += 1

    lines: list[tuple[int, Any, MovesCallback | None, type]] = [
        (logging.WARNING, _guarded(on_failure, failed), None, ChildFailed),
        (logging.INFO, _guarded(on_restart, failed), None, ChildRestarted),
        (logging.ERROR, _guarded(on_escalation, failed), None, Escalated),
        (logging.ERROR, _guarded(on_abandoned, failed), None, Unanswered),
        (logging.WARNING, _guarded(on_dead_letter, failed), None, DeadLetter),
    ]
    if calls:
        lines.append((logging.WARNING, _guarded(_failed_call_line(sink), failed), None, CallFailed))
    if transitions:
        chosen = transitions if isinstance(transitions, TransitionFilter) else None
        lines.append((logging.INFO, *_transition_line(sink, chosen, failed), Transition))
    for level, callback, moves, kind in lines:
        if _heard(sink, level):  # an event that nobody wants need not be made
            events.subscribe(callback, kind, moves=moves)


def _guarded(callback: Callable[[Any], None], failed: Callable[[], None]) -> Callable[[Any], None]:
    def call(event: Any) -> None:
        try:
            callback(event)
        except Exception:
            failed()

    return call


def _heard(sink: Any, level: int) -> bool:
    """Whether a filtering logger, whose level is fixed, lets anything through; others say yes."""
    enabled = getattr(sink, "is_enabled_for", None)
    return enabled is None or bool(enabled(level))
