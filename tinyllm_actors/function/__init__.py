"""Functions: actors that work like a web API.

A Function validates its input, runs, validates its output, processes it, validates that, and answers a dictionary,
`{"status": "success", "output": …}` or `{"status": "error", "message": …, "error": …}`. It never raises at its
caller. The states of a call are in `states`.
"""

from tinyllm_actors.function.answer import answer_text
from tinyllm_actors.function.foreign import ForeignFunction
from tinyllm_actors.function.function import Function
from tinyllm_actors.function.ref import Call, FunctionRef
from tinyllm_actors.function.result import ErrorInfo, Failure, FieldError, Result, Success, failure, success, unwrap
from tinyllm_actors.function.states import FUNCTION, States, Step
from tinyllm_actors.function.stream import FunctionStream
from tinyllm_actors.function.validation import Validator
from tinyllm_actors.function.wrap import CallableFunction, GeneratorFunction, as_function
from tinyllm_actors.kernel.events import CallFailed

__all__ = [
    "FUNCTION",
    "Call",
    "CallFailed",
    "CallableFunction",
    "ErrorInfo",
    "Failure",
    "FieldError",
    "ForeignFunction",
    "Function",
    "FunctionRef",
    "FunctionStream",
    "GeneratorFunction",
    "Result",
    "States",
    "Step",
    "Success",
    "Validator",
    "answer_text",
    "as_function",
    "failure",
    "success",
    "unwrap",
]
