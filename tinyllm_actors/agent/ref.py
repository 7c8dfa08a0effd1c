"""A reference to an agent: call it, stream it, and reach the run in progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from tinyllm_actors.agent.desk import PENDING, Cancel, Decide, Finish, Inject
from tinyllm_actors.errors import ActorStopped, UnknownApproval
from tinyllm_actors.function import Call, FunctionRef
from tinyllm_actors.tool import Decision

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.tool import ApprovalRequest

__all__ = ["DESK", "AgentRef"]

DESK = "desk"


class AgentRef(FunctionRef):
    """The way to an agent: `await agent(content="…")`, `agent.stream(content="…")`, and what follows.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Agent
    >>> from tinyllm_actors.agent import ToolStarted
    >>> from tinyllm_actors.testing import ScriptedModel, tool_call
    >>> async def think() -> None:
    ...     await anyio.sleep_forever()
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         agent = await system.spawn(Agent.spec(model=ScriptedModel([tool_call("think")]), tools=[think]))
    ...         async with agent.stream(content="Hello?") as events:
    ...             async for event in events:
    ...                 if isinstance(event, ToolStarted):
    ...                     await agent.cancel("the user went to bed")
    ...         print(event.result["error"]["type"], event.result["message"])
    >>> anyio.run(main)
    RunCancelled the user went to bed

    ```
    """

    __slots__ = ()

    async def cancel(self, reason: str = "the run was cancelled", *, after_step: bool = False) -> bool:
        """End the run in progress, whoever asked for it; its caller gets an error of type `RunCancelled`.

        What was completed is kept, calls in progress are closed as interrupted, and the next message is answered.

        Args:
            reason: what the caller reads.
            after_step: let the model call or the tool calls in progress end first.

        Returns:
            Whether there was a run.
        """
        return await self._desk().ask(Cancel(reason, after_step))

    async def finish(self) -> bool:
        """Let the run in progress come to an answer, without more tools. Returns whether there is one."""
        return await self._desk().ask(Finish())

    async def inject(self, content: str | list[ContentPart], *, when: Literal["asap", "when_idle"] = "asap") -> bool:
        """Say something while a run is going on.

        Args:
            content: what the user says.
            when: `"asap"`: before the next model call, the answer that was about to end the run included;
                `"when_idle"`: as a question of its own after the runs that wait.

        Returns:
            Whether a run in progress hears it; otherwise it becomes a question of its own, whose answer nobody waits
            for.
        """
        if when == "asap" and await self.interject(content):
            return True
        await self.tell(Call({"content": content}))
        return False

    async def interject(self, content: str | list[ContentPart]) -> bool:
        """Say something to the run in progress and to no other. Returns whether there is one that hears it."""
        return await self._desk().ask(Inject(content))

    async def pending_approvals(self) -> list[ApprovalRequest]:
        """Return the calls that wait for a person."""
        return await self._desk().ask(PENDING)

    async def approve(self, call_id: str, *, arguments: str | None = None) -> None:
        """Let a call that waits be made, with other arguments (JSON text) if given.

        Raises:
            UnknownApproval: no such call waits (any more).
        """
        await self.decide(call_id, Decision.approve() if arguments is None else Decision.edit(arguments))

    async def deny(self, call_id: str, reason: str = "a person denied it") -> None:
        """Refuse a call that waits; the model is told why.

        Raises:
            UnknownApproval: no such call waits (any more).
        """
        await self.decide(call_id, Decision.deny(reason))

    async def decide(self, call_id: str, decision: Decision) -> None:
        """Approve, edit or deny a call that waits.

        Raises:
            UnknownApproval: no such call waits (any more).
        """
        if not await self._desk().ask(Decide(call_id, decision)):
            waiting = [request.call_id for request in await self.pending_approvals()]
            raise UnknownApproval(call_id, waiting)

    def _desk(self) -> ActorRef:
        family = self.cell.family
        desk = None if family is None else family.children.get(DESK)
        if desk is None:
            raise ActorStopped(self.path, "it is not running now")
        return cast("ActorRef", self.cell.system.ref_to(desk))
