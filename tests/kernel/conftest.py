"""Kernel tests run on the three event loops, and those marked `virtual_time` on a clock that jumps."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import pytest

from tinyllm_actors.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", "virtual_time: waiting takes no time in this test, and is measured exactly.")
    config.addinivalue_line("markers", "real_time: not even in a module whose tests have virtual time.")


@pytest.fixture(params=list(_OPTIONS))
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each async test on asyncio, on asyncio with uvloop, and on trio, in an event loop of its own."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    if request.node.get_closest_marker("virtual_time") and not request.node.get_closest_marker("real_time"):
        return VirtualClock(request.param).anyio_backend
    return _OPTIONS[request.param]


@pytest.fixture
def settled() -> Callable[[], Awaitable[None]]:
    """Return an async function that lets every task go on until it waits for something, without using the clock."""

    async def wait() -> None:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()

    return wait
