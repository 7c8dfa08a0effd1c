"""The actor kernel: supervised state machines with mailboxes, on any anyio back end. It knows nothing of LLMs.

# When to use an actor, and when not

Use one for what has state and an owner: a conversation, a connection, a limit that many share. What has neither is a
function: call it. What only runs beside something else is a task: `self.context.start_task(…)`. A computation that
keeps a processor busy belongs into a thread or a process; an actor would only make everybody wait for it.

# Semantics

Messages

1. An actor handles one message at a time. Messages from one sender to one receiver arrive in the order in which they
   were sent. Delivery is at most once, unless the spec redelivers.
2. There are two lanes. Kill, stop, suspension and what the kernel tells an actor (`Terminated`, timers, results piped
   to it) come before user messages, are not bounded and are never shed. The user lane holds `Mailbox.capacity`
   messages, 1000 unless the spec says otherwise. Of one message more, `Overflow` decides: the sender waits (the
   default; after `block_timeout` it gets `MailboxFull`), is refused, or the oldest or newest message is dropped, which
   `on_discard` and a dead letter report.
3. `tell` returns when the message is in the mailbox. `tell_nowait` says whether it is, and never raises.
4. Every ask ends: with an answer, with `ActorFailed`, `ActorStopped`, `AskTimeout`, `MailboxFull`, `AskDeadlock` or
   `MessageDiscarded`, or with the cancellation of the asker. An ask that names no time-out has the system's, 300 s.
5. An asker that is cancelled, or whose deadline passes, takes its message along: one that waits is skipped, the
   handler of one in processing is cancelled. `ChildOptions(detached=True)` or `self.context.detach()` opts out.
6. A message carries its deadline, its number, and a copy of its sender's context variables, in which its handler
   runs: what one message binds (a structlog context, a trace) the next does not see, and nothing comes from whoever
   spawned the actor. An ask inside a handler has the deadline of the message being handled, or an earlier one. With
   5 s left, `ask(…, timeout=10)` waits 5 s and `ask(…, timeout=1)` waits 1 s.
7. An ask that would close a cycle of waiting actors fails with `AskDeadlock`, which names the cycle, before it waits;
   so does an ask of oneself. Tells make no edges.
8. When an actor ends, what is left in its mailbox is accounted for: askers get `ActorStopped`, tells become dead
   letters, which are logged, published, and kept in `system.dead_letters` (the newest 1000).

Supervision

9. Every actor has a parent, which is its supervisor. When a child's handler, task or start fails, the parent's
   `Supervisor` decides, at once, even while the parent's own handler is busy. A `permanent` child is restarted whenever
   it ends by itself, a `transient` one after a failure, a `temporary` one never; `ref.stop()` and `ref.kill()` are
   orders, after which none of them comes back. The strategy says who else restarts: nobody, all siblings, or those
   started later. They stop in reverse start order and start in start order; temporary ones among them are not started
   again.
10. More than `max_restarts` restarts within `period` seconds (3 in 5 s by default) are too many: the supervisor fails
    itself, and its parent decides. From the root the failure is raised out of the `async with` block of the system.
    Before each restart there is a wait. With `Backoff(3.0, 30.0, jitter=0.0)`: 3, 6, 12, 24, 30, 30 … seconds, from
    3 again after 60 s without a failure; an exception with a longer `retry_after` has its way. Starts that fail count.
11. `Supervisor.decider` may choose to resume, stop or escalate instead. An exception group with a single leaf counts
    as that leaf.
12. `spawn` returns when `started()` has. If the constructor or `started()` raises, `spawn` raises `StartFailed` and
    nothing is left; a restart that fails to start is one more failure of the child. To be stopped meanwhile is none.
13. A restart keeps the reference, the name, and what waits in the mailbox; it makes a new object and raises the
    incarnation. Timers, tasks and piped results of the old incarnation are dropped. The message whose handler failed
    fails its asker and is dropped, or, with `InFlight(redeliveries=n)`, is handled again by the next incarnation with
    the same number and `attempt + 1`, up to n times, and then becomes a dead letter.
14. Whoever watches an actor gets `Terminated(ref, reason)` exactly once, at its final stop, or at once if that was
    before. Restarts are not told.
15. To stop is to finish the message in processing, to end the children in reverse start order, and to run
    `stopped()`. What does not end within its `shutdown` seconds (5 by default) is cancelled, in a block of
    `context.interruptible()` at once; what is not gone `grace` seconds (1) later is abandoned and reported as
    `Unanswered`. The whole shutdown of a system is bounded by `shutdown_timeout` (30 s). An abandoned coroutine is
    closed when it next runs. What the loop cannot interrupt ends on its own time: a thread, and on trio also a handler
    inside a shield; they delay the end of the event loop, not that of the parent.
16. When a library cancels something that a handler awaits, though nobody asked for the handler to be cancelled, that
    is a failure of this message, `ForeignCancellation`, and reaches no sibling. So is a `GeneratorExit` that a handler
    raises; and a handler that ends inside a scope or a task group that it has entered fails with `ScopeLeftOpen`,
    after that was cancelled and closed for it. (A plain `def receive` that its asker runs must not enter one at all.)

State machines

17. A machine is a table; an event that the table does not have in this state is `InvalidTransition`, a failure. Each
    move is a `Transition`: published if somebody subscribed, logged if wished, one look at a flag otherwise.
18. The life of an actor (`LIFECYCLE`) and the life of a Function's call are two such tables.

Time and names

19. There is one clock, `anyio.current_time()`. A timer's message comes after the delay, never before; a period that
    was missed is skipped, so that nothing bunches up.
20. `system.inspect()` shows the tree as it is, at any time, without stopping anything, and without what messages say.

Streams

21. A stream belongs to the message that opened it. The producer is at most `buffer` items ahead, and is cancelled
    when the reader leaves the block. Its failure is raised where the reader is, after what came before it. Tasks of
    the producer may emit side by side; while one waits for room the others stand in line.

# Cost

An idle actor is a slotted object and the user's own: no task, no queue, no event. A message makes it runnable; one of
a few workers, which are tasks of the system's task group, runs its handler, and goes on to the next message without
a task switch until 64 are done. A handler that waits for something keeps its worker, about 7 KB, until it is done. A
plain `def receive` of an idle actor is run by the asker itself. Give `await` to whatever waits: a handler that blocks
the thread blocks every actor of the system. In a process with very many actors Python's garbage collector stops
everybody for 0.1 s now and then; `short_pauses()` is the switch.
"""

