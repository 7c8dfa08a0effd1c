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

**Texts.** `Template` has places for values and nothing else. `extract_blocks`, `extract_code` and `without_numbers`
read what a model wrote, `closest_matches` finds what it meant; `as_block`, `number_lines`, `unique_lines`,
`model_to_text` and `describe_model` write what it reads. They are pure, and take time in proportion to the text.
`FilePrompts` and `RemotePrompts` have versions of prompts.
"""

from tinyllm_actors.prompting.blocks import Block, as_block, extract_block, extract_blocks, without_blocks
from tinyllm_actors.prompting.closest import Match, closest_matches
from tinyllm_actors.prompting.code_blocks import CodeBlock, extract_code
from tinyllm_actors.prompting.example import Example, ExampleManager
from tinyllm_actors.prompting.example_selector import ExampleSelector
from tinyllm_actors.prompting.fitting import prompt_limit
from tinyllm_actors.prompting.lines import number_lines, unique_lines, without_numbers
from tinyllm_actors.prompting.model_text import describe_model, model_to_text
from tinyllm_actors.prompting.prompt import Prompt, PromptPart
from tinyllm_actors.prompting.prompt_manager import PromptManager
from tinyllm_actors.prompting.prompt_source import FilePrompts, PromptSource, PromptVersion, RemotePrompts
from tinyllm_actors.prompting.template import Template

__all__ = [
    "Block",
    "CodeBlock",
    "Example",
    "ExampleManager",
    "ExampleSelector",
    "FilePrompts",
    "Match",
    "Prompt",
    "PromptManager",
    "PromptPart",
    "PromptSource",
    "PromptVersion",
    "RemotePrompts",
    "Template",
    "as_block",
    "closest_matches",
    "describe_model",
    "extract_block",
    "extract_blocks",
    "extract_code",
    "model_to_text",
    "number_lines",
    "prompt_limit",
    "unique_lines",
    "without_blocks",
    "without_numbers",
]
