"""How a set of conversations is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import structlog

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from tinyllm_actors.conversation.compaction import Compaction

__all__ = ["ConversationOptions", "ConversationSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSettings:
    """The options of `system.conversations(…)`.

    Args:
        idle: seconds without a message after which a conversation is passivated: it leaves the memory, and the next
            message brings it back. If in doubt, 900.
        max_live: conversations in memory at the same time. Beyond, the one that was idle for the longest is
            passivated; if none is idle, who comes waits.
        max_queued: turns that may wait in one conversation behind the one in progress; beyond, `ConversationBusy`.
        max_failures: failures of one conversation within `failure_period` seconds after which it is quarantined.
        failure_period: in seconds.
        patience: seconds for which a failing store is tried again before the conversation fails.
        recover: at the start, take over the conversations that were in memory when an earlier process ended, and let
            their open turns go on. Where several processes share one store, each would take the others': say which are
            this one's by a function of the key, the one that requests are routed by, or give False. A key for which
            it raises is left alone, with a line in the log.
        snapshot_every: entries after which a snapshot is written, so that waking up stays quick.
        replay_for: seconds for which the events of a turn that has ended are kept for readers who come back; those who
            come later get its result only.
        compaction: how to keep histories short; None to keep them whole.
        user_of: the user of a conversation, by its key; for traces, and for tools, which find it in their context. Such
            as `lambda key: key.partition("/")[0]`, if your keys are like `"ada/holiday"`. Nothing is guessed: None
            leaves the user that the agent's spec says, if any.

    Raises:
        ConfigurationError: a number has no meaning; the message names it.
    """

    idle: float = 900.0
    max_live: int = 10_000
    max_queued: int = 100
    max_failures: int = 5
    failure_period: float = 60.0
    patience: float = 30.0
    recover: bool | Callable[[str], bool] = True
    snapshot_every: int = 200
    replay_for: float = 60.0
    compaction: Compaction | None = None
    user_of: Callable[[str], str | None] | None = None

    def __post_init__(self) -> None:
        for name in ("idle", "failure_period"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be above 0 seconds, got {getattr(self, name)!r}")
        for name in ("max_live", "snapshot_every"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in ("max_queued", "max_failures", "patience", "replay_for"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} must be 0 or more, got {getattr(self, name)!r}")

    def recovers(self, key: str) -> bool:
        """Whether this process goes on unasked with a conversation of another one that ended."""
        if not callable(self.recover):
            return self.recover
        try:
            return self.recover(key)
        except Exception as error:  # one key that is not like the others must not keep all of them from their turns
            structlog.get_logger(__name__).error("not recovered, as recover=… raised", key=key, error=repr(error))
            return False


class ConversationOptions(TypedDict, total=False):
    """The settings again, for checkers and editors: what `system.conversations(…)` takes by keyword."""

    idle: float
    max_live: int
    max_queued: int
    max_failures: int
    failure_period: float
    patience: float
    recover: bool | Callable[[str], bool]
    snapshot_every: int
    replay_for: float
    compaction: Compaction | None
    user_of: Callable[[str], str | None] | None
