"""Tools: functions that a model may ask for.

A tool is a function with a name, a description and a JSON schema, all read from its signature and docstring. What the
model writes is validated before the function sees it; what does not fit goes back as a message that the model can
act on. Every run has a deadline, and every result a limit.

If a function is only called by your own code, it needs no tool.

The rules:

1. Each call has exactly one outcome, in the order of the calls, whatever its tool does: success, or an error whose
   text tells the model what to do. Nothing that a tool does ends the turn, or another call.
2. Arguments are validated before the function sees them, and converted to its types; what does not fit goes back with
   the place and the reason. What a person edited is validated as the model's would be.
3. A call that needs approval runs only with a decision that gives it. The tool's own actor checks that, after the
   arguments, so there is no way around it; `Toolkit.approvals` asks the question before anything runs.
4. Every run has a deadline. An async function is cancelled; a thread is left behind; a process is killed, with its
   group. A function that swallows its cancellation is abandoned, and its actor replaced.
5. A run that raised is repeated only as often as `retries` says, and after a restart of the service only if the tool is
   `idempotent`. `ToolContext.idempotency_key` is the same for all attempts at a call.
6. Calls of a turn run side by side under `max_concurrency`, except a `sequential` tool, which runs alone. `concurrency`
   and `rate_limit` hold across all agents of an event loop; waiting for them counts for the time-out.
7. Results become text: what JSON can say as JSON, anything else as its `str()`. Text beyond `max_result_chars` is cut
   with a note, and kept whole in `ToolOutcome.full`.
8. Where a tool's code runs is its choice: on the loop (async), in a worker thread (plain `def`), or in a process of its
   own (`isolate="process"`, see `tinyllm_actors.tool.isolation`), the only one that survives a crash or stops anything.

```python
>>> from tinyllm_actors import tool
>>> @tool
... def get_user_property(name: str) -> str:
...     '''Look up a property of the current user.'''
...     return {"birthday": "January 1st"}[name]
>>> get_user_property.parameters["required"]
['name']

```
"""

from tinyllm_actors.tool.approval import ApprovalRequest, Decision
from tinyllm_actors.tool.context import ToolContext
from tinyllm_actors.tool.decorator import tool
from tinyllm_actors.tool.definition import Tool
from tinyllm_actors.tool.isolation import ProcessLimits
from tinyllm_actors.tool.limits import RateLimit
from tinyllm_actors.tool.options import ToolOptions
from tinyllm_actors.tool.outcome import ToolFinished, ToolOutcome, ToolProgress, ToolRequest, ToolStarted
from tinyllm_actors.tool.source import ListTools, ToolsChanged, ToolSource, topic
from tinyllm_actors.tool.toolkit import Toolkit, ToolkitFunction

__all__ = [
    "ApprovalRequest",
    "Decision",
    "ListTools",
    "ProcessLimits",
    "RateLimit",
    "Tool",
    "ToolContext",
    "ToolFinished",
    "ToolOptions",
    "ToolOutcome",
    "ToolProgress",
    "ToolRequest",
    "ToolSource",
    "ToolStarted",
    "Toolkit",
    "ToolkitFunction",
    "ToolsChanged",
    "tool",
    "topic",
]
