"""Patience with a model that says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.errors import ModelTimeout
from tinyllm_actors.llm.model import TextDelta

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorSystem
    from tinyllm_actors.llm.model import StreamEvent

__all__ = ["Watch"]


class Watch:
    """Cancels a call whose model is silent for too long. Costs one look at the clock for each event."""

    def __init__(self, system: ActorSystem, patience: float) -> None:
        self._system = system
        self._patience = patience
        self._text: list[str] = []
        self.began = self._fed_at = system.now()
        self._waits_for_reader = False
        self.delivered = False
        self.scope = anyio.CancelScope()
        self._entry = system.timers.at(self.began + patience, self)

    @property
    def text(self) -> str:
        """What has been delivered."""
        return "".join(self._text)

    def feed(self, event: StreamEvent) -> None:
        """An event came; from now on the reader is waited for, not the model."""
        self.delivered = True
        self._waits_for_reader = True
        if type(event) is TextDelta:
            self._text.append(event.text)

    def rest(self) -> None:
        """The reader has the event; the model's turn."""
        self._waits_for_reader = False
        self._fed_at = self._system.now()

    def expire(self) -> None:
        """Look whether the model has been silent for as long as it may."""
        now = self._system.now()
        due = now + self._patience if self._waits_for_reader else self._fed_at + self._patience
        if now < due:
            self._entry = self._system.timers.at(due, self)
        else:
            self.scope.cancel()

    def close(self) -> None:
        """Watch no more."""
        self._system.timers.cancel(self._entry)

    def error(self, name: str) -> ModelTimeout:
        """Return what the silence of the model `name` is."""
        return ModelTimeout(
            f"model {name!r} was silent for {self._patience:.3g} s; raise idle_timeout if it needs longer",
            output_started=self.delivered,
            partial=self.text,
            model=name,
        )