from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.console import ConsoleLog, configure_console_log
from tinyllm_actors.kernel.context import ActorContext
from tinyllm_actors.kernel.courier import Courier
from tinyllm_actors.kernel.dead_letters import DeadLetters
from tinyllm_actors.kernel.debug import Handled, trace
from tinyllm_actors.kernel.deferred import ReplyTo
from tinyllm_actors.kernel.event_stream import Subscription
from tinyllm_actors.kernel.events import (
    ActorTerminated,
    ChildFailed,
    ChildRestarted,
    DeadLetter,
    Escalated,
    Transition,
    Unanswered,
)
from tinyllm_actors.kernel.fsm import StateMachineActor
from tinyllm_actors.kernel.fsm_actions import (
    CancelTimeout,
    Keep,
    NamedTimeout,
    Next,
    NextEvent,
    Postpone,
    Reply,
    StateTimeout,
)
from tinyllm_actors.kernel.gc_tuning import short_pauses
from tinyllm_actors.kernel.groups import Group
from tinyllm_actors.kernel.inspect import ActorNode
from tinyllm_actors.kernel.json_log import JsonLog, configure_json_log
from tinyllm_actors.kernel.lifecycle import LIFECYCLE, ExitKind, ExitReason, Lifecycle
from tinyllm_actors.kernel.machine import Machine
from tinyllm_actors.kernel.mailbox import Mailbox, Overflow
from tinyllm_actors.kernel.node import SupervisorRef
from tinyllm_actors.kernel.plain import to_plain
from tinyllm_actors.kernel.pool import Pool, PoolRef
from tinyllm_actors.kernel.redaction import add_redactions
from tinyllm_actors.kernel.ref import ActorRef
from tinyllm_actors.kernel.registry import Registry
from tinyllm_actors.kernel.restart import Backoff, Directive, Restart, RestartWindow, Strategy
from tinyllm_actors.kernel.routing import Broadcast, ConsistentHash, LeastBusy, RoundRobin, Routing
from tinyllm_actors.kernel.spec import BRUTAL_KILL, ChildOptions, ChildSpec, DynamicSupervisor, InFlight, Supervisor
from tinyllm_actors.kernel.stream import StreamReader
from tinyllm_actors.kernel.system import ActorSystem
from tinyllm_actors.kernel.transition_filter import TransitionFilter
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
    "CancelTimeout",
    "ChildFailed",
    "ChildOptions",
    "ChildRestarted",
    "ChildSpec",
    "ConsistentHash",
    "ConsoleLog",
    "Courier",
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
    "JsonLog",
    "Keep",
    "LeastBusy",
    "Lifecycle",
    "Machine",
    "Mailbox",
    "NamedTimeout",
    "Next",
    "NextEvent",
    "Overflow",
    "Pool",
    "PoolRef",
    "Postpone",
    "Registry",
    "Reply",
    "ReplyTo",
    "Restart",
    "RestartWindow",
    "RoundRobin",
    "Routing",
    "StateMachineActor",
    "StateTimeout",
    "Strategy",
    "StreamReader",
    "Subscription",
    "Supervisor",
    "SupervisorRef",
    "Terminated",
    "Transition",
    "TransitionFilter",
    "Unanswered",
    "add_redactions",
    "configure_console_log",
    "configure_json_log",
    "short_pauses",
    "to_plain",
    "trace",
]
