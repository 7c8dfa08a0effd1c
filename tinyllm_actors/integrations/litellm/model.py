"""`LiteLLMModel`: the adapter itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import msgspec

from tinyllm_actors.errors import ConfigurationError, MalformedResponse, ModelTimeout, ModelUnavailable, UnknownModel
from tinyllm_actors.integrations._asyncio_bridge import acquire_bridge
from tinyllm_actors.integrations.litellm import residue
from tinyllm_actors.integrations.litellm.client import SENDING, make_client, takes_client
from tinyllm_actors.integrations.litellm.failures import failure_of
from tinyllm_actors.integrations.litellm.loading import load, observed, unobserved
from tinyllm_actors.integrations.litellm.names import capabilities_of, check_credential, provider_of
from tinyllm_actors.integrations.litellm.request import call_arguments, check_options
from tinyllm_actors.integrations.litellm.streams import is_stream, read_farewell, reason_of, reports_of
from tinyllm_actors.integrations.litellm.usage import Prices
from tinyllm_actors.integrations.openai_compatible.events import events_of
from tinyllm_actors.integrations.openai_compatible.secret import Scrubber
from tinyllm_actors.llm.answer import DEFAULT_LIMITS, completion_from_wire
from tinyllm_actors.llm.assembly import ChunkAssembler
from tinyllm_actors.llm.model import Capabilities, ChatModel, Completed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping

    from tinyllm_actors.errors import TinyLLMError
    from tinyllm_actors.integrations._asyncio_bridge import Bridge
    from tinyllm_actors.llm.answer import AnswerLimits
    from tinyllm_actors.llm.model import ChatRequest, Completion, StreamEvent, Usage

__all__ = ["LiteLLMModel", "from_name"]

_PREFIX = "litellm/"
FAREWELL = 5.0
"""How long what follows the end of an answer (the tokens) may take, in seconds."""
_WRITING = 1.0
"""How long litellm may take to write a request, or to give one up, that nobody waits for any more, in seconds."""
_TURNS = 50
"""Turns of the loop in which the calls under way take note that the model is closed."""


class LiteLLMModel(ChatModel):
    """A model of any provider that litellm knows.

    ```python
    model = LiteLLMModel("anthropic/claude-3-5-haiku-latest", temperature=0)
    await model.open()
    completion = await model.complete(ChatRequest(messages=[UserMessage("hello")]))
    ```

    Args:
        model: litellm's name of it, `"provider/model"`.
        idle_timeout: seconds without a word from the provider, before the first and between two. A call that is not
            streamed is silent until its answer is whole: allow what the longest one takes.
        limits: how much text and how many tool calls are accepted.
        stream_usage: ask for the tokens of a streamed answer. Turn it off for a provider that refuses
            `stream_options` (Bytez, OCI).
        send_reasoning: send the model's earlier thinking back to it. Most providers refuse it; DeepSeek's thinking
            models want it between tool calls.
        capabilities: what the model can do, when litellm's table is wrong or does not have it.
        options: for `litellm.acompletion` with each call (`api_key`, `api_base`, `temperature`, …); those of the
            request win.

    Raises:
        ConfigurationError: an option cannot be.
    """

    def __init__(
        self,
        model: str,
        *,
        idle_timeout: float = 120.0,
        limits: AnswerLimits = DEFAULT_LIMITS,
        stream_usage: bool = True,
        send_reasoning: bool = False,
        capabilities: Capabilities | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(idle_timeout, int | float) or not idle_timeout > 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"idle_timeout must be a number of seconds above 0, not {idle_timeout!r}")
        check_options(options)
        self.name = model
        self._given_capabilities = capabilities
        self.capabilities = capabilities or Capabilities()
        self._idle_timeout = idle_timeout
        self._limits = limits
        self._stream_usage = stream_usage
        self._send_reasoning = send_reasoning
        self._options = options
        self._scrub = Scrubber(_secrets(options))
        self._litellm: Any = None
        self._client: Any = None
        self._prices: Prices | None = None
        self._waits: set[asyncio.Timeout] = set()
        self._bridge: Bridge | None = None

    def __repr__(self) -> str:
        """Show the model; never the key."""
        return f"LiteLLMModel({self.name!r})"

    async def open(self) -> None:
        """Import litellm, if nobody has, and find out what can be known without the network. Nothing if it is open.

        Raises:
            UnknownModel: litellm does not know the provider.
            MissingCredential: a key is surely missing.
            MissingDependency: litellm is not installed, or not in a version that works here.
        """
        if self._bridge is not None:
            return
        litellm = self._litellm = await load()
        provider = provider_of(litellm, self.name, self._options)
        check_credential(litellm, self.name, provider, self._options)
        self.capabilities = self._given_capabilities or capabilities_of(litellm, self.name)
        self._prices = Prices(litellm, self.name, provider)
        if "client" not in self._options and takes_client(provider):
            self._client = await anyio.to_thread.run_sync(make_client, self._options.get("ssl_verify"))
        bridge = acquire_bridge()
        try:
            await bridge.call(residue.lease)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await bridge.aclose()
            raise
        self._bridge = bridge

    async def aclose(self) -> None:
        """Give up the connections; the last model on a loop clears what litellm keeps there.

        Calls that are under way fail with `ModelUnavailable`.
        """
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await bridge.call(self._release)
                finally:
                    await bridge.aclose()

    async def complete(self, request: ChatRequest) -> Completion:
        """Return the whole answer to `request`.

        Raises:
            ModelError: see `failures`.
            ConfigurationError: an option, or a package that the provider needs.
        """
        bridge = self._opened()
        try:
            return await bridge.call(self._complete, self._arguments(request, stream=False))
        except anyio.ClosedResourceError:
            raise self._closed() from None

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Open the answer to `request` as events; `Completed` is the last one.

        Raises:
            ModelError: see `failures`; raised where the reader is.
            ConfigurationError: an option, or a package that the provider needs.
        """
        bridge = self._opened()
        async with bridge.stream(self._events, self._arguments(request, stream=True)) as events:
            yield events

    def _opened(self) -> Bridge:
        if self._bridge is None:
            raise RuntimeError(f"{self!r} is not open; await open() before the first call")
        return self._bridge

    def _closed(self) -> ModelUnavailable:
        return ModelUnavailable(f"{self.name}: the model was closed during the call", retryable=False, model=self.name)

    def _arguments(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        return call_arguments(
            self.name,
            request,
            self._options,
            stream=stream,
            client=self._client,
            stream_usage=self._stream_usage,
            send_reasoning=self._send_reasoning,
        )

    # --- on asyncio ---

    async def _release(self) -> None:
        loop = asyncio.get_running_loop()
        for wait in self._waits:
            with contextlib.suppress(RuntimeError):  # it has expired already
                wait.reschedule(loop.time())
        for _ in range(_TURNS if self._waits else 0):
            await asyncio.sleep(0)
        client, self._client = self._client, None
        try:
            if client is not None:
                await client.close()
        finally:
            await residue.release(self._litellm)

    # A failure is raised outside of the `except` that made it: its context would be litellm's exception, which quotes
    # requests and answers.

    async def _complete(self, arguments: dict[str, Any]) -> Completion:
        try:
            return self._completion(await self._ask(arguments))
        except (Exception, asyncio.CancelledError) as error:
            failure = self._failure(error)
        raise failure

    async def _events(self, arguments: dict[str, Any]) -> AsyncGenerator[StreamEvent, None]:
        assembler = ChunkAssembler(self.name, limits=self._limits)
        answer: Any = None
        try:
            answer = await self._ask(arguments)
            if hasattr(answer, "__anext__"):
                reports: list[Any] = []
                mocked = arguments.get("mock_response") is not None
                async with aclosing(self._chunks(answer, reports, mocked)) as chunks:
                    async for chunk in chunks:
                        for event in assembler.feed(chunk):
                            yield event
                yield self._completed(assembler, answer, reports)
            else:
                for event in events_of(self._completion(answer)):
                    yield event
            return
        except (Exception, asyncio.CancelledError) as error:
            failure = self._failure(error, assembler if answer is not None else None)
        finally:
            if answer is not None and hasattr(answer, "aclose"):
                await answer.aclose()
        raise failure

    async def _ask(self, arguments: dict[str, Any]) -> Any:
        if self._client is None:
            with unobserved(self._litellm):
                return await self._patiently(self._litellm.acompletion(**arguments))
        sending = asyncio.Event()
        token = SENDING.set(sending)
        try:
            with unobserved(self._litellm):
                task = asyncio.create_task(self._litellm.acompletion(**arguments))
            task.add_done_callback(_hear_out)
        finally:
            SENDING.reset(token)
        try:
            return await self._patiently(asyncio.shield(task))
        except BaseException:
            await _stop(task, sending)
            raise

    async def _patiently(self, answer: Awaitable[Any]) -> Any:
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
                raise self._closed() from None
            raise ModelTimeout(f"{self.name}: nothing came for idle_timeout={self._idle_timeout!r} s") from None

    async def _chunks(self, answer: Any, reports: list[Any], mocked: bool) -> AsyncGenerator[dict[str, object], None]:
        """Yield the chunks of litellm's stream, with the provider's reason to end and without one that is made up.

        Args:
            answer: the stream.
            reports: gets what the provider says of tokens.
            mocked: there is no provider.
        """
        to_the_end = observed(self._litellm)  # behind the last chunk litellm works for its callbacks only
        reason: str | None = None
        while True:
            try:
                chunk = await self._patiently(anext(answer, None))
            except Exception:
                reason = reason_of(answer, mocked=mocked)
                if reason is None:
                    raise
                break  # the answer is whole; what broke off is the farewell
            if chunk is None:
                break
            last = getattr(answer, "sent_last_chunk", False) is True
            if last and reason_of(answer, mocked=mocked) is None:
                break
            yield chunk.model_dump()
            if last and not to_the_end:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(FAREWELL):
                        await read_farewell(answer, reports)
                break
        reports[:0] = reports_of(answer)
        if reason is not None:
            yield {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}

    def _completion(self, response: Any) -> Completion:
        completion = completion_from_wire(response.model_dump(), self.name, limits=self._limits)
        return _tidied(completion, self._opened_prices.of_answer(completion.usage, response))

    def _completed(self, assembler: ChunkAssembler, answer: Any, reports: list[Any]) -> Completed:
        if not assembler.started and (assembler.finish_reason is None or not is_stream(answer)):
            raise MalformedResponse(f"{self.name}: the provider answered, but not with a stream; check api_base")
        return Completed(_tidied(assembler.finish().completion, self._opened_prices.of_stream(reports)))

    @property
    def _opened_prices(self) -> Prices:
        assert self._prices is not None
        return self._prices

    def _failure(self, error: BaseException, assembler: ChunkAssembler | None = None) -> TinyLLMError:
        """Return what `error` means to the caller; `assembler` has the answer if it was begun.

        Raises:
            asyncio.CancelledError: it is the caller's own cancellation.
        """
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise error
        return failure_of(error, model=self.name, scrub=self._scrub, answer=assembler)


def from_name(name: str, options: Mapping[str, object]) -> LiteLLMModel:
    """Return the model that a string names: `"provider/model"`, with or without `"litellm/"` before it.

    Args:
        name: the string.
        options: the arguments of `LiteLLMModel`.

    Raises:
        UnknownModel: it names nothing. Whether litellm knows the provider is found out by `open()`.
        ConfigurationError: an option cannot be.
    """
    model = name.removeprefix(_PREFIX)
    if not model.strip("/ "):
        raise UnknownModel(f"{name!r} names no model; write it as 'provider/model', such as 'openai/gpt-4o-mini'")
    check_options(options)  # before one of them meets an argument of the same name
    return LiteLLMModel(model, **cast("dict[str, Any]", options))


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


def _tidied(completion: Completion, usage: Usage | None) -> Completion:
    """Add the price, and drop a field that litellm adds to say nothing."""
    extra = {name: value for name, value in completion.extra.items() if value or name != "provider_specific_fields"}
    return msgspec.structs.replace(completion, usage=usage, extra=extra)


def _secrets(options: Mapping[str, object]) -> Iterator[str]:
    """Yield what must not be read by anybody: keys among the options, in headers, and in the environment."""
    for name, value in (*options.items(), *os.environ.items()):
        if isinstance(value, str) and name.lower().endswith(("key", "token", "secret", "password")):
            yield value
        elif isinstance(value, dict) and name in ("headers", "extra_headers"):
            yield from map(str, cast("dict[str, object]", value).values())
