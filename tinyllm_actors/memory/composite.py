"""Several memories in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import FunctionRef, unwrap
from tinyllm_actors.function.language.groups import groups, newest_groups, one
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.memory.buffer import at_least
from tinyllm_actors.memory.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["CompositeMemory"]

_encode = msgspec.json.Encoder(enc_hook=repr).encode


class CompositeMemory(Memory):
    """Shows what several memories hold, one after the other.

    Each is told everything. They are shown in the order in which they are given, so the newest messages belong last;
    what two of them hold is shown by the later one. A budget bounds what one shows: of more than that, the newest
    groups. One that fails is left out, unless it is the last: without the newest messages there is nothing to answer.

    ```python
    >>> from tinyllm_actors import BufferMemory, run
    >>> from tinyllm_actors.llm import UserMessage
    >>> from tinyllm_actors.memory import CompositeMemory, SemanticMemory
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> facts = SemanticMemory.spec(HashEmbeddings(), facts=["Ada likes green tea."], buffer_size=1)
    >>> memory = CompositeMemory.spec({"facts": facts, "newest": BufferMemory.spec(buffer_size=10)})
    >>> question = UserMessage("Which tea does Ada like?")
    >>> [message.content[:20] for message in run(memory, messages=[question])["output"]["memories"]]
    ['What may be of use, ', 'Which tea does Ada l']

    ```

    Args:
        parts: specs of memories, or references to some, by name.
        budgets: how much each may show, by its name, in messages or what `measure` counts.
        measure: the size of a message; left out, each counts as 1.
        **options: of `Function`.

    Raises:
        ConfigurationError: there are no parts, or a budget has no part, or no meaning.
    """

    def __init__(
        self,
        parts: Mapping[str, ChildSpec | FunctionRef],
        *,
        budgets: Mapping[str, int] | None = None,
        measure: Callable[[Any], int] = one,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not parts:
            raise ConfigurationError("a CompositeMemory needs at least one part; give {'newest': BufferMemory.spec()}")
        self._sources = dict(parts)
        self._budgets = dict(budgets or {})
        for name in self._budgets:
            if name not in parts:
                raise ConfigurationError(f"budgets names {name!r}, and the parts are {', '.join(map(repr, parts))}")
        at_least(1, **{f"budgets[{name!r}]": budget for name, budget in self._budgets.items()})
        self._count = measure
        self._parts: dict[str, FunctionRef] = {}

    async def started(self) -> None:
        """Start the parts that are given as specs."""
        for name, source in self._sources.items():
            if isinstance(source, ChildSpec):
                self._parts[name] = cast("FunctionRef", await self.context.spawn(source, name=name))
            else:
                self._parts[name] = source
        await super().started()

    async def run(self, messages: Sequence[Any] = (), clear: bool = False) -> dict[str, list[Any]]:
        """Tell all parts, and return what they show."""
        shown: list[list[Any]] = []
        last = next(reversed(self._parts))
        for name, part in self._parts.items():
            result = await part(messages=messages, clear=clear)
            if result["status"] == "error" and name != last:
                continue
            memories: list[Any] = unwrap(result)["memories"]
            if name in self._budgets:
                memories = newest_groups(memories, self._budgets[name], self._count)
            shown.append(memories)
        return {"memories": without_repetition(shown)}


def without_repetition(shown: Sequence[Sequence[Any]]) -> list[Any]:
    """Return what several memories show, where the later one shows what two of them have. Pure.

    What one of them has twice was said twice.
    """
    kept: list[list[Any]] = []
    later: set[bytes] = set()
    for messages in reversed(shown):
        of_this: set[bytes] = set()
        left: list[Any] = []
        for group in groups(messages):
            key = _encode(group)
            of_this.add(key)
            if key not in later:
                left += group
        later |= of_this
        kept.append(left)
    return [message for messages in reversed(kept) for message in messages]
