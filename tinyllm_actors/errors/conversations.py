"""What conversations refuse. See the package for the whole tree."""

from __future__ import annotations

from tinyllm_actors.errors.base import TinyLLMError

__all__ = ["ConversationBusy", "ConversationDeleted", "ConversationQuarantined", "MessageRejected", "UnknownTurn"]


class ConversationBusy(TinyLLMError):
    """As many turns wait in the conversation as may, or one is in progress that must end first; try again later.

    Attributes:
        key: which conversation.
        queued: how many turns wait.
    """

    retryable = True

    def __init__(self, key: str, queued: int) -> None:
        super().__init__(f"conversation {key!r} is busy: {queued} turns wait; try again when they have ended")
        self.key = key
        self.queued = queued


class ConversationQuarantined(TinyLLMError):
    """The conversation failed too often and is not started any more, until somebody releases or deletes it.

    Attributes:
        key: which conversation.
        cause: the last failure.
        failures: how many there were.
    """

    def __init__(self, key: str, cause: BaseException, failures: int) -> None:
        super().__init__(
            f"conversation {key!r} is quarantined after {failures} failures, the last of which was"
            f" {type(cause).__name__}: {cause}; mend the cause and release() it, or delete() it"
        )
        self.key = key
        self.cause = cause
        self.failures = failures
        self.__cause__ = cause


class ConversationDeleted(TinyLLMError):
    """Somebody deleted the conversation before the turn had ended; what is sent from now on begins a new one.

    Attributes:
        key: which conversation.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"conversation {key!r} was deleted before the turn had ended; send it again to begin anew")
        self.key = key


class MessageRejected(TinyLLMError, ValueError):
    """What was said to a conversation is no message; nothing was done.

    Attributes:
        content: what it was.
    """

    def __init__(self, content: object, why: str = "") -> None:
        shown = repr(content)
        shown = shown if len(shown) <= 200 else f"{shown[:200]}…"
        super().__init__(
            f"a message is text, or a list of parts, not {shown}{why and ': ' + why}; pass what the user said as"
            " content='…'"
        )
        self.content = content


class UnknownTurn(TinyLLMError, LookupError):
    """The conversation has no such turn, or none is in progress.

    Attributes:
        key: which conversation.
        turn_id: the name that was given; None for the turn in progress.
    """

    def __init__(self, key: str, turn_id: str | None) -> None:
        what = "no turn in progress" if turn_id is None else f"no turn {turn_id!r}"
        super().__init__(f"conversation {key!r} has {what}; send one with content=…")
        self.key = key
        self.turn_id = turn_id
