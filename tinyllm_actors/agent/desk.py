"""What reaches a run while it goes on: decisions of people, more words of the user, and the wish that it end.

An agent handles one message at a time, and a run is one message. So whoever wants something of a run in progress asks
the agent's *desk*, a child that is never busy; the run looks at the desk's control between its steps, and is cancelled
through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from tinyllm_actors.errors import RunCancelled
from tinyllm_actors.kernel import Actor
from tinyllm_actors.llm import UserMessage
from tinyllm_actors.tool import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.agent.decision import Winding
    from tinyllm_actors.errors import RunStopped
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.tool import ApprovalRequest

__all__ = ["PENDING", "Cancel", "Control", "Decide", "Desk", "Finish", "Inject"]

MAX_INJECTED: Final = 100
"""Messages that may wait for a run to hear them."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the run; at once, or after the model call or the tool calls in progress."""

    reason: str
    after_step: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """Let the run come to an answer without more tools."""


@dataclass(frozen=True, slots=True)
class Inject:
    """More from the user, to be heard before the next model call."""

    content: str | list[ContentPart]


@dataclass(frozen=True, slots=True)
class Decide:
    """What a person decided of a call."""

    call_id: str
    decision: Decision


PENDING: Final = "pending approvals"
"""Asks a desk for the calls that wait for a decision."""


class Control:
    """The state of the run in progress, as far as others may change it.

    Attributes:
        winding: whether the run goes on, shall come to an answer, or shall stop.
        heard: what the user said meanwhile.
        pending: the calls that wait for a person, by the model's identifier.
    """

    def __init__(self) -> None:
        self.winding: Winding = "on"
        self.heard: list[UserMessage] = []
        self.pending: dict[str, ApprovalRequest] = {}
        self._decided: dict[str, Decision] = {}
        self._changed: anyio.Event | None = None  # while somebody waits: it takes 1 KB, and most agents never do
        self._scope: anyio.CancelScope | None = None
        self.reason: RunStopped | None = None

    @property
    def running(self) -> bool:
        """Whether a run is in progress."""
        return self._scope is not None

    def begin(self, scope: anyio.CancelScope) -> None:
        """A run begins; cancelling `scope` ends it."""
        self._scope = scope
        self.winding = "on"
        self.reason = None

    def end(self) -> list[UserMessage]:
        """The run has ended. Returns what it did not hear any more."""
        self._scope = None
        self.pending.clear()
        self._decided.clear()
        unheard = list(self.heard)
        self.heard.clear()
        return unheard

    # --- from the desk -----------------------------------------------------------------------------

    def cancel(self, wish: Cancel) -> bool:
        """End the run in progress; False if there is none."""
        if self._scope is None:
            return False
        self.winding = "stop"
        self.reason = RunCancelled(wish.reason)
        if wish.after_step:
            self._wake()  # waiting for a person is no step
        else:
            self._scope.cancel()
        return True

    def finish(self) -> bool:
        """Let the run in progress come to an answer; False if there is none."""
        if self._scope is None:
            return False
        if self.winding == "on":
            self.winding = "answer"
        return True

    def inject(self, message: UserMessage) -> bool:
        """Let the run in progress hear a message; False if there is none, or too many wait already."""
        if self._scope is None or len(self.heard) >= MAX_INJECTED:
            return False
        self.heard.append(message)
        return True

    def decide(self, call_id: str, decision: Decision) -> bool:
        """Decide on a call; False if it does not wait for a decision (any more)."""
        if call_id not in self.pending or call_id in self._decided:
            return False
        self._decided[call_id] = decision
        self._wake()
        return True

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    # --- from the run ------------------------------------------------------------------------------

    def undecided(self) -> list[ApprovalRequest]:
        """Return the pending calls on which nobody has decided."""
        return [request for call_id, request in self.pending.items() if call_id not in self._decided]

    async def decision(
        self, request: ApprovalRequest, timeout: float | None, known: Decision | None = None
    ) -> Decision:
        """Return what is `known`, or wait until somebody has decided on a pending call.

        When `timeout` seconds have passed, or the run shall stop, it is denied.
        """
        call_id = request.call_id
        try:
            if known is not None:
                return known
            with anyio.move_on_after(timeout):
                while call_id not in self._decided:
                    if self.winding == "stop":
                        return Decision.deny("the run was stopped before anybody decided")
                    self._changed = changed = anyio.Event()
                    await changed.wait()
            found = self._decided.get(call_id)
            return Decision.deny("nobody decided in time") if found is None else found
        finally:
            self._changed = None
            self.pending.pop(call_id, None)
            self._decided.pop(call_id, None)

    def ask(self, requests: Sequence[ApprovalRequest]) -> None:
        """Make calls pending."""
        self.pending.update((request.call_id, request) for request in requests)


class Desk(Actor):
    """Takes what is meant for the run in progress; see the module.

    Args:
        control: of the agent.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def receive(self, message: Any) -> Any:
        """Change or show the run in progress; True if there was something to change."""
        control = self._control
        match message:
            case Cancel():
                return control.cancel(message)
            case Finish():
                return control.finish()
            case Inject(content):
                return control.inject(UserMessage(content))
            case Decide(call_id, decision):
                return control.decide(call_id, decision)
            case _ if message == PENDING:
                return control.undecided()
            case _:
                raise TypeError(f"a desk takes no {type(message).__name__}")
