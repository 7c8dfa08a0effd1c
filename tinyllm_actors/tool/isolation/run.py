"""Run one call of a tool in a process of its own."""

from __future__ import annotations

import builtins
import pickle
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec
from anyio.lowlevel import RunVar, checkpoint

from tinyllm_actors.errors import IsolatedFailure, ToolError, ToolRetry
from tinyllm_actors.tool.isolation.limits import ProcessLimits
from tinyllm_actors.tool.isolation.process import ToolProcess
from tinyllm_actors.tool.isolation.reference import main_source
from tinyllm_actors.tool.isolation.wire import Began, Done, Failed, Job, Report, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinyllm_actors.tool.context import ToolContext
    from tinyllm_actors.tool.definition import Tool
    from tinyllm_actors.tool.isolation.pool import Processes

__all__ = ["MAX_PROCESSES", "run_isolated"]

MAX_PROCESSES = 16
"""Processes at work in one event loop."""

MAX_REPORT = 2**20
"""Bytes of one report; larger ones are dropped."""

_room: Final[RunVar[anyio.Semaphore]] = RunVar("tinyllm_actors.tool processes")


async def run_isolated(
    tool: Tool[..., object], arguments: Mapping[str, object], context: ToolContext, processes: Processes | None
) -> object:
    """Run `tool` once, in a warm process if there is one, and return its result as plain data.

    Cancelling kills the process and its group before this returns.

    Raises:
        ToolCrashed: the process died.
        ToolRetry: the function asks for another try.
        ToolError: the arguments cannot cross, or the function tried to end the process.
        Exception: the function raised the built-in exception of this name, or `IsolatedFailure`.
    """
    data = frame(_job(tool, arguments, context))
    async with _slots():
        process = None if processes is None else processes.take()
        if process is not None:
            # One that died while it was idle has not begun, so that another one may run the call.
            with suppress(_NotBegun):
                return await _run_in(process, tool, data, context.report, processes)
        try:
            return await _run_in(await ToolProcess.start(), tool, data, context.report, processes)
        except _NotBegun as error:
            raise error.failure from None


class _NotBegun(Exception):
    def __init__(self, failure: ToolError) -> None:
        super().__init__()
        self.failure = failure


async def _run_in(
    process: ToolProcess,
    tool: Tool[..., object],
    data: bytes,
    report: Callable[[object], None],
    processes: Processes | None,
) -> object:
    sound = begun = False
    process.calls += 1
    try:
        await process.send(data)
        while True:
            answer = await process.receive(tool.name)
            if isinstance(answer, Began):
                begun = True
            elif isinstance(answer, Report):
                if len(answer.data) <= MAX_REPORT:
                    report(msgspec.json.decode(answer.data))
                await checkpoint()  # a process that never stops talking does not stop this loop
            elif isinstance(answer, Done):
                result = _read(answer)
                sound = True
                return result
            else:
                sound = not answer.spoilt
                raise _raised(tool, answer)
    except (EOFError, ConnectionError):
        failure = await process.failure(tool.name)
        raise failure if begun else _NotBegun(failure) from None
    finally:
        if not (sound and processes is not None and processes.give(process)):
            await process.aclose()


def _job(tool: Tool[..., object], arguments: Mapping[str, object], context: ToolContext) -> Job:
    limits = tool.isolate if isinstance(tool.isolate, ProcessLimits) else ProcessLimits()
    function: Any = tool.function
    try:
        pickled = pickle.dumps(dict(arguments))
    except Exception as error:  # what an argument's own code raises
        raise ToolError(tool.name, f"the arguments of {tool.name!r} cannot be sent to its process: {error}") from error
    module: str = function.__module__
    needs_main = module == "__main__" or b"__main__" in pickled
    return Job(
        main=main_source() if needs_main else None,
        module=module,
        name=function.__qualname__,
        kind=tool.signature.kind,
        injected=tool.arguments.injected,
        context={
            "call_id": context.call_id,
            "attempt": context.attempt,
            "idempotency_key": context.idempotency_key,
            "user_id": context.user_id,
            "session_id": context.session_id,
        },
        seconds=None if context.deadline is None else context.deadline - anyio.current_time(),
        memory=limits.memory,
        cpu=limits.cpu,
        arguments=pickled,
    )


def _read(answer: Done) -> object:
    if answer.form == "json":
        return msgspec.json.decode(answer.data)
    return answer.data.decode() if answer.form == "text" else answer.data


def _raised(tool: Tool[..., object], answer: Failed) -> Exception:
    if answer.kind == "retry":
        return ToolRetry(answer.message, tool=tool.name)
    if answer.kind == "exit":
        return ToolError(tool.name, f"tool {tool.name!r} tried to end the process")
    known: Any = getattr(builtins, answer.type_name, None)
    plain = isinstance(known, type) and issubclass(known, Exception)
    if plain and not issubclass(known, UnicodeError | ExceptionGroup):  # these are not made of a message alone
        error: Exception = known(answer.message)
    else:
        error = IsolatedFailure(answer.type_name, answer.message)
    if answer.trace:
        error.add_note(answer.trace)
    return error


def _slots() -> anyio.Semaphore:
    try:
        return _room.get()
    except LookupError:
        _room.set(room := anyio.Semaphore(MAX_PROCESSES))
        return room
