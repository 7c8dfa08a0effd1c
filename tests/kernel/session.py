"""An actor that keeps something open in a task of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.kernel import (
    ChildOptions,
    ExitReason,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import TaskGroup


class Session(Puppet):
    """Holds a task group open from `started()` to `stopped()`, as a client of a session does."""

    options = ChildOptions(dedicated=True, shutdown=1.0)

    def __init__(self, log: list[str] | None = None) -> None:
        self.log: list[str] = [] if log is None else log
        self.tasks: TaskGroup | None = None

    async def started(self) -> None:
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self.tasks = tasks
        tasks.start_soon(self._serve)
        self.log.append("opened")

    async def _serve(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.log.append("served")

    async def stream(self, message: int) -> AsyncGenerator[int, None]:
        for number in range(message):
            await anyio.lowlevel.checkpoint()
            yield number

    async def stopped(self, reason: ExitReason) -> None:
        self.log.append(f"stopping ({reason.kind})")
        if self.tasks is not None:
            self.tasks.cancel_scope.cancel()
            try:
                await self.tasks.__aexit__(None, None, None)
            finally:
                self.log.append("closed")
