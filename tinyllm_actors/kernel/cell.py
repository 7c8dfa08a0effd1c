"""What the system keeps of one actor: its place in the tree, its mailbox, and the message in processing.

A cell outlives incarnations, so references stay valid. An idle one owns no task, no queue and no event. What few
actors need (watchers, timers, blocked senders) is in `Cold`, what a parent needs in `Family`, each made on first use.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import ActorStopped, MailboxFull, MessageDiscarded
from tinyllm_actors.kernel.cold import NO_WAITERS, Cold
from tinyllm_actors.kernel.deferred import admit_urgent, requeue
from tinyllm_actors.kernel.envelope import Ask, Envelope, Kind
from tinyllm_actors.kernel.events import Transition
from tinyllm_actors.kernel.family import Family
from tinyllm_actors.kernel.lifecycle import LIFECYCLE, Event, ExitReason, Lifecycle
from tinyllm_actors.kernel.mailbox import NotingQueue, Overflow, drop_done, pop_oldest
from tinyllm_actors.kernel.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.kernel.actor import Actor
    from tinyllm_actors.kernel.envelope import Signal
    from tinyllm_actors.kernel.mailbox import Queue
    from tinyllm_actors.kernel.scheduler import Worker
    from tinyllm_actors.kernel.spec import ChildSpec
    from tinyllm_actors.kernel.system import ActorSystem

__all__ = ["CALLS", "CHANGED", "DEDICATED", "LEAVING", "PAUSED", "URGENT", "VOIDS", "WAITERS", "Cell"]

# Why a worker must look up before the next message (bits of `Cell.attention`).
PAUSED: Final = 1
URGENT: Final = 2
WAITERS: Final = 4
CALLS: Final = 8
CHANGED: Final = 16
DEDICATED: Final = 32
LEAVING: Final = 64
VOIDS: Final = 128

UNBOUNDED: Final = 1 << 62

_NEW: Final = Lifecycle.NEW  # here and elsewhere: on Python 3.11 a look-up in an enum takes 0.13 µs, a global 0.01
# The same table by event and source: an actor moves four times from its start to its end, and two look-ups in
# dictionaries of a few entries take half the time of a tuple and one look-up in a larger one.
_TARGETS: Final[dict[Event, dict[Lifecycle, Lifecycle]]] = {
    event: {source: target for (source, other), target in LIFECYCLE.edges.items() if other is event} for event in Event
}


class Cell:
    """One actor, from its spawn to its final stop."""

    __slots__ = (
        "actor",
        "attention",
        "capacity",
        "extra",
        "family",
        "idle",
        "incarnation",
        "mailbox",
        "name",
        "parent",
        "plain",
        "reason",
        "spec",
        "state",
        "system",
        "worker",
    )

    def __init__(self, system: ActorSystem, parent: Cell | None, name: str | int, spec: ChildSpec) -> None:
        self.system = system
        self.parent = parent
        self.name = name  # unique among siblings; a number where nobody chose one
        self.spec = spec
        self.actor: Actor | None = None
        self.state = _NEW
        self.incarnation = 0
        self.mailbox: Queue | None = None
        capacity = spec.options.mailbox.capacity
        self.capacity = UNBOUNDED if capacity is None else capacity  # -1 once it takes no messages
        self.idle = False  # running, nothing to do, in no queue: a message may schedule it
        self.plain = False  # its handler is a plain function, which an asker may run itself
        self.attention = DEDICATED if spec.options.dedicated else 0
        self.worker: Worker | None = None  # who waits with a handler that waits for something
        self.reason: ExitReason | None = None
        self.extra: Cold | None = None
        self.family: Family | None = None

    @property
    def cold(self) -> Cold:
        """The rarely used part, made on first use."""
        if self.extra is None:
            self.extra = Cold()
        return self.extra

    @property
    def as_parent(self) -> Family:
        """What only a parent needs, made on first use."""
        self.family = self.family or Family()
        return self.family

    @property
    def children(self) -> Sequence[Cell]:
        """Its children in start order."""
        return () if self.family is None else list(self.family.children.values())

    @property
    def current(self) -> Envelope | None:
        """The message whose handler waits for something."""
        return None if self.worker is None else self.worker.envelope

    @property
    def label(self) -> str:
        """What it is called: the name it was given, or its class and its number."""
        name = self.name
        return name if isinstance(name, str) else f"{self.spec.label}-{name}"

    @property
    def path(self) -> str:
        """Where the actor is in the tree: the names from the root, joined by slashes."""
        parent = self.parent
        if parent is None or parent.parent is None:
            return self.label
        return f"{parent.path}/{self.label}"

    def transition(self, event: Event) -> None:
        """Move the lifecycle, and publish the move if somebody listens.

        Where nobody does, the four moves from a start to an end are written out where they are made, from the state
        they start in: each would take 80 ns here, and together that is a tenth of what a spawn and a stop take.
        """
        source = self.state
        try:
            self.state = _TARGETS[event][source]
        except KeyError:
            LIFECYCLE.step(self.label, source, event)  # which raises
        events = self.system.events_stream
        if events.transitions:
            events.publish(Transition(self.path, self.label, LIFECYCLE.name, source, event, self.state))

    # --- receiving ---------------------------------------------------------------------------------

    def post(self, envelope: Envelope) -> Waiter | None:
        """Put a message into the user lane. Returns what the sender must wait for, if there is no room.

        Raises:
            MailboxFull: there is no room and the mailbox rejects (a tell; an ask is failed instead).
        """
        mailbox: Queue | None = self.mailbox
        if mailbox is None:
            if self.capacity < 0:
                self.refuse(envelope, "stopped")
                return None
            spare = self.system.scheduler.spare_queues
            if spare and self.spec.options.mailbox.plain:
                self.mailbox = mailbox = spare.pop()
            else:
                mailbox = self.new_queue()
        if len(mailbox) >= self.capacity or self.attention & WAITERS:
            return self._overflow(mailbox, envelope)
        mailbox.append(envelope)
        if self.idle:
            self.idle = False
            self.system.scheduler.enqueue(self)
        return None

    def new_queue(self) -> Queue:
        """Give the cell an empty mailbox."""
        self.mailbox = mailbox = self.spec.options.mailbox.new_queue(self.system.now, self.discard)
        return mailbox

    def _overflow(self, mailbox: Queue, envelope: Envelope) -> Waiter | None:
        options = self.spec.options.mailbox
        if not self.attention & WAITERS:
            # Looking through a full mailbox at every message is slow; where nothing was withdrawn there is no need.
            if mailbox and (self.attention & VOIDS or type(mailbox) is not deque):  # `if mailbox` discards the expired
                self.attention &= ~VOIDS
                drop_done(mailbox)
            if len(mailbox) < self.capacity:
                mailbox.append(envelope)
                return None
        match options.overflow:
            case Overflow.BLOCK:
                waiter = Waiter(self, envelope, None if envelope.kind else self.system.backend.new_slot())
                cold = self.cold
                if cold.waiters is NO_WAITERS:
                    cold.waiters = deque()
                cold.waiters.append(waiter)
                self.attention |= WAITERS
                return waiter
            case Overflow.REJECT:
                error = MailboxFull(self.path, self.capacity, envelope.message)
                if not isinstance(envelope, Ask):
                    raise error
                envelope.fail(error)
            case Overflow.DROP_NEWEST:
                self.discard(envelope, Overflow.DROP_NEWEST)
            case _:  # DROP_OLDEST
                oldest = pop_oldest(mailbox)
                mailbox.append(envelope)
                if oldest is not None:
                    self.discard(oldest, Overflow.DROP_OLDEST)
        return None

    def post_urgent(self, envelope: Signal) -> None:
        """Put a message into the control lane: before all user messages, with no bound."""
        if self.capacity < 0:
            return
        self.cold.add_urgent(envelope)
        self.attention |= URGENT
        if self.idle:
            self.idle = False
            self.system.scheduler.enqueue(self)

    def insert(self, envelope: Signal) -> None:
        """Put a message before all others, those of the control lane included, once that in processing is done."""
        self.cold.add_inserted(envelope)
        self.attention |= URGENT

    def refuse(self, envelope: Envelope, reason: str) -> None:
        """Account for a message that will not be handled: its asker fails, a tell becomes a dead letter."""
        if isinstance(envelope, Ask):
            why = "it is stopped" if self.reason is None else f"it is stopped ({self.reason})"
            envelope.fail(ActorStopped(self.path, why, envelope.message))
        elif envelope.kind == Kind.TELL and not self._hand_back(envelope.message):
            self.system.dead_letter(self, envelope, reason)
        envelope.context = None

    def _hand_back(self, message: object) -> bool:
        undelivered = self.spec.options.mailbox.undelivered
        if undelivered is None:
            return False
        try:
            undelivered(message)
        except Exception:
            return False
        return True

    def discard(self, envelope: Envelope, reason: str) -> None:
        """Account for a message that the mailbox's policy dropped."""
        if isinstance(envelope, Ask):
            envelope.fail(MessageDiscarded(self.path, reason, envelope.message))
        envelope.context = None
        self.system.dead_letter(self, envelope, reason)
        on_discard = self.spec.options.mailbox.on_discard
        if on_discard is not None:
            with suppress(Exception):
                on_discard(envelope.message, reason)

    def let_go(self, envelope: Envelope) -> None:
        """Forget a message that was handled; what its handler waited for may hold the envelope for longer."""
        envelope.context = None
        extra = self.extra
        if extra is None or not (extra.postponed or extra.deferred):  # else it may come back
            envelope.message = None

    def withdraw(self, ask: Ask) -> None:
        """An asker left: cancel the handler if it works on that ask; a queued one is skipped when its turn comes."""
        worker = self.worker
        if self.current is ask:
            if worker is not None and not self.keeps_on(ask):
                worker.scope.cancel()
            return
        if self.attention & WAITERS:
            for waiter in self.cold.waiters:
                if waiter.envelope is ask:
                    waiter.withdraw()
                    return
        if self.mailbox:
            if self.attention & WAITERS:  # somebody waits for the room that this ask took
                drop_done(self.mailbox)
                self.admit_waiters()
            else:
                self.attention |= VOIDS

    def keeps_on(self, envelope: Envelope) -> bool:
        """Whether the handler goes on with a message though its asker has left."""
        return self.spec.options.detached or (isinstance(envelope, Ask) and envelope.detached)

    # --- between messages --------------------------------------------------------------------------

    def attend(self) -> bool:
        """See to what is more urgent than the next message. False when the actor must not go on."""
        if self.attention & PAUSED:
            self.notify_quiet()
            if self.attention & CALLS and self.state is Lifecycle.SUSPENDED:
                self._run_looks()
            return False
        if self.attention & LEAVING:
            self.attention &= ~LEAVING
            cold = self.cold
            reason, cold.leaving = cold.leaving, None
            self.system.care.leave(self, reason or ExitReason.NORMAL)
            return False
        if self.attention & DEDICATED:
            runner = self.cold.runner
            if runner is not None:  # else it is passive, and a worker starts it as it would any other
                runner.wake()
                return False
        return self.admit()

    def admit(self) -> bool:
        """Let in what waits outside of the mailbox. False when the next message needs another look at the actor."""
        cold = self.cold
        mailbox = self.mailbox
        if mailbox is None:
            mailbox = self.new_queue()
        if cold.replay:
            requeue(self, cold)
            self.attention |= URGENT
        if self.attention & VOIDS:
            self.attention &= ~VOIDS
            drop_done(mailbox)
        if self.attention & URGENT and not admit_urgent(mailbox, cold):
            self.attention &= ~URGENT
        if self.attention & WAITERS:
            self.admit_waiters()
        if self.attention & CALLS and self.actor is not None:
            self._run_looks()
        if self.attention & CHANGED:
            self.attention &= ~CHANGED
            if not self.attention & DEDICATED:
                self.wake()
                return False
        return True

    def drop_waiter(self, waiter: Waiter) -> bool:
        """Take out a sender that does not wait any longer; False if its message is in the mailbox already."""
        waiters = self.cold.waiters
        if waiter not in waiters:
            return False
        waiters.remove(waiter)
        if not waiters:
            self.attention &= ~WAITERS
        return True

    def admit_waiters(self) -> None:
        """Let blocked senders in, first come first, while there is room."""
        cold = self.cold
        mailbox = self.new_queue() if self.mailbox is None else self.mailbox
        while cold.waiters and len(mailbox) < self.capacity:
            waiter = cold.waiters.popleft()
            try:
                mailbox.append(waiter.envelope)
            except Exception as error:  # the mailbox's own `priority` failed: that is the sender's business
                waiter.refuse(error)
            else:
                waiter.admit()
        if not cold.waiters:
            self.attention &= ~WAITERS

    def _run_looks(self) -> None:
        looks, self.cold.looks = self.cold.looks, ()
        self.attention &= ~CALLS
        for look in looks:
            look.run(self)

    def notify_quiet(self) -> None:
        """Wake those who wait until nothing of this actor runs; they look for themselves."""
        if self.extra is not None and self.extra.quiet:
            quiet, self.extra.quiet = self.extra.quiet, ()
            for slot in quiet:
                slot.set()

    def rest(self) -> None:
        """Become idle: nothing is waiting."""
        mailbox = self.mailbox
        if mailbox is not None:
            self.mailbox = None
            spare = self.system.scheduler.spare_queues
            if type(mailbox) is deque and len(spare) < 256:
                spare.append(mailbox)
        self.idle = True
        extra = self.extra
        if extra is not None and extra.idle_timers:
            own = type(mailbox) is NotingQueue and not mailbox.noted
            for timer in extra.idle_timers:
                timer.rested(own=own)

    def wake(self) -> None:
        """Go on after a pause, a start or a held message: idle if nothing waits, else in the run queue."""
        if self.mailbox or self.attention:
            self.idle = False
            self.system.scheduler.enqueue(self)
        elif self.mailbox is None and self.extra is None:
            self.idle = True  # most often, and all that `rest` would do
        else:
            self.rest()

    def depth(self) -> int:
        """How many messages wait, blocked senders' included."""
        waiting = 0 if self.mailbox is None else sum(not queued.done for queued in self.mailbox)
        return waiting + (0 if self.extra is None else len(self.extra.waiters) + len(self.extra.urgent))
