"""The life of one call of a Function, as a table.

```text
INIT → INPUT_VALIDATION → RUNNING → OUTPUT_VALIDATION → [OUTPUT_EVALUATION] → PROCESSING_OUTPUT
     → PROCESSED_OUTPUT_VALIDATION → [PROCESSED_OUTPUT_EVALUATION] → [CLOSING] → COMPLETE
```

Any state before COMPLETE may lead to FAILED or CANCELLED, and the three endings lead to the next call's
INPUT_VALIDATION.
"""

from __future__ import annotations

import enum
from typing import Final

from tinyllm_actors.kernel import Machine

__all__ = ["ENDINGS", "FUNCTION", "States", "Step"]


class States(enum.StrEnum):
    """Where a Function is in a call."""

    INIT = "INIT"
    INPUT_VALIDATION = "INPUT_VALIDATION"
    RUNNING = "RUNNING"
    OUTPUT_VALIDATION = "OUTPUT_VALIDATION"
    OUTPUT_EVALUATION = "OUTPUT_EVALUATION"
    PROCESSING_OUTPUT = "PROCESSING_OUTPUT"
    PROCESSED_OUTPUT_VALIDATION = "PROCESSED_OUTPUT_VALIDATION"
    PROCESSED_OUTPUT_EVALUATION = "PROCESSED_OUTPUT_EVALUATION"
    CLOSING = "CLOSING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    __hash__ = str.__hash__  # what an enum has instead is a call of Python code, twice in each step


class Step(enum.StrEnum):
    """What moves a call on."""

    CALL = "call"
    RUN = "run"
    VALIDATE = "validate"
    EVALUATE = "evaluate"
    PROCESS = "process"
    CLOSE = "close"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"

    __hash__ = str.__hash__


_S = States
_T = Step

ENDINGS: Final = (_S.COMPLETE, _S.FAILED, _S.CANCELLED)

_EDGES: dict[tuple[States, Step], States] = {
    (_S.INIT, _T.CALL): _S.INPUT_VALIDATION,
    (_S.INPUT_VALIDATION, _T.RUN): _S.RUNNING,
    (_S.RUNNING, _T.VALIDATE): _S.OUTPUT_VALIDATION,
    (_S.OUTPUT_VALIDATION, _T.VALIDATE): _S.OUTPUT_VALIDATION,  # the next item of a stream
    (_S.OUTPUT_VALIDATION, _T.EVALUATE): _S.OUTPUT_EVALUATION,
    (_S.OUTPUT_VALIDATION, _T.PROCESS): _S.PROCESSING_OUTPUT,
    (_S.OUTPUT_EVALUATION, _T.PROCESS): _S.PROCESSING_OUTPUT,
    (_S.PROCESSING_OUTPUT, _T.VALIDATE): _S.PROCESSED_OUTPUT_VALIDATION,
    (_S.PROCESSED_OUTPUT_VALIDATION, _T.EVALUATE): _S.PROCESSED_OUTPUT_EVALUATION,
    (_S.PROCESSED_OUTPUT_VALIDATION, _T.CLOSE): _S.CLOSING,
    (_S.PROCESSED_OUTPUT_VALIDATION, _T.COMPLETE): _S.COMPLETE,
    (_S.PROCESSED_OUTPUT_EVALUATION, _T.CLOSE): _S.CLOSING,
    (_S.PROCESSED_OUTPUT_EVALUATION, _T.COMPLETE): _S.COMPLETE,
    (_S.CLOSING, _T.COMPLETE): _S.COMPLETE,
}
for _state in States:
    if _state in ENDINGS:
        _EDGES[_state, _T.CALL] = _S.INPUT_VALIDATION
    elif _state is not _S.INIT:
        _EDGES[_state, _T.FAIL] = _S.FAILED
        _EDGES[_state, _T.CANCEL] = _S.CANCELLED

FUNCTION: Machine[States, Step] = Machine("function", _EDGES, initial=States.INIT)
