"""Tools that are known only at run time, and may change: those of a server, a session, a folder of plugins."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinyllm_actors.kernel import ActorRef, ActorSystem
    from tinyllm_actors.tool.definition import Tool

__all__ = ["ListTools", "ToolSource", "ToolsChanged", "merge_tools", "topic"]


@dataclass(frozen=True, slots=True)
class ListTools:
    """Ask for the tools there are now: a source's actor or a toolkit answers with a list of `Tool`."""


@dataclass(frozen=True, slots=True)
class ToolsChanged:
    """The tools of a source are others now; published to the group `topic(path)`.

    Attributes:
        source: the path of the source's actor.
        tools: all its tools, as they are now.
    """

    source: str
    tools: tuple[Tool[..., Any], ...]


class ToolSource(abc.ABC):
    """Where a toolkit gets tools from when it starts; an agent takes one among its `tools`.

    The tools belong to an actor, which may serve many toolkits. It answers `ListTools`; when its list changes it
    publishes `ToolsChanged` to the group `topic(its path)`, which each toolkit has joined.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem, Tool, Toolkit
    >>> from tinyllm_actors.tool import ListTools, ToolSource
    >>> def greet(name: str) -> str:
    ...     '''Greet somebody.'''
    ...     return f"Hello {name}"
    >>> class Plugins(Actor):
    ...     async def receive(self, message: ListTools) -> list[Tool]:
    ...         return [Tool.of(greet)]
    >>> class PluginSource(ToolSource):
    ...     async def open(self, system):
    ...         return await system.service("plugins", Plugins.spec())
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("service") as system:
    ...         toolkit = await system.spawn(Toolkit([PluginSource()]))
    ...         return [tool.name for tool in await toolkit.ask(ListTools())]
    >>> anyio.run(main)
    ['greet']

    ```
    """

    answer_timeout: ClassVar[float] = 60.0
    """Seconds that its actor may take to say which tools there are; a toolkit that is not told does not start."""

    @abc.abstractmethod
    async def open(self, system: ActorSystem) -> ActorRef:
        """Return the actor that has the tools, started if need be; it outlives the toolkit that asks.

        Raises:
            StartFailed: it did not start.
        """


def topic(path: str) -> str:
    """Return the name of the group in which the source at `path` publishes `ToolsChanged`."""
    return f"tools of {path}"


def merge_tools(
    own: Mapping[str, Tool[..., Any]], sourced: Iterable[Iterable[Tool[..., Any]]]
) -> tuple[dict[str, Tool[..., Any]], list[str]]:
    """Return the tools by name, and the names that came twice: the first keeps the name, a toolkit's own before all."""
    tools, clashes = dict(own), list[str]()
    for tool in (tool for group in sourced for tool in group):
        if tools.setdefault(tool.name, tool) is not tool:
            clashes.append(tool.name)
    return tools, clashes
