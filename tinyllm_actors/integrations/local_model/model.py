"""`LocalModel`: a language model on this machine, served by llama.cpp in a process of its own."""

from __future__ import annotations

import os
import secrets
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from tinyllm_actors.errors import ConfigurationError, ModelError, ModelUnavailable
from tinyllm_actors.integrations.local_model.choice import choice_schema, instruction, offered
from tinyllm_actors.integrations.local_model.chosen import chosen
from tinyllm_actors.integrations.local_model.conversation import read_conversation
from tinyllm_actors.integrations.local_model.counting import Counter
from tinyllm_actors.integrations.local_model.examples import INSTRUCTION, examples
from tinyllm_actors.integrations.local_model.process import ServerProcess
from tinyllm_actors.integrations.local_model.weights import available, find_runtime, find_weights, packaged_weights
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
from tinyllm_actors.llm.model import Capabilities, ChatModel, ChatRequest, Completed
from tinyllm_actors.llm.tokens import TokenCount

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
    from pathlib import Path

    from tinyllm_actors.integrations.local_model.conversation import Conversation
    from tinyllm_actors.integrations.local_model.server import Settings
    from tinyllm_actors.llm.model import Completion, StreamEvent

__all__ = ["LocalModel"]

_MIB = 1024 * 1024
_MOST_THREADS = 8
_PROMPT_CACHE_MIB = 256
_ROUNDS = 8
"""How often a model that is not tiny may ask for tools before it must answer."""
_NOTICE = 1.0
"""How long after a broken connection to look whether the server's process has ended, in seconds."""


