"""What a reader of a turn is told beside what the agent itself tells."""

from __future__ import annotations

import msgspec

from tinyllm_actors.function import Result

__all__ = ["RunFinished", "StreamRestarted", "TurnAccepted"]


class RunFinished(msgspec.Struct, frozen=True, tag="run_finished"):
    """The run ended; always the last event.

    Attributes:
        result: what a plain call would have answered.
        run_id: the number of the run's message; 0 where the turn ended in an earlier process.
    """

    result: Result
    run_id: int = 0


class TurnAccepted(msgspec.Struct, frozen=True, tag="turn_accepted"):
    """The user's message is durable: from here on the turn is not lost.

    Attributes:
        turn_id: the name of the turn; send it again to get the same turn.
        entry_id: of the message in the journal.
    """

    turn_id: str
    entry_id: str


class StreamRestarted(msgspec.Struct, frozen=True, tag="stream_restarted"):
    """What was told of this turn is void: it goes on from the journal after a failure, and what follows is told anew.

    Attributes:
        turn_id: the name of the turn.
        cause: what had happened.
    """

    turn_id: str
    cause: str
