"""Tools that come with the library: `tinyllm_toolkit()` has them all.

```python
>>> from tinyllm_actors.tool.builtin import tinyllm_toolkit
>>> sorted(tinyllm_toolkit().tools)
['code_interpreter', 'think_and_plan', 'wikipedia_summary']

```

`make_retrieve(retriever)` makes one more, which looks things up in documents that were indexed.

Give an agent only what its task needs: `code_interpreter` runs code that the model wrote, and its module says what
that is safe from, and what not.
"""

from tinyllm_actors.tool.builtin.code_interpreter import (
    CodeLimits,
    code_interpreter,
    make_code_interpreter,
    sandbox_status,
)
from tinyllm_actors.tool.builtin.retrieve import make_retrieve
from tinyllm_actors.tool.builtin.think_and_plan import think_and_plan
from tinyllm_actors.tool.builtin.toolkit import tinyllm_toolkit
from tinyllm_actors.tool.builtin.wikipedia_summary import make_wikipedia_summary, wikipedia_summary

__all__ = [
    "CodeLimits",
    "code_interpreter",
    "make_code_interpreter",
    "make_retrieve",
    "make_wikipedia_summary",
    "sandbox_status",
    "think_and_plan",
    "tinyllm_toolkit",
    "wikipedia_summary",
]