class LocalModel(ChatModel):
    """A model that runs here, without network, key or cost.

    ```python
    model = LocalModel()
    await model.open()  # starts llama.cpp; with SmolLM2 it takes about half a second
    completion = await model.complete(ChatRequest(messages=[UserMessage("What is the capital of France?")]))
    await model.aclose()
    ```

    Args:
        weights: a GGUF file; None takes the one that `TINYLLM_LOCAL_WEIGHTS` names, else SmolLM2-135M-Instruct from
            its package.
        name: what the model is called in logs, traces and errors, after `local/`.
        context: tokens in the cache, shared evenly by the slots: a request and its answer may take `context / slots`.
            SmolLM2 takes 23 KiB of memory a token.
        slots: requests that are worked on at once; others wait for their turn.
        threads: for computing; None takes half of the processors. One too many is much worse than one too few: on two
            busy processors SmolLM2 wrote 105 tokens a second with one thread and 16 with two.
        max_tokens: of an answer, unless the request's options say so.
        options: for llama.cpp with each request (`temperature`, `repeat_penalty`, `seed`, …); those of the request
            win. Without, `temperature` is 0.
        tool_rounds: how often the model may ask for tools before it must answer; None is 1 for a tiny model, which
            would go on for ever, and 8 for others.
        tiny: show the model by examples how results become answers; None does so with SmolLM2 only.
        prompt_cache_mib: memory for what was read of earlier prompts, in MiB, so that a conversation goes on without
            being read again; answers may then vary a little, even at temperature 0. 0 reads each prompt afresh: one
            call at a time, the same question gets the same answer. None is 0 for a tiny model and 256 for others.
        start_timeout: seconds until the weights must be loaded.
        idle_timeout: seconds without a sign of life from llama.cpp during a call, waiting for a slot included.
        on_progress: told in a few words what `open()` is doing, for whoever waits.

    Raises:
        ConfigurationError: a number is out of range.
    """

    capabilities = Capabilities(tools=True, json_schema=True, images=False)

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        *,
        name: str = "smollm2",
        context: int = 8192,
        slots: int = 2,
        threads: int | None = None,
        max_tokens: int = 512,
        options: Mapping[str, object] | None = None,
        tool_rounds: int | None = None,
        tiny: bool | None = None,
        prompt_cache_mib: int | None = None,
        start_timeout: float = 120.0,
        idle_timeout: float = 120.0,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        numbers = {"context": context, "slots": slots, "threads": threads, "max_tokens": max_tokens}
        for label, number in numbers.items():
            if number is not None and number < 1:
                raise ConfigurationError(f"{label} must be at least 1, not {number!r}")
        for label, number in {"prompt_cache_mib": prompt_cache_mib, "tool_rounds": tool_rounds}.items():
            if number is not None and number < 0:
                raise ConfigurationError(f"{label} must not be negative, as {number!r} is")
        for label, seconds in {"start_timeout": start_timeout, "idle_timeout": idle_timeout}.items():
            if not seconds > 0:
                raise ConfigurationError(f"{label} must be more than 0 seconds, not {seconds!r}")
        self.name = f"local/{name}"
        self.context_window = context // slots
        self._given = weights
        self._context = context
        self._slots = slots
        self._threads = threads or _default_threads()
        self._max_tokens = max_tokens
        self._options = dict(options or {})
        self._tool_rounds = tool_rounds
        self._tiny = tiny
        self._prompt_cache_mib = prompt_cache_mib
        self._start_timeout = start_timeout
        self._idle_timeout = idle_timeout
        self._on_progress = on_progress or _tell_nobody
        self._server: ServerProcess | None = None
        self._client: OpenAICompatibleModel | None = None
        self._counter: Counter | None = None
        self._is_tiny = False
        self._opening = anyio.Lock()

    def __repr__(self) -> str:
        """Show the model and its process."""
        where = f"pid {self._server.pid}" if self._server is not None else "not open"
        return f"<LocalModel {self.name!r}, {where}>"

    @staticmethod
    def available(weights: str | os.PathLike[str] | None = None) -> str | None:
        """Return None when a local model can be started here, else a sentence that says why not and what to do."""
        return available(weights)

    @property
    def pid(self) -> int | None:
        """The process that serves the model, while it is open."""
        return self._server.pid if self._server is not None else None

    async def open(self) -> None:
        """Start llama.cpp and wait until it can answer, unless it runs. After its process has ended, start another.

        Raises:
            MissingDependency: llama.cpp or the weights are not installed; the message holds the command.
            ConfigurationError: the file is not there, or llama.cpp cannot read it.
            ModelUnavailable: the process ended at once, or took longer than `start_timeout`.
        """
        async with self._opening:
            if self._server is None or not self._server.running:
                await self.aclose()
                await self._start()

    async def _start(self) -> None:
        key = secrets.token_urlsafe(24)  # others on this machine can reach the port too
        weights, settings = await anyio.to_thread.run_sync(self._find, key)
        options = {
            "temperature": 0,
            "max_tokens": self._max_tokens,
            "cache_prompt": settings["prompt_cache_mib"] > 0,
            **self._options,
        }
        size = (await anyio.Path(weights).stat()).st_size
        self._on_progress(f"starting llama.cpp with {weights.name} ({size / _MIB:.0f} MiB)")
        began = anyio.current_time()
        server = await ServerProcess.start(
            self.name, settings, timeout=self._start_timeout, on_progress=self._on_progress
        )
        counter = Counter(server.address, key, self.name, self._idle_timeout)
        try:
            client = OpenAICompatibleModel(
                weights.stem,
                api_base=f"{server.address}/v1",
                api_key=key,
                # llama.cpp promises to keep a connection alive and closes it after a streamed answer.
                headers={"Connection": "close"},
                idle_timeout=self._idle_timeout,
                options=options,
                capabilities=self.capabilities,
            )
            client.name = self.name
            await client.open()
            await counter.open()
        except BaseException:
            await server.stop()
            raise
        self._server, self._client, self._counter = server, client, counter
        self._on_progress(f"ready after {anyio.current_time() - began:.1f} s")

    async def aclose(self) -> None:
        """End the process. Calls that are under way fail. Idempotent.

        An `open()` that is under way in another task is for that one to cancel.
        """
        server, client, counter = self._server, self._client, self._counter
        self._server = self._client = self._counter = None
        with anyio.CancelScope(shield=True):
            try:
                if client is not None:
                    await client.aclose()
                if counter is not None:
                    await counter.aclose()
            finally:
                if server is not None:
                    await server.stop()

    async def wait_failed(self) -> None:
        """Wait until the process ends by itself, or by somebody else; for ever once the model is closed.

        Whoever owns the model runs this beside its work, and calls `open()` for a new process. Any number may wait.

        Raises:
            ModelUnavailable: what happened to the process.
            RuntimeError: the model is not open.
        """
        failure = await self._opened()[0].wait_ended()
        if failure is not None:
            raise failure
        await anyio.sleep_forever()

    async def complete(self, request: ChatRequest) -> Completion:
        """Return the whole answer to `request`.

        Raises:
            ModelUnavailable: the process has ended; `open()` starts another one.
            ContextWindowExceeded: the request takes more than its share of `context`.
            ModelError: see `openai_compatible`.
        """
        # llama.cpp gives signs of life on a stream only, so that a slow answer is not taken for a dead server.
        async with self.stream(request) as events:
            async for event in events:
                if isinstance(event, Completed):
                    return event.completion
        raise AssertionError("a stream ends with `Completed` or raises")  # the port's promise

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Open the answer to `request` as events; `Completed` is the last one.

        Raises:
            ModelError: as `complete()`; raised where the reader is.
        """
        server, client = self._opened()
        conversation = read_conversation(request.messages, self.name)
        plain = self._plain(request, conversation)
        choose = self._choose(request, conversation)
        if choose is not None:
            _, may_answer = offered(request.tools, request.tool_choice)
            repeated = conversation.calls if may_answer else set[tuple[str, str]]()
            async with (
                client.stream(choose) as said,
                aclosing(chosen(said, repeated, lambda: client.complete(plain))) as events,
                aclosing(self._explained(server, events)) as explained,
            ):
                yield explained
        else:
            async with client.stream(plain) as said, aclosing(self._explained(server, said)) as explained:
                yield explained

    async def count_tokens(self, request: ChatRequest) -> TokenCount:
        """Return how many tokens the prompt has that is made of `request`, tools and all; always exact.

        Raises:
            ModelError: llama.cpp does not answer.
        """
        self._opened()
        assert self._counter is not None
        conversation = read_conversation(request.messages, self.name)
        sent = self._choose(request, conversation) or self._plain(request, conversation)
        return TokenCount(await self._counter.count(sent.messages), exact=True)

    def _choose(self, request: ChatRequest, conversation: Conversation) -> ChatRequest | None:
        """Return the request for a tool call or an answer, if there are tools that may still be asked for."""
        rounds = self._tool_rounds if self._tool_rounds is not None else (1 if self._is_tiny else _ROUNDS)
        tools, may_answer = offered(request.tools, request.tool_choice)
        if not tools or (conversation.rounds >= rounds and may_answer):
            return None
        return ChatRequest(
            messages=conversation.messages(instruction(tools, request.response_schema, may_answer=may_answer)),
            response_schema=choice_schema(tools, request.response_schema, may_answer=may_answer),
            options=_options(request),
        )

    def _plain(self, request: ChatRequest, conversation: Conversation) -> ChatRequest:
        """Return the request for an answer, without tools to choose from."""
        if request.response_schema is not None:
            schema = msgspec.json.encode(request.response_schema.schema).decode()
            messages = conversation.messages(f"\n\nReply with JSON that fits this schema: {schema}")
        elif self._is_tiny and conversation.results:
            failed = conversation.failures == conversation.results
            messages = conversation.messages(INSTRUCTION, examples(failed=failed))
        else:
            messages = conversation.messages()
        return ChatRequest(messages=messages, response_schema=request.response_schema, options=_options(request))

    def _opened(self) -> tuple[ServerProcess, OpenAICompatibleModel]:
        if self._server is None or self._client is None:
            raise RuntimeError(f"{self!r} cannot be called; await open() first")
        return self._server, self._client

    def _find(self, key: str) -> tuple[Path, Settings]:
        runtime = find_runtime()
        weights = find_weights(self._given)
        self._is_tiny = weights == packaged_weights() if self._tiny is None else self._tiny
        cache = self._prompt_cache_mib
        return weights, {
            "runtime": str(runtime),
            "weights": str(weights),
            "context": self._context,
            "slots": self._slots,
            "threads": self._threads,
            "prompt_cache_mib": cache if cache is not None else 0 if self._is_tiny else _PROMPT_CACHE_MIB,
            "api_key": key,
        }

    async def _explained(
        self, server: ServerProcess, events: AsyncIterator[StreamEvent]
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events, and tell why there are no more when it is because the server's process has ended."""
        try:
            async for event in events:
                yield _free(event) if isinstance(event, Completed) else event
        except ModelError as error:
            failure: ModelUnavailable | None = None
            if self._server is not server:
                closed = f"{self.name}: the model was closed during the call"
                # Closed because its process had died, it comes back; closed by whoever owns it, it does not.
                failure = ModelUnavailable(closed, retryable=server.died, model=self.name)
            else:
                with anyio.move_on_after(_NOTICE):
                    failure = await server.wait_ended()
            if failure is None:
                raise
            failure.output_started = error.output_started
            failure.partial = error.partial
            raise failure from error


def _options(request: ChatRequest) -> Mapping[str, object]:
    """Return the request's options; llama.cpp would let our `max_tokens` win over a `max_completion_tokens`."""
    options = dict(request.options)
    if "max_completion_tokens" in options:
        options["max_tokens"] = options.pop("max_completion_tokens")
    return options


def _tell_nobody(_: str) -> None:
    pass


def _free(event: Completed) -> Completed:
    """Say that the answer cost nothing, which is not the same as an unknown cost."""
    completion = event.completion
    if completion.usage is None:
        return event
    usage = msgspec.structs.replace(completion.usage, cost=0.0)
    return Completed(msgspec.structs.replace(completion, usage=usage))


def _default_threads() -> int:
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        processors = os.cpu_count() or 1
    return max(1, min(_MOST_THREADS, processors // 2))
