"""The same jobs on pykka and autogen-core, where they are installed (`pip install tinyllm_actors[bench]`).

Pykka has a thread for each actor and its asks block; autogen-core runs on asyncio only.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from measuring import cpu, per_cpu_second

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["autogen_measurements", "pykka_measurements"]

Measurements = dict[str, "Callable[[], Awaitable[float]]"]


def pykka_measurements(scale: float) -> Measurements:
    """Return what pykka is measured at, by case; nothing if it is not installed."""
    if importlib.util.find_spec("pykka") is None:
        return {}
    pykka: Any = importlib.import_module("pykka")

    def on_receive(_: object, message: object) -> object:
        return message

    echo_class: Any = type("Echo", (pykka.ThreadingActor,), {"on_receive": on_receive})

    async def tell() -> float:
        count = max(1000, int(50_000 * scale))
        echo = echo_class.start()
        started = cpu()
        for number in range(count):
            echo.tell(number)
        echo.ask(None)
        rate = per_cpu_second(count, started)
        echo.stop()
        return rate

    async def ask() -> float:
        count = max(1000, int(10_000 * scale))
        echo = echo_class.start()
        started = cpu()
        for number in range(count):
            echo.ask(number)
        rate = per_cpu_second(count, started)
        echo.stop()
        return rate

    async def ask_in_flight() -> float:
        bursts = max(2, int(10 * scale))
        echo = echo_class.start()
        started = cpu()
        for _ in range(bursts):
            answers = [echo.ask(number, block=False) for number in range(1000)]
            for answer in answers:
                answer.get()
        rate = per_cpu_second(1000 * bursts, started)
        echo.stop()
        return rate

    async def spawn_stop() -> float:
        started = cpu()
        refs = [echo_class.start() for _ in range(1000)]
        for ref in refs:
            ref.stop()
        return per_cpu_second(1000, started)

    return {"tell": tell, "ask": ask, "ask_in_flight": ask_in_flight, "spawn_stop": spawn_stop}


@dataclass
class Note:
    """What is sent to an agent; its runtime wants a type that it can serialize."""

    number: int


def autogen_measurements(scale: float) -> Measurements:
    """Return what autogen-core is measured at, by case; nothing if it is not installed."""
    if importlib.util.find_spec("autogen_core") is None:
        return {}
    core: Any = importlib.import_module("autogen_core")

    def make() -> Any:
        return echo_class("echoes what it is sent")

    async def on_message(self: Any, message: Note, ctx: object) -> Note:
        self.handled += 1
        if message.number < 0:
            finished[0].set()
        return message

    finished = [anyio.Event()]
    echo_class: Any = type("Echo", (core.BaseAgent,), {"on_message_impl": on_message, "handled": 0})

    async def running() -> tuple[Any, Any]:
        runtime = core.SingleThreadedAgentRuntime()
        await echo_class.register(runtime, "echo", make)
        await runtime.add_subscription(core.TypeSubscription(topic_type="note", agent_type="echo"))
        runtime.start()
        return runtime, core.AgentId("echo", "default")

    async def tell() -> float:
        count = max(500, int(3_000 * scale))
        runtime, _ = await running()
        topic = core.TopicId("note", "default")
        finished[0] = anyio.Event()
        started = cpu()
        for number in range(count - 1):
            await runtime.publish_message(Note(number), topic)
        await runtime.publish_message(Note(-1), topic)
        await finished[0].wait()
        rate = per_cpu_second(count, started)
        await runtime.stop_when_idle()
        return rate

    async def ask() -> float:
        count = max(500, int(3_000 * scale))
        runtime, echo = await running()
        started = cpu()
        for number in range(count):
            await runtime.send_message(Note(number), echo)
        rate = per_cpu_second(count, started)
        await runtime.stop()
        return rate

    async def ask_in_flight() -> float:
        runtime, echo = await running()
        started = cpu()
        async with anyio.create_task_group() as askers:
            for number in range(1000):
                askers.start_soon(runtime.send_message, Note(number), echo)
        rate = per_cpu_second(1000, started)
        await runtime.stop()
        return rate

    return {"tell": tell, "ask": ask, "ask_in_flight": ask_in_flight}
