"""Find litellm, check its version, and import it without a sound."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["check_version", "load", "observed", "unobserved"]

INSTALL = 'pip install "tinyllm_actors[litellm]"'
LOWEST = (1, 102, 4)
BEYOND = (1, 107, 0)
COMPROMISED = frozenset({(1, 82, 7), (1, 82, 8)})

_QUIET_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "true",
}
_CALLBACKS = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "_async_success_callback",
    "_async_failure_callback",
)


async def load() -> Any:
    """Return the module `litellm`, imported and warmed up in a worker thread the first time.

    A cancellation during the import waits for its end: an import cannot be stopped.

    Raises:
        MissingDependency: it is not installed, or not in a version that works here.
    """
    if _loaded:
        return _loaded[0]
    return await anyio.to_thread.run_sync(_load)


def check_version(version: str | None) -> None:
    """Raise unless this adapter works with that version of litellm.

    Raises:
        MissingDependency: there is none, or another is needed; the message holds the command.
    """
    if version is None:
        raise MissingDependency(f"litellm is not installed; run: {INSTALL}")
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers in COMPROMISED:
        raise MissingDependency(
            f"litellm {version} is a compromised release; remove it, change the keys it could read, and run: {INSTALL}"
        )
    if not LOWEST <= numbers < BEYOND:
        wanted = f">={'.'.join(map(str, LOWEST))},<{BEYOND[0]}.{BEYOND[1]}"
        raise MissingDependency(f"litellm {version} is installed, and this adapter needs {wanted}; run: {INSTALL}")


def observed(litellm: Any) -> bool:
    """Tell whether somebody has registered callbacks with litellm."""
    return any(getattr(litellm, name, None) for name in _CALLBACKS)


@contextlib.contextmanager
def unobserved(litellm: Any) -> Generator[None]:
    """Spare litellm its logging in this block if nobody has registered callbacks.

    It starts a worker task on the loop for it, which outlives the call.
    """
    try:
        from litellm._internal_context import is_internal_call as internal
    except ImportError:
        yield
        return
    if observed(litellm):
        yield
        return
    token = internal.set(True)
    try:
        yield
    finally:
        internal.reset(token)


_lock = threading.Lock()
_loaded: list[Any] = []


def installed_version() -> str | None:
    if importlib.util.find_spec("litellm") is None:
        return None
    try:
        return importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        return None


def _load() -> Any:
    with _lock:
        if _loaded:
            return _loaded[0]
        check_version(installed_version())
        for name, value in _QUIET_SETTINGS.items():
            os.environ.setdefault(name, value)
        litellm: Any = importlib.import_module("litellm")
        litellm.suppress_debug_info = True
        if "LITELLM_LOG" not in os.environ:
            handler = getattr(importlib.import_module("litellm._logging"), "handler", None)
            if isinstance(handler, logging.Handler):
                handler.setLevel(logging.CRITICAL + 1)
        _import_quietly(litellm)
        # Streams of Gemini look this client up, on the loop, though they are given another; it reads certificates.
        with contextlib.suppress(Exception):
            _ = litellm.module_level_aclient
        if not observed(litellm):
            # Much is imported by the first call only, which would hold up the loop for half a second.
            with contextlib.suppress(Exception):
                asyncio.run(_rehearse(litellm))
        _loaded.append(litellm)
        return litellm


def _import_quietly(litellm: Any) -> None:
    """Import what the first call of Gemini would, and take back the callbacks that it registers for nobody.

    That module makes a cache for its keys alone, and making one registers it as an observer of all calls, which start
    threads and tasks for it from then on.
    """
    there = {name for name in _CALLBACKS if "cache" in (getattr(litellm, name, None) or ())}
    with contextlib.suppress(ImportError):
        importlib.import_module("litellm.llms.vertex_ai.context_caching.vertex_ai_context_caching")
    for name in _CALLBACKS:
        registered: list[Any] = getattr(litellm, name, None) or []
        if name not in there and "cache" in registered:
            registered.remove("cache")


async def _rehearse(litellm: Any) -> None:
    arguments: dict[str, Any] = {
        "model": "openai/rehearsal",
        "api_key": "none",
        "messages": [{"role": "user", "content": "Hello."}],
        "mock_response": "Hello.",
    }
    with unobserved(litellm):
        await litellm.acompletion(**arguments)
        stream = await litellm.acompletion(**arguments, stream=True)
    async for _ in stream:
        if stream.sent_last_chunk:
            break
    await stream.aclose()
