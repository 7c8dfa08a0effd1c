"""Memory: an actor that holds what was said."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tinyllm_actors.function import Call, Function
from tinyllm_actors.function.language.groups import Groups

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Memory"]


class Memory(Function):
    """Holds messages in order and gives back those that an agent shall see.

    Called with `messages=[…]` it takes them in; called with nothing, it only answers. Either way its output is
    `{"memories": [message, …]}`, oldest first, in whole tool-call groups, and never a result without its call. Several
    agents may share one memory; each sees what all of them said.

    It takes any kind of message: `tool_calls`, `tool_call_id` and `content` are all that it looks at.

    Override `remember`, `recall` and `forget` for another policy, and `size_of` for another measure; where that has to
    wait for something, override `run`.

    One that waits for nothing answers in its asker's task while it is idle (see `Actor.receive`): a run of an agent
    asks its memory three times and more, and a change of tasks would be most of the cost.
    """

    observation_kind = "retriever"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        hooks = (cls.run, cls.process_output, cls.close)
        if cls.receive is Memory.receive and hooks != (Memory.run, Function.process_output, Function.close):
            cls.receive = Function.receive
        super().__init_subclass__(**kwargs)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.groups = Groups(self.size_of)
        if self._evaluators is not None:  # which are asked
            vars(self).update(receive=partial(Function.receive, self), kernel_receive_is_async=True)

    def receive(self, message: Any) -> Any:
        """Handle a call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only, got {type(message).__name__}")
        try:
            self._call(message.arguments).send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError(f"{type(self).__name__} has a hook that waits, and says that it has none")

    async def run(self, messages: Sequence[Any] = (), clear: bool = False) -> dict[str, list[Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take in new messages, if any, and return what to show.

        Args:
            messages: what was said, oldest first.
            clear: forget everything before taking them in.
        """
        if clear:
            self.forget()
        if messages:
            self.remember(messages)
        return {"memories": self.recall()}

    @property
    def messages(self) -> list[Any]:
        """What it holds, oldest first, in a list of the caller's own."""
        return self.groups.messages()

    def remember(self, messages: Sequence[Any]) -> None:
        """Take in new messages."""
        self.groups.extend(messages)

    def recall(self) -> list[Any]:
        """Return what an agent shall see, oldest first."""
        return self.groups.messages()

    def forget(self) -> None:
        """Let go of everything that was said."""
        self.groups.clear()

    def size_of(self, message: Any) -> int:
        """Return the size of a message, in the unit of this memory's limit."""
        del message
        return 1
