"""Random senders at one busy actor, under each policy, against a model of its mailbox in plain Python.

The actor holds each message until the program lets it go. The model says what becomes of every message: handled,
answered, refused, discarded, expired, or never sent because its sender left.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm_actors.errors import ActorFailed, ActorStopped, MailboxFull, MessageDiscarded
from tinyllm_actors.kernel import Actor, ActorSystem, Mailbox, Overflow, Supervisor
from tinyllm_actors.testing import VirtualClock

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from tinyllm_actors.kernel import ActorRef


@dataclass
class Program:
    """A mailbox, and what is done to it."""

    capacity: int
    overflow: Overflow
    ttl: float | None
    block_timeout: float | None
    priority: bool
    steps: list[tuple[str, int]]


STEPS = st.tuples(
    st.sampled_from(["tell", "tell", "ask", "ask", "release", "release", "crash", "cancel", "wait", "stop"]),
    st.integers(0, 20),
)


@st.composite
def programs(draw: DrawFn) -> Program:
    """Draw a mailbox and what is done to it."""
    return Program(
        capacity=draw(st.integers(1, 3)),
        overflow=draw(st.sampled_from(list(Overflow))),
        ttl=draw(st.sampled_from([None, None, 10.5])),
        block_timeout=draw(st.sampled_from([None, 7.5])),
        priority=draw(st.booleans()),
        steps=draw(st.lists(STEPS, min_size=1, max_size=25)),
    )


# --- the model ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Message:
    """One message, with its fate: what its sender and the log of the actor say of it in the end."""

    number: int
    asked: bool
    arrived: float = 0.0
    deadline: float = float("inf")
    void: bool = False
    fate: str = "waiting"

    @property
    def urgency(self) -> int:
        return self.number % 3


@dataclass
class Model:
    """What a mailbox does."""

    program: Program
    now: float = 0.0
    current: Message | None = None
    queue: list[Message] = field(default_factory=list[Message])
    blocked: deque[Message] = field(default_factory=deque[Message])
    messages: list[Message] = field(default_factory=list[Message])
    handled: list[int] = field(default_factory=list[int])
    ended: bool = False

    def send(self, *, asked: bool) -> None:
        message = Message(len(self.messages), asked)
        self.messages.append(message)
        if self.ended:
            message.fate = "stopped"
        elif self.current is None:
            self.handle(message)
        elif self.blocked:
            self.block(message)
        else:
            if len(self.queue) >= self.program.capacity:
                self.expire()
                self.queue = [other for other in self.queue if not other.void]
            if len(self.queue) < self.program.capacity:
                self.put(message)
            else:
                self.overflow(message)

    def overflow(self, message: Message) -> None:
        match self.program.overflow:
            case Overflow.BLOCK:
                self.block(message)
            case Overflow.REJECT:
                message.fate = "full"
            case Overflow.DROP_NEWEST:
                message.fate = "drop_newest"
            case Overflow.DROP_OLDEST:
                oldest = min(self.queue, key=lambda other: other.number)
                self.queue.remove(oldest)
                oldest.fate = "drop_oldest"
                self.put(message)

    def block(self, message: Message) -> None:
        if self.program.block_timeout is not None:
            message.deadline = self.now + self.program.block_timeout
        self.blocked.append(message)

    def put(self, message: Message) -> None:
        message.arrived = self.now
        self.queue.append(message)
        if not message.asked:
            message.fate = "sent"

    def expire(self) -> None:
        """Discard what has expired at the head of the queue."""
        while self.program.ttl is not None and self.queue:
            head = self.head()
            if head.void or self.now - head.arrived <= self.program.ttl:
                return
            self.queue.remove(head)
            head.fate = "expired"

    def head(self) -> Message:
        if self.program.priority:
            return min(self.queue, key=lambda message: (message.urgency, message.number))
        return self.queue[0]

    def admit(self) -> None:
        while self.blocked and len(self.queue) < self.program.capacity:
            self.put(self.blocked.popleft())

    def handle(self, message: Message) -> None:
        self.current = message
        self.handled.append(message.number)
        if not message.asked:
            message.fate = "sent"

    def next(self) -> None:
        """The handler is done: take what comes next."""
        self.current = None
        self.queue = [message for message in self.queue if not message.void]
        self.admit()
        self.expire()
        if self.queue:
            message = self.head()
            self.queue.remove(message)
            self.admit()
            self.handle(message)
        elif self.blocked:
            self.next()

    def finish(self, fate: str) -> None:
        if self.current is not None:
            if self.current.asked:
                self.current.fate = fate
            self.next()

    def cancel(self, message: Message) -> None:
        """Its sender leaves, if it is still there."""
        if message.fate != "waiting":
            return
        message.fate = "left"
        if message is self.current:
            self.next()
        elif message in self.blocked:
            self.blocked.remove(message)
        else:
            message.void = True
            self.expire()  # whoever looks into the mailbox finds what has expired
            if self.blocked:
                self.queue = [other for other in self.queue if not other.void]
                self.admit()

    def wait(self, until: float) -> None:
        for message in [message for message in self.blocked if message.deadline <= until]:
            self.blocked.remove(message)
            message.fate = "full"
        self.now = until

    def stop(self) -> None:
        self.ended = True
        if self.current is not None and self.current.asked:
            self.current.fate = "cancelled"
        for message in [*self.queue, *self.blocked]:
            if not message.void:
                message.fate = "stopped"
        self.current = None
        self.queue.clear()
        self.blocked.clear()


# --- the kernel -----------------------------------------------------------------------------------


class Holder(Actor):
    """Holds each message until it is released, and crashes with it if told so."""

    def __init__(self, handled: list[int], gates: deque[anyio.Event], crashes: list[bool]) -> None:
        self.handled = handled
        self.gates = gates
        self.crashes = crashes

    async def receive(self, message: int) -> int:
        self.handled.append(message)
        gate = anyio.Event()
        self.gates.append(gate)
        try:
            await gate.wait()
        finally:
            self.gates.remove(gate)
        if self.crashes:
            self.crashes.clear()
            raise LookupError("crash")
        return message


class Bench:
    """The senders, and what they were told."""

    def __init__(self, ref: ActorRef, gates: deque[anyio.Event], crashes: list[bool]) -> None:
        self.ref = ref
        self.gates = gates
        self.crashes = crashes
        self.fates: dict[int, str] = {}
        self.scopes: dict[int, anyio.CancelScope] = {}

    async def send(self, number: int, *, asked: bool) -> None:
        fate = "left"
        with anyio.CancelScope() as self.scopes[number]:
            try:
                if asked:
                    fate = "answered" if await self.ref.ask(number, timeout=None) == number else "wrong"
                else:
                    await self.ref.tell(number)
                    fate = "sent"
            except MailboxFull:
                fate = "full"
            except MessageDiscarded as error:
                fate = error.reason
            except ActorFailed:
                fate = "failed"
            except ActorStopped:
                fate = "stopped"
        self.fates[number] = fate


async def run(program: Program) -> None:
    """Run a program on both and compare the fate of each message after each step."""
    model = Model(program)
    handled, gates, crashes = list[int](), deque[anyio.Event](), list[bool]()
    discarded: list[tuple[int, str]] = []
    mailbox = Mailbox(
        capacity=program.capacity,
        overflow=program.overflow,
        ttl=program.ttl,
        block_timeout=program.block_timeout,
        priority=urgency if program.priority else None,
        on_discard=lambda message, reason: discarded.append((int(str(message)), str(reason))),
    )
    async with (
        ActorSystem(supervisor=Supervisor(max_restarts=1000, backoff=None), log_transitions=False) as system,
        anyio.create_task_group() as senders,
    ):
        ref = await system.spawn(Holder.spec(handled, gates, crashes).with_options(mailbox=mailbox))
        bench = Bench(ref, gates, crashes)
        for kind, number in program.steps:
            match kind:
                case "tell" | "ask":
                    model.send(asked=kind == "ask")
                    sending = model.messages[-1]
                    senders.start_soon(lambda message=sending: bench.send(message.number, asked=message.asked))
                case "release" | "crash":
                    if gates:
                        crashes[:] = [True] if kind == "crash" else []
                        gates[0].set()
                    model.finish("failed" if kind == "crash" else "answered")
                case "cancel":
                    if model.messages:
                        message = model.messages[number % len(model.messages)]
                        bench.scopes[message.number].cancel()
                        model.cancel(message)
                case "wait":
                    model.wait(anyio.current_time() + number)
                    await anyio.sleep(number)
                case _:
                    if not model.ended and number > 15:
                        model.stop()
                        await ref.kill()
            await anyio.lowlevel.checkpoint()
            await settle()
            model.now = anyio.current_time()
            compare(model, bench, handled, discarded, f"after {kind} {number}")
            assert ref.cell.mailbox is None or len(ref.cell.mailbox) <= program.capacity
        model.stop()
        await ref.kill()
        await settle()
        compare(model, bench, handled, discarded, "at the end")
        letters = [letter.message for letter in system.dead_letters]
        lost = [message.number for message in model.messages if message.fate == "stopped" and not message.asked]
        assert len(letters) == len(set(letters))
        assert set(lost) <= set(letters)
        senders.cancel_scope.cancel()


def urgency(message: Any) -> float:
    """Return what the model says, too."""
    return message % 3


async def settle() -> None:
    """Let everything happen that can; on a virtual clock nothing runs while this sleeps."""
    await anyio.sleep(1e-6)


def compare(model: Model, bench: Bench, handled: list[int], discarded: list[tuple[int, str]], when: str) -> None:
    """Check what senders know, what was handled, and what was discarded."""
    assert handled == model.handled, when
    said = {number: fate for number, fate in bench.fates.items()}
    for message in model.messages:
        fate = message.fate
        if not message.asked and fate in {"stopped", "expired", "drop_oldest", "drop_newest"}:
            fate = "sent"  # to its sender
        if fate == "cancelled":
            fate = "stopped"
        assert said.get(message.number, "waiting") == fate, f"{when}: {message}"
    fates = [(message.number, message.fate) for message in model.messages]
    expected = [entry for entry in fates if entry[1] in {"expired", "drop_oldest", "drop_newest"}]
    assert sorted(discarded) == expected, when


@pytest.mark.timeout(600)
@settings(max_examples=20 * settings().max_examples)  # 2,000 in CI
@given(programs())
def test_rule_02_mailboxes_behave_as_their_model(program: Program) -> None:
    """Whatever is sent, cancelled, let go or late: each message has the fate that its policy says, and one only."""
    VirtualClock("asyncio").run(run, program)


@pytest.mark.parametrize("backend", ["uvloop", "trio"])
@given(programs())
def test_rule_02_mailboxes_behave_the_same_on_every_loop(backend: str, program: Program) -> None:
    """The same, with fewer examples."""
    VirtualClock(backend).run(run, program)
