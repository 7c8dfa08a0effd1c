"""The Model Context Protocol, both ways: tools of MCP servers for agents, and tools of an actor system for MCP clients.

Through the official SDK, on asyncio, uvloop and trio alike, for the protocol's versions from 2024-11-05 to
2026-07-28. The SDK takes a second to import, and is imported with the first session, in a worker thread.

# A server's tools

`McpServer.stdio(…)` or `McpServer.http(…)` among the tools of an agent or a toolkit is all it takes.

1. A session is an actor. Equal `McpServer`s share one in a system, as a service of it: one process, or one session,
   for any number of agents; it lives as long as the system. Spawn an `McpServer` to have a session of your own, with
   resources and prompts too: see `McpSessionRef`.
2. The agent starts when the session is open and its tools are known. A server that cannot be started or reached, that
   says what is no MCP, or does not answer within `request_timeout` (30 s) is a failed start; the cause is typed.
3. When the connection breaks, calls in flight fail with `McpUnavailable`, which is retryable, and the model is told;
   whether the server has done the work is not known, so nothing is sent again. The session fails, its supervisor starts
   it again after a back-off (0.5 s, doubling, up to 30 s), and calls meanwhile wait for it, at most `request_timeout`.
   After three requests in a row without an answer the server has to list its tools; if it does not, it counts as gone.
4. After `tools/list_changed`, and after a new start, the tools are listed again and toolkits change theirs; a model
   sees the new list with its next request. A tool that cannot be used is left out and logged, never guessed at.
5. A call is bounded by its tool's time-out (30 s). One that is given up or cancelled is cancelled at the server.
   Progress is the tool's progress. `isError` is a failed outcome. Images and binary data are named, not shown.
6. Everything a server sends is bounded: a message (8 MiB), tools (1,000 on 100 pages), a schema, a description, what
   the model sees of a result, lines on its output that are no messages (99 in a row), what is kept of its standard
   error (2,000 bytes; the last line is in the error that says how it ended).
7. A program runs in a process group of its own, with the variables that the SDK thinks safe and those of `env`. It is
   asked to end by closing its input, after 1 s by SIGTERM, after 1 s more killed, with all that it started.
8. Headers, tokens, the values of `env` and the query of an address are shown nowhere. Arguments of a program are seen
   by whoever lists processes: secrets belong into `env`.

Not offered to servers: sampling, elicitation and roots; a server that asks is refused. With versions before
2026-07-28, a stream of notifications over HTTP that fails twice in a row is not asked for again, so that changes show
after the next reconnection only. On trio the SDK's HTTP client leaves iterators of answers to the garbage
collector, which Python reports as `ResourceWarning`s where those are shown.

# An actor system's tools

`McpService` offers functions, tools, toolkits, Functions and agents over standard input and output, or as an ASGI
application for streamable HTTP. Each call is an actor of its own; see there.
"""

from __future__ import annotations

from tinyllm_actors.integrations.mcp.exposing import expose
from tinyllm_actors.integrations.mcp.progress import McpProgress
from tinyllm_actors.integrations.mcp.server import McpOptions, McpServer
from tinyllm_actors.integrations.mcp.service import McpService
from tinyllm_actors.integrations.mcp.session import McpSession, McpSessionRef

__all__ = ["McpOptions", "McpProgress", "McpServer", "McpService", "McpSession", "McpSessionRef", "expose"]
