"""An agent as a tool of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tinyllm_actors.agent.handoff import name_of, tool_name
from tinyllm_actors.agent.member import ask_member, open_member
from tinyllm_actors.errors import ConfigurationError, ToolError
from tinyllm_actors.function.answer import text_of_output
from tinyllm_actors.tool import Tool, ToolContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Unpack

    from tinyllm_actors.kernel import ActorRef, ChildSpec
    from tinyllm_actors.tool import ToolOptions

__all__ = ["as_tool"]


def as_tool(
    target: ActorRef | ChildSpec,
    *,
    description: str,
    name: str | None = None,
    **options: Unpack[ToolOptions],
) -> Tool[..., Any]:
    """Return a tool that asks another agent and gives its answer back.

    Whatever bounds the run that uses it (deadline, budget, steps, tool calls, depth) bounds the other agent too, which
    counts on both. Its events are the tool's progress. An answer that is an error is a failed call, of which the
    model is told.

    ```python
    >>> from tinyllm_actors import Agent, answer_text, run
    >>> from tinyllm_actors.agent import as_tool
    >>> from tinyllm_actors.testing import ScriptedModel, text, tool_call
    >>> expert = Agent.spec(model=ScriptedModel([text("42")])).named("expert")
    >>> boss = Agent.spec(
    ...     model=ScriptedModel([tool_call("ask_expert", content="What is the answer?"), text("It is 42.")]),
    ...     tools=[as_tool(expert, description="Ask somebody who knows.")],
    ... )
    >>> result = run(boss, content="Find out the answer.")
    >>> answer_text(result)
    'It is 42.'

    ```

    Args:
        target: the agent. Of a spec, a new one is made for each call: it remembers nothing, and calls run side by
            side. A reference leads to one that remembers, and answers one call after another.
        description: what it is for, for the model to read.
        name: of the tool; left out, `ask_` and the target's name, in the tree or else in the log.
        **options: of tools. There is no time-out unless you give one: what bounds the run bounds the call.

    Raises:
        ConfigurationError: the target has no name, and none was given.
    """
    if name is None:
        label = name_of(target)
        if label is None:
            raise ConfigurationError("an agent as a tool needs a name: give it one with name=…, or pass name=… here")
        name = tool_name("ask_", label)
    label = name

    async def ask(content: str, context: ToolContext) -> str:
        """Ask.

        Args:
            content: What to tell it: it knows nothing but this.
            context: of the call.
        """
        report = context.report if context.heard else None
        async with open_member(target) as ref:
            result = await ask_member(ref, {"content": content}, None if report is None else _reporting(report))
        if result["status"] == "error":
            raise ToolError(label, result["message"])
        output: dict[str, Any] = result["output"]
        if "value" in output:
            return msgspec.json.encode(output["value"], enc_hook=_plain).decode()
        return text_of_output(output)

    options.setdefault("timeout", None)
    return Tool.from_function(ask, name=name, description=description, **options)


def _reporting(report: Callable[[object], None]) -> Callable[[Any], Awaitable[None]]:
    async def tell(event: object) -> None:
        report(event)

    return tell


def _plain(value: Any) -> Any:
    """Encode what msgspec does not know: pydantic models."""
    dump = getattr(value, "model_dump", None)
    return str(value) if dump is None else dump(mode="json")
