"""Prompting: what a model is shown, and tools for texts that models read and write.

**A prompt** is a pure function of what it is made from. `PromptManager` puts the parts in order and fits them into the
context; `manager.preview("…")` shows the result with the tokens of each part. An agent asks its manager before each
model call.

Worked numbers: a context of 4,096 tokens and `max_tokens="max"` leave 1,024 for the answer, so a prompt may have 3,072.
Let the system's text have 200, two selected examples 300 and 250, ten memories 300 each, and the question 50:
200 + 550 + 3,000 + 50 = 3,800, which is 728 too many. The second example goes (250, 478 left), the first one
(300, 178 left), then the oldest memory (300). What is left has 2,950 tokens, and the answer may have 1,146.

**Examples** are shown as a conversation. `ExampleManager` has those that are always shown, and asks an
`ExampleSelector` for those that are like the question.
"""

from tinyllm_actors.prompting.example import Example, ExampleManager
from tinyllm_actors.prompting.example_selector import ExampleSelector
from tinyllm_actors.prompting.fitting import prompt_limit
from tinyllm_actors.prompting.prompt import Prompt, PromptPart
from tinyllm_actors.prompting.prompt_manager import PromptManager

__all__ = [
    "Example",
    "ExampleManager",
    "ExampleSelector",
    "Prompt",
    "PromptManager",
    "PromptPart",
    "prompt_limit",
]
