"""Tools that run in processes of their own: those import this module."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
from pydantic import BaseModel

from tinyllm_actors import tool
from tinyllm_actors.errors import ToolRetry
from tinyllm_actors.tool import ProcessLimits, ToolContext


class Point(BaseModel):
    x: int


class OddError(Exception):
    pass


class Talker:
    @staticmethod
    @tool(isolate="process")
    def hello() -> str:
        return "hello"


@tool(isolate="process")
def where(point: Point) -> dict[str, Any]:
    """Say where it runs."""
    sys.stdout.write("to standard output")
    sys.stderr.write("to standard error")
    return {"pid": os.getpid(), "point": point, "odd": float("nan")}


@tool(isolate="process")
async def told(context: ToolContext, n: int = 2) -> str:
    """Report, and say what the context holds."""
    for item in range(n):
        context.report({"item": item})
        await anyio.lowlevel.checkpoint()
    assert context.deadline is not None
    return f"{context.call_id} {context.idempotency_key} {0 < context.deadline - anyio.current_time() <= 30}"


@tool(isolate="process")
def talkative(context: ToolContext) -> str:
    """Report much, and then too much at once."""
    for number in range(1000):
        context.report(number)
    context.report("x" * 2**21)
    return "done"


@tool(isolate="process")
def counted() -> Iterator[int]:
    """Count."""
    yield 1
    yield 2


@tool(isolate="process")
async def counted_later() -> AsyncIterator[int]:
    """Count, on a loop."""
    yield 3


@tool(isolate="process")
def failing(how: str) -> None:
    """Raise."""
    if how == "odd":
        raise OddError("no luck")
    if how == "key":
        raise KeyError("name")
    if how == "unicode":
        b"\xff".decode()
    if how == "retry":
        raise ToolRetry("try a city")
    if how == "exit":
        sys.exit("bye")
    if how == "stop":
        raise KeyboardInterrupt
    raise ValueError(how)


@tool(isolate="process")
def leaving() -> None:
    """Leave without a word."""
    os._exit(3)


@tool(isolate="process")
def killed() -> None:
    """Kill itself."""
    os.kill(os.getpid(), signal.SIGKILL)


@tool(isolate="process")
def broken() -> int:
    """Break the interpreter."""
    return ctypes.string_at(0)[0]


@tool(isolate=ProcessLimits(memory=2**29))
def greedy() -> int:
    """Want more memory than there is."""
    return len(bytearray(2**30))


@tool(isolate="process")
def babbling() -> None:
    """Send nonsense to whoever listens."""
    for number in range(3, 64):
        try:
            with socket.socket(fileno=os.dup(number)) as channel:
                channel.sendall(b"\x00\x00\x00\x04junk" * 3)
        except OSError:
            continue


@tool(isolate="process")
def odd_result(kind: str) -> object:
    """Return what JSON cannot say."""
    if kind == "cycle":
        cycle: list[Any] = []
        cycle.append(cycle)
        return cycle
    if kind == "bytes":
        return b"\xff"
    if kind == "long":
        return "x" * 2**26
    return object()


@tool(isolate="process", timeout=20.0)
def stubborn(context: ToolContext) -> None:
    """Start a child, and never end."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    context.report([os.getpid(), child.pid])
    while True:
        try:
            while True:
                signal.pause()
        except BaseException:
            continue


@tool(isolate=ProcessLimits(cpu=1))
def spinning() -> None:
    """Use the processor."""
    while True:
        pass


@tool(isolate="process", retries=1)
def flaky(context: ToolContext) -> str:
    """Crash the first time."""
    if context.attempt == 1:
        os._exit(1)
    return "at last"
