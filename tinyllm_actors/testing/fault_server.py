"""A model provider on loopback that answers, refuses, dawdles or breaks off as a script says.

```python
>>> import anyio
>>> from tinyllm_actors.errors import RateLimited
>>> from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
>>> from tinyllm_actors.llm.messages import UserMessage
>>> from tinyllm_actors.llm.model import ChatRequest
>>> from tinyllm_actors.testing.behaviours import answer, rate_limited
>>> from tinyllm_actors.testing.fault_server import FaultServer
>>> async def main() -> None:
...     async with FaultServer([rate_limited(retry_after=0.1), answer("January 1st.")]) as server:
...         model = OpenAICompatibleModel("any", api_base=server.base_url, api_key="x")
...         await model.open()
...         request = ChatRequest(messages=[UserMessage("When?")])
...         try:
...             await model.complete(request)
...         except RateLimited as error:
...             await anyio.sleep(error.retry_after or 0)
...         print((await model.complete(request)).message.content)
...         await model.aclose()
>>> anyio.run(main)
January 1st.

```

It speaks HTTP/1.1 as OpenAI's chat API does, over real sockets, in the caller's event loop (asyncio, uvloop or
trio), so that adapters are tested with their real HTTP clients and nothing leaves the machine.

What each behaviour means to a caller, with the adapters `openai_compatible` and `litellm` alike where nothing else is
said. `partial` holds the text that had come, and the next call on the same model succeeds:

| behaviour | a plain call | a streamed call | retryable |
|---|---|---|---|
| `rate_limited()` | `RateLimited` | the same | yes |
| `rate_limited(retry_after=…)`, seconds or a date | `RateLimited` with `retry_after` | the same | yes |
| `rate_limited(quota=True)`, `refuse(402)` | `QuotaExceeded` | the same | no |
| `server_error(500)`, 503, 529 | `Overloaded`, with `retry_after` if it is said | the same | yes |
| `refuse(401)`, 403 | `AuthenticationFailed` | the same | no |
| `refuse(400)`, 404, 422, `redirect()` | `RequestRejected` | the same | no |
| `refuse(409)` | `RequestRejected` | the same | yes |
| `refuse(408)` | `ModelTimeout` | the same | yes |
| a context that is too long, by code or words | `ContextWindowExceeded` | the same | no |
| `malformed_json()`, `wrong_content_type()` | `MalformedResponse` | the same | yes |
| `truncated_stream()` | `MalformedResponse` | `StreamInterrupted`, `partial` | yes |
| `drop_stream()`, `reset(after=…)` | `StreamInterrupted` (¹) | `StreamInterrupted`, `partial` | yes |
| `reset()` | `ModelUnavailable` | the same | yes |
| `hang()`, `slow_first_byte()` and `slow_drip()` beyond `idle_timeout` | `ModelTimeout` | the same, `partial` | yes |
| `slow_drip()` within it | an answer (²) | an answer | |
| `error_in_stream()` | `Overloaded`, or what its code says | `StreamInterrupted`, or what its code says (³) | yes |
| `huge()` | an answer, or `MalformedResponse` beyond the adapter's limits | the same | no |
| tool-call ids on each piece, changing, twice the same, or none | distinct calls with distinct ids | the same | |
| tool calls with index 0 for all, or with none | the calls | the calls (⁴) | |
| arguments that are empty or none | `{}` | `{}` | |
| a summary chunk that repeats the answer | | said once | |
| a call without a name, or cut short | `MalformedResponse` | `StreamInterrupted` | yes (⁵) |

With litellm (¹) it is `ModelUnavailable`, (²) `ModelTimeout` if the whole takes longer than `idle_timeout`,
(³) always `StreamInterrupted`, as the code is lost, and (⁴) `StreamInterrupted` where the pieces have neither index nor
id. (⁵) Not if the answer ended at its limit of tokens: the same request would end there again.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.abc
from anyio.streams.tls import TLSListener

from tinyllm_actors.errors import MissingDependency
from tinyllm_actors.testing.behaviours import Behaviour, refuse

try:
    import h11

    from tinyllm_actors.testing.http_exchange import Exchange, RequestReader
except ImportError as error:  # pragma: no cover
    raise MissingDependency('the fault server needs h11: pip install "tinyllm_actors[test]"') from error

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self, TypeAlias

    from tinyllm_actors.testing.http_exchange import RecordedRequest

    Script: TypeAlias = Iterable[Behaviour] | Behaviour | Callable[[RecordedRequest], Behaviour]

__all__ = ["ClientLeft", "FaultServer"]

# Below what systems hand out to outgoing connections, so that no client's socket sits on a port that is asked for.
_PORTS = range(20_000, 32_768)


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """The client closed its connection before its answer was complete.

    Attributes:
        request: what it had asked.
        at: when, on anyio's clock.
    """

    request: RecordedRequest
    at: float


class FaultServer:
    """A scripted OpenAI-compatible server; use it as an async context manager.

    Args:
        script: behaviours in the order in which requests come; or one behaviour for all; or a function that chooses
            by the request.
        default: what to do when the script is used up. If it is not given, such a request is refused with a 400 that
            says so, and counted in `unexpected`.
        ssl_context: with a certificate for 127.0.0.1, to speak HTTPS.

    Attributes:
        requests: what came, in order.
        unexpected: how many requests came after the script was used up.
        connections: how many connections were ever opened.
    """

    def __init__(
        self, script: Script = (), *, default: Behaviour | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[RecordedRequest] = []
        self.unexpected = 0
        self.connections = 0
        self._choose: Callable[[RecordedRequest], Behaviour] | None = None
        self._steps: deque[Behaviour] = deque()
        if isinstance(script, Behaviour):
            default = default or script
        elif callable(script):
            self._choose = script
        else:
            self._steps.extend(script)
        self._default = default
        self._ssl_context = ssl_context
        self._failures: list[Exception] = []
        self._left: deque[ClientLeft] = deque()
        self._changed = anyio.Event()
        self._open: set[anyio.abc.ByteStream] = set()
        self._port = 0
        self._tasks: anyio.abc.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        if self._tasks is not None:
            raise RuntimeError("a FaultServer serves once; make another")
        listening = _listening_socket()
        self._port = listening.getsockname()[1]
        listener: anyio.abc.Listener[anyio.abc.ByteStream]
        listener = await anyio.abc.SocketListener.from_socket(listening)
        if self._ssl_context is not None:
            listener = TLSListener(listener, self._ssl_context, standard_compatible=False)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._serve, listener)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections and stop to listen.

        Raises:
            ExceptionGroup: a behaviour raised, which is why the block fared as it did.
        """
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        # The group is not told of the block's error, or it would wrap it into an exception group.
        await self._tasks.__aexit__(None, None, None)
        if self._failures and (error is None or isinstance(error, Exception)):
            raise ExceptionGroup("behaviours of the fault server failed", self._failures)

    @property
    def base_url(self) -> str:
        """What a client takes as `api_base`."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}/v1"

    @property
    def unused(self) -> list[Behaviour]:
        """The steps of the script that no request has used."""
        return list(self._steps)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    async def wait_closed_connection(self, timeout: float = 30.0) -> ClientLeft:
        """Wait until a client leaves before its answer is complete; each such leave is returned once, oldest first.

        Raises:
            TimeoutError: none did within `timeout` seconds.
        """
        with anyio.fail_after(timeout):
            while not self._left:
                await self._changed.wait()
        return self._left.popleft()

    async def wait_request(self, number: int = 1, timeout: float = 30.0) -> RecordedRequest:
        """Wait until request `number`, counted from 1, has come, and return it.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        with anyio.fail_after(timeout):
            while len(self.requests) < number:
                await self._changed.wait()
        return self.requests[number - 1]

    async def wait_no_connection(self, timeout: float = 30.0) -> None:
        """Wait until no connection is open.

        Raises:
            TimeoutError: one still is after `timeout` seconds.
        """
        with anyio.fail_after(timeout):
            while self._open:
                await self._changed.wait()

    # --- serving ---

    async def _serve(self, listener: anyio.abc.Listener[anyio.abc.ByteStream]) -> None:
        async with listener:
            await listener.serve(self._converse)

    async def _converse(self, stream: anyio.abc.ByteStream) -> None:
        self.connections += 1
        self._open.add(stream)
        reader = RequestReader(stream)
        try:
            async with stream:
                while (request := await reader.next()) is not None:
                    self.requests.append(request)
                    self._notify()
                    exchange = Exchange(stream, request, len(self.requests))
                    if await self._play(self._next(request), exchange, reader):
                        break
        except (h11.RemoteProtocolError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # what the client did to its connection is not the server's failure
        finally:
            self._open.discard(stream)
            self._notify()

    async def _play(self, behaviour: Behaviour, exchange: Exchange, reader: RequestReader) -> bool:
        """Play `behaviour` while watching the client; tell whether the connection is over."""
        complete = False

        async def watch() -> None:
            await reader.watch()
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            try:
                await behaviour.play(exchange)
                complete = True
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the client left while we were sending
            except Exception as error:
                # Kept, since closing the connection under cancellation would lose it.
                self._failures.append(error)
                complete, exchange.over = True, True
            tasks.cancel_scope.cancel()
        if not complete and not exchange.over:
            self._left.append(ClientLeft(exchange.request, anyio.current_time()))
            self._notify()
        return not complete or exchange.over

    def _next(self, request: RecordedRequest) -> Behaviour:
        if self._choose is not None:
            return self._choose(request)
        if self._steps:
            return self._steps.popleft()
        if self._default is not None:
            return self._default
        self.unexpected += 1
        return refuse(400, f"the script has no step for request {len(self.requests)}", code="script_used_up")

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def _listening_socket() -> socket.socket:
    for port in (*random.sample(_PORTS, 20), 0):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen(1024)
            listening.setblocking(False)
        except OSError:
            listening.close()
            if port == 0:
                raise
        else:
            return listening
    raise AssertionError("unreachable")
