"""An answer that is worked out once."""

from __future__ import annotations

import contextlib
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorError, FunctionFailed
from tinyllm_actors.function.compose.cache_key import default_key
from tinyllm_actors.function.compose.cache_store import MISSING, MemoryStore, copied
from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of
from tinyllm_actors.function.compose.lanes import Lanes
from tinyllm_actors.function.compose.sqlite_store import SQLiteStore
from tinyllm_actors.function.compose.together import check_cap
from tinyllm_actors.function.ref import Call
from tinyllm_actors.function.result import failure
from tinyllm_actors.function.tracing.observation import CURRENT_OBSERVATION
from tinyllm_actors.kernel.envelope import CURRENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextvars import Context
    from pathlib import Path

    from tinyllm_actors.function.compose.cache_store import CacheStore
    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.function.result import Result
    from tinyllm_actors.function.tracing.observation import Observation
    from tinyllm_actors.kernel import ChildSpec, ExitReason, ReplyTo
    from tinyllm_actors.kernel.owned import OwnedTask

__all__ = ["Cache", "Forget", "cache"]


class Forget:
    """Tells a cache to drop the answer to some arguments, or all if there are none: `await ref.ask(Forget(n=1))`.

    The answer is how many were dropped. Calls in flight are not affected.
    """

    __slots__ = ("arguments",)

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments


class _Flight:
    """A call of the part, and who waits for its answer."""

    __slots__ = ("_flights", "key", "task", "waiting")

    task: OwnedTask  # set before anybody can leave

    def __init__(self, key: str, flights: dict[str, _Flight]) -> None:
        self.key = key
        self._flights = flights
        self.waiting: list[tuple[ReplyTo, dict[str, Any], Observation | None]] = []

    def left(self) -> None:
        """Somebody left: without anyone who waits, the call is cancelled."""
        if not any(reply.waiting for reply, _, _ in self.waiting):
            self.over()
            self.task.cancel()

    def over(self) -> None:
        """Whoever comes from now on needs another flight."""
        if self._flights.get(self.key) is self:
            del self._flights[self.key]


class _Landed:
    """A flight is over."""

    __slots__ = ("flight", "result")

    def __init__(self, flight: _Flight, result: Result) -> None:
        self.flight = flight
        self.result = result


class Cache(Composite):
    """Answers from its store what its part answered before. See `cache`.

    It handles a call in two steps, so that it is free while the part works: a hit is answered at once; a miss joins
    the flight of its key, or starts one, and is taken through the machine when the flight has landed.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        store: Callable[[], CacheStore],
        key: Callable[..., str],
        max_concurrency: int,
        **options: Any,
    ) -> None:
        super().__init__(sources, **options)
        check_cap(max_concurrency)
        self._store = store()
        self._key = key
        self._cap = max_concurrency
        self._flights: dict[str, _Flight] = {}
        self._lanes: Lanes | None = None
        self.hits = 0
        self.misses = 0
        self.shared = 0

    async def started(self) -> None:
        """Open the store and start the first of the parts."""
        await self._store.open()
        await super().started()
        label, source = self._sources[0]
        self._lanes = Lanes(self.context, label, source, self._cap, self.parts[0])

    async def stopped(self, reason: ExitReason) -> None:
        """Close the store."""
        await self._store.aclose()

    def snapshot(self) -> dict[str, Any]:
        """Return how many calls were hits, misses, or shared the flight of another, and the flights under way."""
        return {"hits": self.hits, "misses": self.misses, "shared": self.shared, "in_flight": len(self._flights)}

    # --- calls -------------------------------------------------------------------------------------

    async def receive(self, message: Any) -> Any:
        """Answer a call, or note who waits for it."""
        if type(message) is _Landed:
            return await self._land(message.flight, message.result)
        if type(message) is Forget:
            return await self._store.forget(self._key_of(message.arguments) if message.arguments else None)
        if type(message) is not Call:
            return await super().receive(message)
        try:
            inputs = self._validate_input(message.arguments)
            key = self._key_of(inputs)
            found = await self._look_up(key)
        except Exception:
            return await self._call(message.arguments)  # once more, step by step, to say what is wrong and where
        if found is not MISSING:
            self.hits += 1
            return await self._call(message.arguments, _answering(found))
        self._join(key, inputs, message.arguments)
        return None

    def _key_of(self, arguments: dict[str, Any]) -> str:
        key = self._key(**arguments)
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's function
            raise TypeError(f"the key of a cached answer is a string, not {key!r}")
        return key

    async def _look_up(self, key: str) -> Any:
        try:
            return await self._store.get(key)
        except Exception as error:
            self._complain("cannot read a cached answer", error)
            return MISSING

    def _join(self, key: str, inputs: dict[str, Any], arguments: dict[str, Any]) -> None:
        reply = self.context.reply_later()
        flight = self._flights.get(key)
        if flight is not None:
            self.shared += 1
        else:
            self.misses += 1
            self._flights[key] = flight = _Flight(key, self._flights)
            # The part works in the context of the first who asked, for as long as anyone waits: nobody's deadline.
            context = copy_context()
            context.run(CURRENT.set, None)
            flight.task = self.context.pipe_to_self(
                self._fly, context, inputs, on_result=lambda result, flight=flight: _Landed(flight, result)
            )
        flight.waiting.append((reply, arguments, CURRENT_OBSERVATION.get()))
        reply.on_leave(flight.left)

    async def _fly(self, context: Context, inputs: dict[str, Any]) -> Result:
        assert self._lanes is not None
        try:
            async with self._lanes.use() as part:
                result: Result = await context.run(part.ask, inputs)
        except ActorError as error:
            result = failure(error, state="DELIVERY")
        return self.parts[0].failed(result) if result["status"] == "error" else result

    async def _land(self, flight: _Flight, result: Result) -> None:
        flight.over()
        if result["status"] == "success":
            await self._keep(flight.key, result["output"])
        for place, (reply, arguments, around) in enumerate(flight.waiting):
            if reply.waiting:
                CURRENT_OBSERVATION.set(around)
                reply.reply(await self._call(arguments, _concluding(result, place)))

    async def _keep(self, key: str, output: Any) -> None:
        try:
            await self._store.put(key, output)
        except Exception as error:
            self._complain("cannot keep an answer", error)

    def _complain(self, event: str, error: Exception) -> None:
        # A cache that does not work makes calls slower, not wrong, so it is no failure of theirs.
        import structlog  # the actor system has imported it by now

        with contextlib.suppress(Exception):  # a log that cannot be written is no failure of theirs either
            structlog.get_logger("tinyllm_actors.function").warning(
                event, actor=self.context.path, error=f"{type(error).__name__}: {error}"
            )

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Answer a stream, or a call whose key or input is wrong."""
        key = self._key_of(arguments)
        found = await self._look_up(key)
        if found is not MISSING:
            self.hits += 1
            return found
        self.misses += 1
        assert self._lanes is not None
        async with self._lanes.use() as part:
            result = await part.answer(arguments, outlet)
        if result["status"] == "error":
            raise self.give_up(part.failed(result))
        await self._keep(key, result["output"])
        return result["output"]


