"""What an agent is doing inside of a call, as a table; the call itself goes through `function.states`.

```text
READY → THINKING → CALLING_TOOLS ⇄ WAITING_FOR_APPROVAL
           ↑  ↓          ↓   ↓
           ↑ ANSWERING   ↓  HANDING_OFF
           └─────────────┘
```

Every state but READY leads back to READY when the run ends, however it ends.
"""

from __future__ import annotations

import enum
from typing import Final

from tinyllm_actors.kernel import Machine

__all__ = ["AGENT", "AgentStates", "AgentStep"]


class AgentStates(enum.StrEnum):
    """What an agent is doing."""

    READY = "READY"
    THINKING = "THINKING"
    CALLING_TOOLS = "CALLING_TOOLS"
    WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
    HANDING_OFF = "HANDING_OFF"
    ANSWERING = "ANSWERING"


class AgentStep(enum.StrEnum):
    """What moves a run on."""

    THINK = "think"
    CALL_TOOLS = "call_tools"
    WAIT = "wait_for_approval"
    HAND_OFF = "hand_off"
    ANSWER = "answer"
    END = "end"


_S = AgentStates
_T = AgentStep

_EDGES: dict[tuple[AgentStates, AgentStep], AgentStates] = {
    (_S.READY, _T.THINK): _S.THINKING,
    (_S.READY, _T.CALL_TOOLS): _S.CALLING_TOOLS,  # a run that goes on after a crash
    (_S.READY, _T.ANSWER): _S.ANSWERING,  # likewise, and its answer is there already
    (_S.READY, _T.HAND_OFF): _S.HANDING_OFF,
    (_S.THINKING, _T.THINK): _S.THINKING,  # an answer that has to be corrected, or a message that came meanwhile
    (_S.THINKING, _T.CALL_TOOLS): _S.CALLING_TOOLS,
    (_S.THINKING, _T.ANSWER): _S.ANSWERING,
    (_S.CALLING_TOOLS, _T.WAIT): _S.WAITING_FOR_APPROVAL,
    (_S.WAITING_FOR_APPROVAL, _T.CALL_TOOLS): _S.CALLING_TOOLS,
    (_S.CALLING_TOOLS, _T.THINK): _S.THINKING,
    (_S.CALLING_TOOLS, _T.HAND_OFF): _S.HANDING_OFF,
    (_S.CALLING_TOOLS, _T.ANSWER): _S.ANSWERING,  # the answer came as a call of the final tool
    **{(state, _T.END): _S.READY for state in _S if state is not _S.READY},
}

AGENT: Final[Machine[AgentStates, AgentStep]] = Machine("agent", _EDGES, initial=_S.READY)
