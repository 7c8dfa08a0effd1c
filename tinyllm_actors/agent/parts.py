"""What an agent is made of, as a run sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import Completion, ToolSchema
from tinyllm_actors.tool import ListTools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tinyllm_actors.agent.desk import Control
    from tinyllm_actors.agent.handoff import Handoff
    from tinyllm_actors.agent.prompting import Prompting
    from tinyllm_actors.agent.settings import RunSettings
    from tinyllm_actors.agent.states import AgentStep
    from tinyllm_actors.conversation import RunJournal
    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.kernel import ActorContext
    from tinyllm_actors.llm import AssistantMessage, Message, StructuredOutput
    from tinyllm_actors.tool import Tool, Toolkit

__all__ = ["Parts"]


class Parts:
    """The parts of one incarnation of an agent.

    Attributes:
        context: of the agent.
        settings: what bounds its runs.
        control: how others reach the run in progress.
        head: what stands before every history, without `prompting`.
        prompting: puts together what the model is shown; None if the head and what was said are all.
        output: the type of the answer; None for text.
        llm: the model's Function.
        memory: the memory's Function.
        toolkit: the tools, as they were given.
        toolkit_ref: the Function that runs them; None if there are none.
        handoffs: who may go on, by the name of the call.
        journal: what records its runs; None outside of a conversation.
        move: moves the agent's state machine.
    """

    __slots__ = (
        "_schemas",
        "context",
        "control",
        "handoffs",
        "head",
        "journal",
        "llm",
        "memory",
        "move",
        "output",
        "prompting",
        "settings",
        "toolkit",
        "toolkit_ref",
    )

    def __init__(
        self,
        *,
        context: ActorContext,
        settings: RunSettings,
        control: Control,
        head: Sequence[Message],
        prompting: Prompting | None,
        output: StructuredOutput[Any] | None,
        llm: FunctionRef,
        memory: FunctionRef,
        toolkit: Toolkit,
        toolkit_ref: FunctionRef | None,
        handoffs: Mapping[str, Handoff],
        journal: RunJournal | None,
        move: Callable[[AgentStep], None],
    ) -> None:
        self.context = context
        self.settings = settings
        self.control = control
        self.head = head
        self.prompting = prompting
        self.output = output
        self.llm = llm
        self.memory = memory
        self.toolkit = toolkit
        self.toolkit_ref = toolkit_ref
        self.handoffs = handoffs
        self.journal = journal
        self.move = move
        self._schemas = self._describe(toolkit.tools.values())

    async def remember(self, messages: Sequence[Message]) -> list[Any]:
        """Add messages to the memory and return what it shows: messages, and what it says itself."""
        return unwrap(await self.memory(messages=messages))["memories"]

    async def schemas(self) -> list[ToolSchema]:
        """Return what the model is told of the tools there are now, and of who may go on."""
        await self.refresh()
        return self._schemas

    async def refresh(self) -> None:
        """Learn which tools there are now, where they may change."""
        if self.toolkit_ref is not None and self.toolkit.sources:
            tools: list[Tool[..., Any]] = await self.toolkit_ref.ask(ListTools())
            self.toolkit = self.toolkit.with_tools(tools)
            self._schemas = self._describe(tools)

    def _describe(self, tools: Iterable[Tool[..., Any]]) -> list[ToolSchema]:
        described = [ToolSchema(tool.name, tool.description, tool.parameters, tool.strict) for tool in tools]
        return described + [handoff.schema() for handoff in self.handoffs.values()]

    def completion_of(self, message: AssistantMessage) -> Completion:
        """Return a completion around a message that no model call of this run brought."""
        return Completion(message, created=int(time.time()))
