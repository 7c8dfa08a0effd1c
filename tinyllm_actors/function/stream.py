"""A Function that answers piece by piece."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.function.function import Function
from tinyllm_actors.function.ref import Call
from tinyllm_actors.function.result import success
from tinyllm_actors.function.states import Step
from tinyllm_actors.kernel.stream import CLEANUP_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tinyllm_actors.function.result import Result
    from tinyllm_actors.function.tracing.observation import Observation

__all__ = ["FunctionStream"]


class FunctionStream(Function):
    """A Function whose `run` is an async generator.

    `ref.stream(…)` delivers each item, validated, as `{"status": "success", "output": item}`. Where there is
    something to say at the end (processed output, evaluations, an error) one more dictionary says it. `ref(…)`
    runs to the end and answers one dictionary whose output is the list of items, processed.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, FunctionStream
    >>> class Count(FunctionStream):
    ...     async def run(self, to: int):
    ...         for n in range(to):
    ...             yield n
    >>> async def main() -> list[object]:
    ...     async with ActorSystem("service") as system:
    ...         count = await system.spawn(Count)
    ...         async with count.stream(to=3) as items:
    ...             return [item["output"] async for item in items]
    >>> anyio.run(main)
    [0, 1, 2]

    ```
    """

    def run(self, **arguments: Any) -> AsyncGenerator[Any, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do the work: an async generator of items."""
        raise NotImplementedError(f"{type(self).__name__} does not define run()")

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Stream the items of one call, then its result where it says more than they did."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(argument=value)`")

        async def emit_item(item: Any) -> None:
            await emit(success(item))

        result = await self._run_stream(message.arguments, emit_item)
        processes = type(self).process_output is not Function.process_output
        if result["status"] == "error" or processes or "evaluations" in result:
            await emit(result)

    async def _call(self, arguments: dict[str, Any], run: Callable[..., Awaitable[Any]] | None = None) -> Result:
        return await self._run_stream(arguments, None)

    async def _run_stream(self, arguments: dict[str, Any], emit: Callable[[Any], Awaitable[None]] | None) -> Result:
        items: list[Any] = []
        tracing = self.kernel_cell.system.tracing
        observation = None if tracing is None else tracing.begin(self, arguments)
        try:
            try:
                inputs = self._accept(arguments)
                await self._collect(self.run(**inputs), items, emit, observation)
                if not items:
                    self._step(Step.VALIDATE)
                result = await self._conclude(inputs, items)
            except Exception as error:
                result = await self._fail(arguments, error, partial=items or None)
        except BaseException as error:
            self._cancel(error)
            if observation is not None:
                observation.output = items or None
                observation.hub.break_off(observation, error)
            raise
        if observation is not None:
            observation.hub.finish(observation, result)
        return result

    async def _collect(
        self,
        generator: AsyncGenerator[Any, None],
        items: list[Any],
        emit: Callable[[Any], Awaitable[None]] | None,
        observation: Observation | None,
    ) -> None:
        """Validate, keep and pass on what `run` yields."""
        if not hasattr(generator, "aclose"):
            if isinstance(generator, Coroutine):
                generator.close()
            raise TypeError(f"{type(self).__name__}.run() must be an async generator: `async def` with a `yield`")
        validator = (self._validators or self._class_validators())[1]
        try:
            async for item in generator:
                if observation is not None:
                    observation.first_output()
                self._step(Step.VALIDATE)
                checked = item if validator is None else validator(item)
                items.append(checked)
                if emit is not None:
                    await emit(checked)
        finally:
            # When the reader has left, the generator's own clean-up must still be able to await.
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLEANUP_SECONDS):
                await generator.aclose()
