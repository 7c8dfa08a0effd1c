"""What an MCP client is offered: tools of an actor system, over pipes or HTTP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.integrations.mcp.exposing import expose
from tinyllm_actors.integrations.mcp.loading import load, load_here
from tinyllm_actors.tool import Toolkit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence

    from tinyllm_actors.function import Function
    from tinyllm_actors.kernel import ActorRef, ActorSystem, ChildSpec
    from tinyllm_actors.tool import Tool

    AsgiApp = Callable[
        [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
    ]

__all__ = ["McpService"]


class McpService:
    """Offers functions, tools and agents to MCP clients.

    ```python
    import anyio

    from tinyllm_actors import ActorSystem, Agent
    from tinyllm_actors.integrations.mcp import McpService, expose


    def forecast(city: str) -> str:
        '''Look up the weather.'''
        return f"{city}: sunny"


    assistant = Agent.spec(model="openai/gpt-4o-mini", tools=[forecast]).named("assistant")
    service = McpService("weather", [forecast, expose(assistant, description="Ask about the weather.")])


    async def main() -> None:
        async with ActorSystem("weather") as system:
            await service.serve_stdio(system)


    anyio.run(main)
    ```

    Each call is an actor of its own under a supervisor of the service, so that one that hangs or crashes fails alone.
    What fails is an answer with `isError`, for the model of the client to read. A client that cancels its call
    cancels the actor's work; what that reports is the call's progress.

    Args:
        name: what clients are told that it is called.
        tools: what it offers: functions, tools, toolkits, Functions and agents, as `expose` takes them.
        instructions: for the models of the clients: what the service is for.
        version: of the service.
        max_concurrency: calls that run at the same time. If in doubt, leave it.
        max_waiting: calls that wait for their turn; of one more the client is told to come back later.
        max_message_bytes: bytes that one message of a client may have.

    Raises:
        ConfigurationError: two tools have the same name, something cannot be exposed, or a bound has no meaning.
    """

    def __init__(
        self,
        name: str,
        tools: Iterable[Tool[..., Any] | Toolkit | type[Function] | ChildSpec | ActorRef | Callable[..., Any]],
        *,
        instructions: str | None = None,
        version: str = "",
        max_concurrency: int = 32,
        max_waiting: int = 256,
        max_message_bytes: int = 4 * 2**20,
    ) -> None:
        if max_concurrency < 1 or max_waiting < 0 or max_message_bytes < 1:
            raise ConfigurationError(
                "need max_concurrency >= 1, max_waiting >= 0 and max_message_bytes >= 1,"
                f" got {max_concurrency!r}, {max_waiting!r} and {max_message_bytes!r}"
            )
        self.name = name
        self.instructions = instructions
        self.version = version
        self.max_concurrency = max_concurrency
        self.max_waiting = max_waiting
        self.max_message_bytes = max_message_bytes
        entries = [
            tool for entry in tools for tool in (entry.tools.values() if isinstance(entry, Toolkit) else [entry])
        ]
        self.tools = Toolkit([expose(entry) for entry in entries]).tools

    async def serve_stdio(self, system: ActorSystem) -> None:
        """Serve the client at this process's standard input and output, until it closes the input.

        Meanwhile `print` and whatever else writes to the standard output goes to the standard error.

        Raises:
            MissingDependency: the SDK is not installed.
        """
        answering = await load("answering")
        await answering.serve_stdio(self, system)

    def http_app(
        self,
        system: ActorSystem,
        *,
        path: str = "/mcp",
        token: str | None = None,
        hosts: Sequence[str] = ("localhost",),
    ) -> AsgiApp:
        """Return an ASGI application that serves clients over streamable HTTP.

        It has a lifespan, which the server that runs it, or the application that it is mounted in, must run. Calls
        run in `system`, which must be open for as long.

        Args:
            system: where the calls run.
            path: where in the application.
            token: what clients must send as `Authorization: Bearer …`; None for no such check.
            hosts: names, without ports, that clients may know this server by; a request to any other is refused, so
                that no web page can reach a service of its reader's machine. `localhost` stands for its addresses too.

        Raises:
            MissingDependency: the SDK is not installed.
        """
        return load_here("answering").http_app(self, system, path=path, token=token, hosts=hosts)

    def bound_of(self, tool: Tool[..., Any]) -> float | None:
        """Return after how many seconds a call of that tool is given up, whatever it does; None for never."""
        return None if tool.timeout is None else math.ceil((tool.timeout + 2.0) * (tool.retries + 1))

    def __repr__(self) -> str:
        return f"McpService({self.name!r}, {', '.join(self.tools) or 'no tools'})"
