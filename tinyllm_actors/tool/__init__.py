"""Tools: functions that a model may ask for.

A tool is a function with a name, a description and a JSON schema, all read from its signature and docstring. What the
model writes is validated before the function sees it; what does not fit goes back as a message that the model can
act on. Every run has a deadline, and every result a limit.

If a function is only called by your own code, it needs no tool.

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
