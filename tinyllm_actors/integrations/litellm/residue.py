"""Clear what litellm leaves on an event loop: kept HTTP clients, a logging worker, tasks that nobody awaits.

litellm keeps all of it by loop and has no word for "done with this loop", so the models on a loop are counted and the
last one clears it. These are litellm's inner affairs: what is not found where it was is passed over, and the tests say
so when something stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["lease", "release"]

_PATIENCE = 1.0
"""How long litellm's background tasks may take to end, in seconds."""

_lock = threading.Lock()
_models: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


async def lease() -> None:
    """Count one model more on this loop."""
    with _lock:
        loop = asyncio.get_running_loop()
        _models[loop] = _models.get(loop, 0) + 1


async def release(litellm: Any) -> None:
    """Count one model less on this loop; the last one clears it."""
    loop = asyncio.get_running_loop()
    with _lock:
        _models[loop] = left = _models[loop] - 1
        if not left:
            del _models[loop]
    if not left:
        module = sys.modules.get("litellm.litellm_core_utils.logging_worker")
        worker = getattr(module, "GLOBAL_LOGGING_WORKER", None)
        await _await_tasks(litellm, getattr(worker, "_worker_task", None))
        if worker is not None and getattr(worker, "_bound_loop", None) is loop:
            await _stop(worker)
        for client in _take_clients(litellm, loop):
            await _close(client)
        for _ in range(2):  # a closed transport reports it in the next turn
            await asyncio.sleep(0)


async def _await_tasks(litellm: Any, endless: asyncio.Task[Any] | None) -> None:
    """Wait for the tasks whose coroutines are litellm's own code; they end by themselves, but for the worker's."""
    home = os.path.dirname(litellm.__file__) + os.sep
    tasks = [task for task in asyncio.all_tasks() if task is not endless and _file_of(task).startswith(home)]
    if tasks:
        await asyncio.wait(tasks, timeout=_PATIENCE)


async def _stop(worker: Any) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await worker.flush()
    await worker.stop()


def _file_of(task: asyncio.Task[Any]) -> str:
    return getattr(getattr(task.get_coro(), "cr_code", None), "co_filename", "")


def _take_clients(litellm: Any, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Remove the clients of `loop` from litellm's cache, and from the queue of those that it has dropped already."""
    cache: Any = getattr(litellm, "in_memory_llm_clients_cache", None)
    kept: dict[str, Any] = getattr(cache, "cache_dict", {})
    for key in [key for key in kept if key.endswith(f"-{id(loop)}")]:
        client = kept[key]
        cache.delete_cache(key)
        yield client
    queues: dict[Any, Any] = getattr(getattr(cache, "evicted_client_closer", None), "_buckets", {})
    for entry in tuple(queues.get(id(loop), ())):
        client = entry.client_ref()
        if client is not None:
            yield client


async def _close(client: Any) -> None:
    close = getattr(client, "aclose", None) or getattr(client, "close", None)
    if close is None:
        return
    with contextlib.suppress(Exception):  # one client that cannot be closed must not keep the others open
        closing = close()
        if asyncio.iscoroutine(closing):
            await closing
