"""The actor kernel.

TO BE WRITTEN: the runtime semantics on one page.
"""

from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.context import ActorContext
from tinyllm_actors.kernel.dead_letters import DeadLetters
from tinyllm_actors.kernel.debug import Handled, trace
from tinyllm_actors.kernel.deferred import ReplyTo
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
from tinyllm_actors.kernel.groups import Group
from tinyllm_actors.kernel.inspect import ActorNode
from tinyllm_actors.kernel.lifecycle import LIFECYCLE, ExitKind, ExitReason, Lifecycle
from tinyllm_actors.kernel.machine import Machine
from tinyllm_actors.kernel.mailbox import Mailbox, Overflow
from tinyllm_actors.kernel.pool import Pool, PoolRef
from tinyllm_actors.kernel.ref import ActorRef
from tinyllm_actors.kernel.registry import Registry
from tinyllm_actors.kernel.restart import Backoff, Directive, Restart, RestartWindow, Strategy
from tinyllm_actors.kernel.routing import Broadcast, ConsistentHash, LeastBusy, RoundRobin, Routing
from tinyllm_actors.kernel.spec import BRUTAL_KILL, ChildOptions, ChildSpec, DynamicSupervisor, InFlight, Supervisor
from tinyllm_actors.kernel.stream import StreamReader
from tinyllm_actors.kernel.system import ActorSystem
from tinyllm_actors.kernel.watch import Terminated

__all__ = [
    "BRUTAL_KILL",
    "LIFECYCLE",
    "Actor",
    "ActorContext",
    "ActorNode",
    "ActorRef",
    "ActorSystem",
    "ActorTerminated",
    "Backoff",
    "Broadcast",
    "ChildFailed",
    "ChildOptions",
    "ChildRestarted",
    "ChildSpec",
    "ConsistentHash",
    "DeadLetter",
    "DeadLetters",
    "Directive",
    "DynamicSupervisor",
    "Escalated",
    "ExitKind",
    "ExitReason",
    "Group",
    "Handled",
    "InFlight",
    "LeastBusy",
    "Lifecycle",
    "Machine",
    "Mailbox",
    "Overflow",
    "Pool",
    "PoolRef",
    "Registry",
    "ReplyTo",
    "Restart",
    "RestartWindow",
    "RoundRobin",
    "Routing",
    "Strategy",
    "StreamReader",
    "Subscription",
    "Supervisor",
    "Terminated",
    "Transition",
    "Unanswered",
    "trace",
]
