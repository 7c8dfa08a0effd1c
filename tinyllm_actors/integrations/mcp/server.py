"""Which MCP server, and how its tools are used: data that an agent takes among its tools."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.kernel.scrubber import Scrubber
from tinyllm_actors.tool import ToolOptions, ToolSource
from tinyllm_actors.tool.options import check_options

if TYPE_CHECKING:
    from typing import Unpack

    from tinyllm_actors.integrations.mcp.session import McpSessionRef
    from tinyllm_actors.kernel import ActorSystem, ChildSpec

__all__ = ["DEFAULT_MAX_MESSAGE_BYTES", "DEFAULT_TIMEOUT", "McpOptions", "McpServer"]

DEFAULT_TIMEOUT = 30.0
"""Seconds for a request other than a tool call, and to connect."""

DEFAULT_MAX_MESSAGE_BYTES = 8 * 2**20
"""Bytes that one message of a server may have."""


class McpOptions(ToolOptions, total=False):
    """The options of a server, and those of its tools; the attributes of `McpServer` and `ToolOptions` explain them."""

    prefix: str
    only: Iterable[str] | None
    request_timeout: float
    max_message_bytes: int
    protocol: str


@dataclass(frozen=True, repr=False, kw_only=True)
class McpServer(ToolSource):
    """An MCP server: a program of this machine, or a web address. Make one with `stdio` or `http`.

    It is data, and starts nothing. Given to an agent or a toolkit among the tools, it is a shared service of the
    system: the first that needs it opens the session, and all that have an equal `McpServer` use the same one until
    the system ends. For a session of your own, spawn it: `session = await system.spawn(server)`.

    ```python
    >>> from tinyllm_actors import Agent
    >>> from tinyllm_actors.integrations.mcp import McpServer
    >>> files = McpServer.stdio("npx", ["-y", "@modelcontextprotocol/server-filesystem", "/srv/data"], name="files")
    >>> search = McpServer.http("https://search.example/mcp", token="s3cret-token", prefix="search_")
    >>> search
    McpServer('search.example', https://search.example/mcp)
    >>> spec = Agent.spec(model="openai/gpt-4o-mini", tools=[files, search])

    ```

    Attributes:
        name: what it is called in errors, logs and the tree.
        command: the program, for stdio.
        args: its arguments.
        env: variables that it gets besides `PATH`, `HOME` and the like, as pairs.
        cwd: the directory it works in; None for this process's.
        url: the address, for HTTP.
        headers: what each request carries, as pairs.
        prefix: put before the names of its tools, so that two servers may have a tool of the same name.
        only: names of the tools to use, as the server calls them; None for all.
        request_timeout: seconds to connect, and for each request other than a tool call, whose bound is the tool's.
        max_message_bytes: bytes that one message of the server may have.
        protocol: `"auto"`, which asks the server what it speaks; `"legacy"` for the handshake of protocol versions up
            to 2025-11-25, where a server does not bear the question; or a later version.
        options: options of its tools, as pairs; see `ToolOptions`.

    Raises:
        ConfigurationError: an attribute has no meaning.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cwd: str | None = None
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    only: frozenset[str] | None = None
    request_timeout: float = DEFAULT_TIMEOUT
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    protocol: str = "auto"
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ConfigurationError(f"an MCP server's name must be non-empty and without '/', got {self.name!r}")
        if not 0 < self.request_timeout < math.inf or self.max_message_bytes < 1:
            raise ConfigurationError(
                "need a request_timeout above 0 s and max_message_bytes of at least 1,"
                f" got {self.request_timeout!r} and {self.max_message_bytes!r}"
            )
        if not re.fullmatch(r"[A-Za-z0-9_-]*", self.prefix):
            raise ConfigurationError(f"prefix={self.prefix!r} may hold letters (a-z), digits, _ and -")
        check_options(self.name, {key: value for key, value in self.options if key in ToolOptions.__annotations__})

    @classmethod
    def stdio(
        cls,
        command: str,
        args: Iterable[str] = (),
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        **options: Unpack[McpOptions],
    ) -> McpServer:
        """Return the server that is a program, spoken to through its pipes.

        Args:
            command: the program.
            args: its arguments.
            name: left out, that of the program.
            env: variables that it gets besides `PATH`, `HOME` and the like.
            cwd: the directory it works in; None for this process's.
            options: see `McpOptions`.

        Raises:
            ConfigurationError: an argument has no meaning.
        """
        if not command:
            raise ConfigurationError(f"command={command!r} is no program")
        name = name or command.rstrip("/").rpartition("/")[2]
        return cls(name=name, command=command, args=tuple(args), env=_pairs(env), cwd=cwd, **_sorted_out(options))

    @classmethod
    def http(
        cls,
        url: str,
        *,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        **options: Unpack[McpOptions],
    ) -> McpServer:
        """Return the server at a web address, which speaks streamable HTTP.

        Args:
            url: where it is.
            name: left out, the host.
            headers: what each request carries.
            token: sent as `Authorization: Bearer …`.
            options: see `McpOptions`.

        Raises:
            ConfigurationError: an argument has no meaning.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"url={_shown(url)!r} must be an address such as 'https://host/mcp'")
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return cls(name=name or parts.hostname, url=url, headers=_pairs(sent), **_sorted_out(options))

    def spec(self) -> ChildSpec:
        """Return how to make the actor that holds a session with it open."""
        from tinyllm_actors.integrations.mcp.session import McpSession  # which is made of what is defined here

        return McpSession.spec(self)

    async def open(self, system: ActorSystem) -> McpSessionRef:
        """Return the system's shared session, opened if there is none."""
        # Equal servers have equal hashes; the salt of this process keeps secrets out of the name.
        label = f"mcp {self.name} {hash(self) & 0xFFFFFFFF:08x}"
        return cast("McpSessionRef", await system.service(label, self.spec()))

    @functools.cached_property
    def scrub(self) -> Scrubber:
        """Take this server's secrets out of a text."""
        parts = urlsplit(self.url)
        return Scrubber([*dict(self.headers).values(), *dict(self.env).values(), parts.query, parts.password or ""])

    def __repr__(self) -> str:
        """Show where it is, and neither arguments nor headers, which may hold secrets."""
        return f"McpServer({self.name!r}, {_shown(self.url) if self.url else self.command})"


def _pairs(values: Mapping[str, Any] | None) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((values or {}).items()))


def _sorted_out(options: McpOptions) -> dict[str, Any]:
    """Return the options as fields, those of the tools in one."""
    own: dict[str, Any] = {**options}
    tools = {key: own.pop(key) for key in ToolOptions.__annotations__ if key in own}
    if own.get("only") is not None:
        own["only"] = frozenset(own["only"])
    return {**own, "options": _pairs(tools)}


def _shown(url: str) -> str:
    """Return an address without a user, a password and a query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
