"""Memory: actors that hold what was said, and show an agent as much of it as it shall see.

| memory | keeps | asks a model |
|---|---|---|
| `BufferMemory` | the newest messages, by their number | no |
| `CharacterBufferMemory` | those, by their characters | no |
| `TokenBufferMemory` | those, by their tokens | no |
| `SummaryMemory` | the newest, and a summary of the rest | for each summary |
| `SemanticMemory` | the newest, and finds facts and past turns | for vectors |
| `CompositeMemory` | what several memories show, each within its budget | no |

If in doubt, use `BufferMemory`, or none: that is what an agent has. Where messages differ much in length, count tokens.

**Whole groups.** A message with tool calls and its results stay together. With `buffer_size=5`, let there be a
question, a message with two calls, its two results, and an answer: 1 + 3 + 1 = 5 messages, which fit. The next question
makes 6, and the first one goes: 5. The answer to it makes 6 again, and the whole group of 3 goes: 3 are left. A result
whose call is not there is never shown, and the newest group always is, even if it alone is larger.

**One port.** A memory is called with `messages=[…]` and `clear=True`, and answers with
`{"memories": [message, …]}`, oldest first. What a memory adds of its own is `Said`, with the role of a user;
`llm.as_messages` makes a model's messages of it. A conversation that wakes up fills its memory with one call.
"""

from tinyllm_actors.function.language.groups import Groups, groups, newest_groups
from tinyllm_actors.memory.buffer import BufferMemory, CharacterBufferMemory, TokenBufferMemory
from tinyllm_actors.memory.composite import CompositeMemory
from tinyllm_actors.memory.memory import Memory
from tinyllm_actors.memory.semantic import SemanticMemory
from tinyllm_actors.memory.summary import SummaryMemory

__all__ = [
    "BufferMemory",
    "CharacterBufferMemory",
    "CompositeMemory",
    "Groups",
    "Memory",
    "SemanticMemory",
    "SummaryMemory",
    "TokenBufferMemory",
    "groups",
    "newest_groups",
]