def _answering(output: Any) -> Callable[..., Awaitable[Any]]:
    async def run(**_: Any) -> Any:
        return output

    return run


def _concluding(result: Result, place: int) -> Callable[..., Awaitable[Any]]:
    async def run(**_: Any) -> Any:
        if result["status"] == "error":
            raise FunctionFailed(result)
        return copied(result["output"]) if place else result["output"]

    return run


def cache(
    part: Any,
    *,
    key: Callable[..., str] | None = None,
    ttl: float | None = None,
    size: int = 1024,
    path: str | Path | None = None,
    output_type: Any = None,
    max_concurrency: int = 8,
    name: str | None = None,
    **options: Any,
) -> ChildSpec:
    """Return the spec of a Function that answers what `part` did for equal arguments.

    Only successes are kept. Calls for the same key that come while the part works on it share its answer (single
    flight); the part's work is cancelled when all who wait for it have left. Calls for other keys go on meanwhile.
    Answers are copied, so that nobody changes another's. A store that fails is logged, and the part is called.

    A stream is answered from the store with the result alone; otherwise the part's items are passed on and its result
    is kept. A streamed call does not share a flight, and the cache handles nothing else until it ends.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.function.compose import cache
    >>> async def shout(text: str) -> str:
    ...     print("working")
    ...     return text.upper()
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         ref = await system.spawn(cache(shout, ttl=60.0))
    ...         await ref(text="hello")
    ...         print(await ref(text="hello"))
    >>> anyio.run(main)
    working
    {'status': 'success', 'output': 'HELLO'}

    ```

    Args:
        part: a Function spec or class, or a callable, of which there will be up to `max_concurrency` actors; or a
            reference to a live Function or pool.
        key: from the arguments, by name, to a string that is the same where the answer is; quick, as it runs in the
            event loop. Left out, a digest of all arguments.
        ttl: seconds that an answer counts; None for as long as there is room.
        size: answers kept; of one more, the least recently used goes.
        path: a SQLite file to keep them in; left out, they are kept in memory.
        output_type: with `path`, what pydantic restores an answer to, where it is more than plain JSON.
        max_concurrency: keys that the part works on at the same time.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: the part cannot be called.
        ValueError: a number is out of range, or `output_type` is given without `path`.
    """
    if path is None and output_type is not None:
        raise ValueError(f"output_type={output_type!r} is for answers in a file; give its path, or leave it out")

    def store() -> CacheStore:
        return MemoryStore(size, ttl) if path is None else SQLiteStore(path, size, ttl, output_type)

    sources = sources_of([part], "cache")
    return composite_spec(Cache, sources, store, key or default_key, max_concurrency, name=name, **options)
