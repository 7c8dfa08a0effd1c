"""Traces: every call of a Function as an observation, nested as the calls are, told to whoever keeps them.

`await start_tracing(system, LangfuseTracer(…), OpenTelemetryTracer(…))` is all that a service needs. Off, a call looks
at one attribute. Code of your own shows up with `@observation()` or `with observe("name"):`.

A request that comes with a trace of its caller goes on with it, `with continue_trace(headers.get("traceparent")):`,
and `current_traceparent()` is the header for what is called next; model adapters send it if `send_traceparent=True`.
`with untraced():` keeps out what would be noise.

The turns of a conversation are each in the trace of whoever sent them. Their session is the conversation's key, and
their user what `system.conversations(…, user_of=…)` makes of it. Elsewhere `user_id=` and `session_id=` of a Function,
or of `observe`, say both for all that is inside.

A parent is not looked for, it comes with the message: the handler of a call makes its observation the current one, a
context variable, and whatever the handler sends carries a copy of its context variables.
"""

from tinyllm_actors.function.tracing.decorator import observation, observe
from tinyllm_actors.function.tracing.experiment import ExperimentItem
from tinyllm_actors.function.tracing.hub import Tracing
from tinyllm_actors.function.tracing.observation import Kind, Observation, Status, current_observation
from tinyllm_actors.function.tracing.remote import TracePosition, continue_trace, current_traceparent, untraced
from tinyllm_actors.function.tracing.service import start_tracing
from tinyllm_actors.function.tracing.tracer import Tracer

__all__ = [
    "ExperimentItem",
    "Kind",
    "Observation",
    "Status",
    "TracePosition",
    "Tracer",
    "Tracing",
    "continue_trace",
    "current_observation",
    "current_traceparent",
    "observation",
    "observe",
    "start_tracing",
    "untraced",
]
