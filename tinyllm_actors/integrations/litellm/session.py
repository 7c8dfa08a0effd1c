"""What the adapters of litellm share: opened and closed once, calls that end early, failures in our terms."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, ModelTimeout, ModelUnavailable
from tinyllm_actors.integrations._asyncio_bridge import acquire_bridge
from tinyllm_actors.integrations.litellm import residue
from tinyllm_actors.integrations.litellm.client import SENDING, make_client
from tinyllm_actors.integrations.litellm.failures import failure_of
from tinyllm_actors.integrations.litellm.loading import load, unobserved
from tinyllm_actors.integrations.litellm.names import check_credential, provider_of, spare_lookups
from tinyllm_actors.kernel.scrubber import Scrubber

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

    from tinyllm_actors.errors import TinyLLMError
    from tinyllm_actors.integrations._asyncio_bridge import Bridge
    from tinyllm_actors.llm.assembly import ChunkAssembler

__all__ = ["Session"]

_WRITING = 1.0
"""How long litellm may take to write a request, or to give one up, that nobody waits for any more, in seconds."""
_TURNS = 50
"""Turns of the loop in which the calls under way take note that the model is closed."""


class Session:
    """The use of litellm for one model.

    Args:
        name: litellm's name of the model.
        options: for each call.
        idle_timeout: seconds without a word from the provider.
        takes_client: whether litellm takes our HTTP client for a provider.

    Attributes:
        litellm: the module, once open.
        provider: that litellm calls for the model, once open.
        client: our HTTP client, where litellm takes it.
        api_key: the key of the configuration file, if that is the one to use.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, object],
        *,
        idle_timeout: float,
        takes_client: Callable[[str], bool],
    ) -> None:
        if not isinstance(idle_timeout, int | float) or not idle_timeout > 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"idle_timeout must be a number of seconds above 0, not {idle_timeout!r}")
        self._name = name
        self._options = options
        self._idle_timeout = idle_timeout
        self._takes_client = takes_client
        self._scrub = Scrubber(_secrets(options))
        self._waits: set[asyncio.Timeout] = set()
        self._bridge: Bridge | None = None
        self.litellm: Any = None
        self.provider = ""
        self.client: Any = None
        self.api_key: str | None = None

    @property
    def is_open(self) -> bool:
        """It was opened, and not closed since."""
        return self._bridge is not None

    async def open(self) -> None:
        """Import litellm, if nobody has, and find out what can be known without the network.

        Raises:
            UnknownModel: litellm does not know the provider.
            MissingCredential: a key is surely missing.
            MissingDependency: litellm is not installed, or not in a version that works here.
        """
        litellm = self.litellm = await load()
        self.provider = provider_of(litellm, self._name, self._options)
        spare_lookups(litellm, self.provider, self._name)
        # In a thread, as it may read the configuration file.
        self.api_key = await anyio.to_thread.run_sync(
            check_credential, litellm, self._name, self.provider, self._options
        )
        if self.api_key is not None:
            self._scrub = Scrubber([*_secrets(self._options), self.api_key])
        if "client" not in self._options and self._takes_client(self.provider):
            self.client = await anyio.to_thread.run_sync(make_client, self._options.get("ssl_verify"))
        bridge = acquire_bridge()
        try:
            await bridge.call(residue.lease)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await bridge.aclose()
            raise
        self._bridge = bridge

    async def aclose(self) -> None:
        """Give up the connections; the last session on a loop clears what litellm keeps there."""
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await bridge.call(self._release)
                finally:
                    await bridge.aclose()

    def opened(self, owner: object) -> Bridge:
        """Return the bridge of an open session.

        Raises:
            RuntimeError: `owner` was not opened.
        """
        if self._bridge is None:
            raise RuntimeError(f"{owner!r} is not open; await open() before the first call")
        return self._bridge

    def closed(self) -> ModelUnavailable:
        """Return the error of a call whose model was closed under it."""
        return ModelUnavailable(
            f"{self._name}: the model was closed during the call", retryable=False, model=self._name
        )

    # --- on asyncio ---

    async def _release(self) -> None:
        loop = asyncio.get_running_loop()
        for wait in self._waits:
            with contextlib.suppress(RuntimeError):  # it has expired already
                wait.reschedule(loop.time())
        for _ in range(_TURNS if self._waits else 0):
            await asyncio.sleep(0)
        client, self.client = self.client, None
        try:
            if client is not None:
                await client.close()
        finally:
            await residue.release(self.litellm)

    async def ask(self, function: Callable[..., Coroutine[Any, Any, Any]], arguments: dict[str, Any]) -> Any:
        """Return what litellm's coroutine function answers, or its stream. Cancelling it closes the connection."""
        if self.client is None:
            with unobserved(self.litellm):
                return await self.patiently(function(**arguments))
        sending = asyncio.Event()
        token = SENDING.set(sending)
        try:
            with unobserved(self.litellm):
                task = asyncio.create_task(function(**arguments))
            task.add_done_callback(_hear_out)
        finally:
            SENDING.reset(token)
        try:
            return await self.patiently(asyncio.shield(task))
        except BaseException:
            await _stop(task, sending)
            raise

    async def patiently(self, answer: Awaitable[Any]) -> Any:
        """Return what `answer` brings, but wait no longer than `idle_timeout`.

        Raises:
            ModelTimeout: it took longer.
            ModelUnavailable: the session was closed.
        """
        # A reader may come back to its stream after the model was closed.
        wait = asyncio.timeout(0 if self._bridge is None else self._idle_timeout)
        try:
            async with wait:
                self._waits.add(wait)
                try:
                    return await answer
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if self._bridge is None:
                raise self.closed() from None
            raise ModelTimeout(f"{self._name}: nothing came for idle_timeout={self._idle_timeout!r} s") from None

    def failure(self, error: BaseException, assembler: ChunkAssembler | None = None) -> TinyLLMError:
        """Return what `error` means to the caller; `assembler` has the answer if it was begun.

        Raises:
            asyncio.CancelledError: it is the caller's own cancellation.
        """
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise error
        return failure_of(error, model=self._name, scrub=self._scrub, answer=assembler)


async def _stop(task: asyncio.Task[Any], sending: asyncio.Event) -> None:
    """Cancel a call, but not while litellm writes the request in a thread: what comes of it would never be awaited.

    The call may have succeeded at the moment in which its caller left: then its stream is closed.
    """
    with anyio.CancelScope(shield=True):
        if not task.done():
            sent = asyncio.create_task(sending.wait())
            try:
                await asyncio.wait([task, sent], timeout=_WRITING, return_when=asyncio.FIRST_COMPLETED)
            finally:  # across threads a second cancellation gets through the shield
                sent.cancel()
                task.cancel()
            await asyncio.wait([task], timeout=_WRITING)
        if task.done() and not task.cancelled() and task.exception() is None:
            answer = task.result()
            if hasattr(answer, "aclose"):
                await answer.aclose()


def _hear_out(task: asyncio.Task[Any]) -> None:
    """Take note of a failure, so that asyncio does not report it where nobody is left to."""
    if not task.cancelled():
        task.exception()


def _secrets(options: Mapping[str, object]) -> Iterator[str]:
    """Yield what must not be read by anybody: keys among the options, in headers, and in the environment."""
    for name, value in (*options.items(), *os.environ.items()):
        if isinstance(value, str) and name.lower().endswith(("key", "token", "secret", "password")):
            yield value
        elif isinstance(value, dict) and name in ("headers", "extra_headers"):
            yield from map(str, cast("dict[str, object]", value).values())
