"""What tests of the kernel share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.lowlevel
import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
def settled() -> Callable[[], Awaitable[None]]:
    """Return an async function that lets every task go on until it waits for something, without using the clock."""

    async def wait() -> None:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()

    return wait
