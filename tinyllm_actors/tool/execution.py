"""Run a tool once: on the event loop or in a worker thread, with a deadline.

A thread cannot be stopped from outside. When a call in a thread is cancelled or late, the caller goes on at once and
the thread is left to finish for itself; its result is dropped, and it ends at its next `report`. Until then it keeps
its place among the `MAX_THREADS`. Python waits for such threads at exit where the backend is asyncio, so a plain
function that may hang for ever wants a time-out of its own inside.
"""

from __future__ import annotations

import functools
import inspect
import math
from contextlib import aclosing, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from anyio import CancelScope, CapacityLimiter, current_time, from_thread, get_cancelled_exc_class, to_thread
from anyio.lowlevel import RunVar, checkpoint_if_cancelled

from tinyllm_actors.errors import ToolError, ToolRetry, ToolTimeout
from tinyllm_actors.tool.limits import held_limits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    from tinyllm_actors.tool.context import ToolContext
    from tinyllm_actors.tool.definition import Tool
    from tinyllm_actors.tool.isolation.pool import Processes
    from tinyllm_actors.tool.signature import CallKind

__all__ = ["MAX_THREADS", "run_here", "run_tool"]

MAX_THREADS = 40
"""Threads for tools in one event loop. They are counted apart from anyio's own, so that tools which hang do not
keep files and name look-ups from working."""

_limiter: RunVar[CapacityLimiter] = RunVar("tinyllm_actors.tool threads")


async def run_tool(
    tool: Tool[..., object],
    arguments: Mapping[str, object],
    context: ToolContext,
    limiter: CapacityLimiter | None,
    processes: Processes | None = None,
) -> object:
    """Run `tool` once and return what it gives in the end; `Tool.call` says how.

    Raises:
        ToolTimeout: it took too long.
        ToolRateLimited: its turn comes too late.
        ToolCrashed: its process died.
        ToolError: it tried to end the process, or raised what is no `Exception`.
        TypeError: it is a method, and not that of an instance.
        Exception: whatever it raised.
    """
    signature = tool.signature
    if signature.unbound:
        raise TypeError(f"tool {tool.name!r} is the method {signature.label}; take it from an instance")
    started = current_time()
    deadline = min(
        math.inf if tool.timeout is None else started + tool.timeout,
        math.inf if context.deadline is None else context.deadline,
    )
    with CancelScope(deadline=deadline):
        try:
            if tool.rate_limit is None and tool.concurrency is None:
                return await _run_once(tool, arguments, context, deadline, limiter, processes)
            async with held_limits(tool, deadline):
                return await _run_once(tool, arguments, context, deadline, limiter, processes)
        except ToolRetry as error:
            error.tool = error.tool or tool.name
            raise
        except SystemExit as error:
            raise ToolError(tool.name, f"tool {tool.name!r} tried to end the process") from error
        except Exception:
            raise
        except BaseException as error:
            if _is_ours(error):
                raise
            raise ToolError(tool.name, f"tool {tool.name!r} raised {type(error).__name__}: {error}") from error
    seconds = max(0.0, deadline - started)
    raise ToolTimeout(tool.name, f"tool {tool.name!r} did not finish within {seconds:.3g} s and was stopped")


def _is_ours(error: BaseException) -> bool:
    """Whether an exception that is no `Exception` is a cancellation, Ctrl-C or the end of this coroutine."""
    kinds = (get_cancelled_exc_class(), KeyboardInterrupt, GeneratorExit)
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).subgroup(kinds) is not None
    return isinstance(error, kinds)


async def _run_once(
    tool: Tool[..., object],
    arguments: Mapping[str, object],
    context: ToolContext,
    deadline: float,
    limiter: CapacityLimiter | None,
    processes: Processes | None,
) -> object:
    bound = None if deadline == math.inf else deadline
    if tool.isolate is not None:
        # With all that starts processes, which most programs do not need.
        from tinyllm_actors.tool.isolation.run import run_isolated

        return await run_isolated(tool, arguments, replace(context, deadline=bound), processes)
    kind = tool.signature.kind
    threaded = tool.threaded and kind in ("sync", "generator")
    report = _report_from_thread(context.report) if threaded else context.report
    if injected := tool.arguments.injected:
        mine = replace(context, deadline=bound, report=report)
        arguments = {**arguments, **dict.fromkeys(injected, mine)}
    positional, keywords = tool.signature.arrange(arguments)
    call = functools.partial(tool.function, *positional, **keywords)
    if threaded:
        return await _run_in_thread(call, kind, report, limiter or _own_limiter())
    return await run_here(call, kind, report)


async def run_here(call: Callable[[], Any], kind: CallKind, report: Callable[[object], None]) -> object:
    """Run a call of that kind in this task, and return what it gives in the end."""
    await checkpoint_if_cancelled()  # so that a call which was cancelled or is too late does not start
    if kind == "async_generator":
        return await _drain_async(call(), report)
    if kind == "async":
        return await call()
    return await _settle(_drain(call(), report) if kind == "generator" else call())


async def _run_in_thread(
    call: Callable[[], Any], kind: CallKind, report: Callable[[object], None], limiter: CapacityLimiter
) -> object:
    def run() -> tuple[object]:
        # In a tuple, as trio closes a coroutine that a thread returns.
        try:
            return (_drain(call(), report) if kind == "generator" else call(),)
        except (StopIteration, GeneratorExit) as error:  # a future or a coroutine would take it for its own
            raise RuntimeError(f"the function raised {type(error).__name__}") from error
        except KeyboardInterrupt as error:
            raise SystemExit from error  # Ctrl-C comes to the main thread only; here it is the function's own idea

    (result,) = await to_thread.run_sync(run, abandon_on_cancel=True, limiter=limiter)
    return await _settle(result)


async def _settle(result: object) -> object:
    # A plain function may hand back a coroutine: a lambda around one, or a decorator that knows nothing of them.
    return await result if inspect.isawaitable(result) else result


def _report_from_thread(report: Callable[[object], None]) -> Callable[[object], None]:
    """Return a `report` for a function in a worker thread; it calls `report` on the event loop.

    In a call that was cancelled it raises the backend's cancellation, so that the function ends.
    """

    def send(progress: object) -> None:
        from_thread.check_cancelled()
        from_thread.run_sync(report, progress)

    return send


def _own_limiter() -> CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        _limiter.set(limiter := CapacityLimiter(MAX_THREADS))
        return limiter


def _drain(items: Generator[object, None, object], report: Callable[[object], None]) -> object:
    last: object = None
    with closing(items):
        while True:
            try:
                last = next(items)
            except StopIteration as stop:
                return last if stop.value is None else stop.value
            report(last)


async def _drain_async(items: AsyncGenerator[object, None], report: Callable[[object], None]) -> object:
    last: object = None
    async with aclosing(items):
        async for last in items:
            report(last)
    return last
