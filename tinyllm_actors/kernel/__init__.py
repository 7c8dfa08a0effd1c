"""The actor kernel.

TO BE WRITTEN: the runtime semantics on one page.
"""

from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.context import ActorContext
from tinyllm_actors.kernel.events import (
    ActorTerminated,
    ChildFailed,
    ChildRestarted,
    DeadLetter,
    Escalated,
    Subscription,
    Transition,
    Unanswered,
)
from tinyllm_actors.kernel.lifecycle import LIFECYCLE, ExitKind, ExitReason, Lifecycle
from tinyllm_actors.kernel.machine import Machine
from tinyllm_actors.kernel.mailbox import Mailbox, Overflow
from tinyllm_actors.kernel.ref import ActorRef
from tinyllm_actors.kernel.restart import Backoff, Directive, Restart, RestartWindow, Strategy
from tinyllm_actors.kernel.spec import BRUTAL_KILL, ChildOptions, ChildSpec, DynamicSupervisor, InFlight, Supervisor
from tinyllm_actors.kernel.stream import StreamReader
from tinyllm_actors.kernel.system import ActorSystem

__all__ = [
    "BRUTAL_KILL",
    "LIFECYCLE",
    "Actor",
    "ActorContext",
    "ActorRef",
    "ActorSystem",
    "ActorTerminated",
    "Backoff",
    "ChildFailed",
    "ChildOptions",
    "ChildRestarted",
    "ChildSpec",
    "DeadLetter",
    "Directive",
    "DynamicSupervisor",
    "Escalated",
    "ExitKind",
    "ExitReason",
    "InFlight",
    "Lifecycle",
    "Machine",
    "Mailbox",
    "Overflow",
    "Restart",
    "RestartWindow",
    "Strategy",
    "StreamReader",
    "Subscription",
    "Supervisor",
    "Transition",
    "Unanswered",
]
