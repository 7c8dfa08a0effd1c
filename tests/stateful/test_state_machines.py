"""Random state machines under random messages, against a model in plain Python of what OTP's `gen_statem` documents.

Each message says what its handler does in each state, as a state machine's handler says it: as data. Time is counted
so that nothing from outside comes at the instant of a time-out: what the order is then, nobody promises. Time-outs
that coincide with each other, with messages that come back and with inserted ones are what this is about.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm_actors.errors import ActorFailed, MailboxFull
from tinyllm_actors.kernel import (
    ActorSystem,
    CancelTimeout,
    Keep,
    Machine,
    Mailbox,
    NamedTimeout,
    Next,
    NextEvent,
    Postpone,
    Reply,
    StateMachineActor,
    StateTimeout,
    Supervisor,
)
from tinyllm_actors.testing import VirtualClock

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from tinyllm_actors.kernel import ActorRef

STATES: Final = "abc"
EDGES: Final = {
    ("a", "on"): "b",
    ("b", "on"): "c",
    ("c", "on"): "a",
    ("b", "back"): "a",
    ("b", "again"): "b",
    ("a", "again"): "a",
}
KINDS: Final = 3
MAX_POSTPONED: Final = 3
MAX_HANDLED: Final = 24  # messages may beget messages for ever; what comes later does nothing
MAX_NAPS: Final = 14  # handlers that take time; each takes a length of its own, so that no two instants coincide


@dataclass(frozen=True)
class Reaction:
    """What a message does in one state: for how long, what its handler returns, and with which actions."""

    nap: int | None
    kind: str  # keep, plain, crash, or the state to go to
    actions: tuple[tuple[Any, ...], ...]


@dataclass
class Program:
    """A machine, and what happens to it.

    Attributes:
        reactions: of each kind of message, by state.
        entries: what each state does when it is entered; no kind but keep and crash.
        steps: what is done from outside, and seconds to wait before it.
    """

    mailbox: Mailbox
    dedicated: bool
    reactions: list[dict[str, Reaction]]
    entries: dict[str, Reaction]
    steps: list[tuple[int, str, int]]


MESSAGE = st.integers(0, KINDS - 1)
SECONDS = st.integers(0, 3)
TIMED = st.one_of(
    st.tuples(st.just("state"), st.one_of(SECONDS, st.none()), MESSAGE),
    st.tuples(st.just("named"), st.sampled_from("xy"), SECONDS, MESSAGE),
    st.tuples(st.just("cancel"), st.sampled_from("xy")),
    st.tuples(st.just("next"), MESSAGE),
)
ACTION = st.one_of(TIMED, st.just(("postpone",)), st.just(("reply",)))
NAP = st.sampled_from([None, None, None, 0, 1, 2])
HANDLER = st.builds(
    Reaction,
    NAP,
    st.sampled_from(["keep", "plain", "crash", *STATES, *STATES]),
    st.lists(ACTION, max_size=3).map(tuple),
)
ENTRY = st.builds(Reaction, NAP, st.sampled_from(["keep"] * 5 + ["crash"]), st.lists(TIMED, max_size=2).map(tuple))


@st.composite
def programs(draw: DrawFn) -> Program:
    """Draw a machine and what happens to it."""
    return Program(
        draw(st.sampled_from([Mailbox(), Mailbox(), Mailbox(priority=lambda _: 0.0), Mailbox(ttl=1e9)])),
        draw(st.sampled_from([False, False, True])),
        [{state: draw(HANDLER) for state in STATES} for _ in range(KINDS)],
        {state: draw(ENTRY) for state in STATES},
        draw(
            st.lists(
                st.tuples(st.integers(0, 3), st.sampled_from(["tell", "ask", "ask", "leave"]), st.integers(0, 20)),
                min_size=1,
                max_size=10,
            )
        ),
    )


def length(nap: int, number: int) -> float:
    """Return how long the handler naps that is the `number`-th to do so: no sum of other lengths is as long."""
    return nap + 2.0 ** -(number + 13)


# --- the model ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Event:
    """A message; `number` tells asks apart, and is None for what the machine sends itself."""

    kind: int
    number: int | None = None
    asked: bool = False


@dataclass(eq=False)
class Timer:
    """A time-out, and its message once it is over."""

    when: float
    sequence: int
    name: str
    kind: int
    fired: Event | None = None


class Crashed(Exception):
    """The handler or the entry raised."""


@dataclass
class Model:
    """What a state machine does."""

    program: Program
    now: float = 0.0
    state: str = "a"
    log: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    fates: dict[int, str] = field(default_factory=dict[int, str])
    naps: int = 0
    handled: int = 0
    # What is handled next comes from the first of these that has something.
    internal: deque[Event] = field(default_factory=deque[Event])  # inserted, or come back
    fired: deque[Event] = field(default_factory=deque[Event])
    user: deque[Event] = field(default_factory=deque[Event])
    postponed: list[Event] = field(default_factory=list[Event])
    timers: dict[str, Timer] = field(default_factory=dict[str, Timer])
    sequence: itertools.count[int] = field(default_factory=itertools.count)
    current: Event | None = None
    reaction: Reaction | None = None  # of the message in processing
    source: str = "a"  # the state in which it is handled
    entering: bool = False  # it has changed the state
    wakes: float | None = None  # when the nap of whatever runs is over

    def start(self) -> None:
        """Begin an incarnation."""
        self.state = "a"
        self.current = Event(-1)
        self.reaction, self.source, self.entering = Reaction(None, "a", ()), "a", True
        self.enter(None)

    # --- one message

    def go_on(self) -> None:
        """Handle messages until one takes time, or there is none."""
        while self.current is None:
            queue = self.internal or self.fired or self.user
            if not queue:
                return
            self.current = event = queue.popleft()
            for name, timer in list(self.timers.items()):
                if timer.fired is event:
                    del self.timers[name]  # it is out of reach now, even if it is postponed
            self.log.append((self.now, self.state, event.kind, event.number))
            self.handled += 1
            reaction = self.program.reactions[event.kind][self.state]
            if self.handled > MAX_HANDLED:
                reaction = Reaction(None, "plain", ())
            self.reaction, self.source, self.entering = reaction, self.state, False
            self.nap_or(reaction)

    def nap_or(self, reaction: Reaction) -> None:
        if reaction.nap is not None and self.naps < MAX_NAPS:
            self.naps += 1
            self.wakes = self.now + length(reaction.nap, self.naps)
        else:
            self.woke()

    def woke(self) -> None:
        """What runs comes to its end."""
        self.wakes = None
        assert self.reaction is not None
        if self.entering:
            self.entered()
        else:
            self.returned(self.reaction)

    def returned(self, reaction: Reaction) -> None:
        """A handler returned."""
        if reaction.kind == "crash" or (reaction.kind in STATES and (self.state, reaction.kind) not in PAIRS):
            self.crash()
        elif reaction.kind == "plain":
            self.finish("plain")
        elif reaction.kind in {"keep", self.state}:
            self.conclude(reaction.actions, changed=False)
        else:
            self.state = reaction.kind
            self.cancel("state")
            self.entering = True
            self.enter(self.source)

    def enter(self, source: str | None) -> None:
        self.log.append((self.now, self.state, "from", source))
        self.nap_or(self.program.entries[self.state])

    def entered(self) -> None:
        entry = self.program.entries[self.state]
        assert self.current is not None
        assert self.reaction is not None
        starting = self.current.kind == -1
        if entry.kind == "crash" and not starting:
            self.crash()
        else:
            self.conclude((*self.reaction.actions, *entry.actions), changed=not starting)

    def conclude(self, actions: tuple[tuple[Any, ...], ...], *, changed: bool) -> None:
        """Do what the actions say, in the order that `gen_statem` documents."""
        event = self.current
        assert event is not None
        answer = "None"
        inserted: list[Event] = []
        for action in actions:
            match action:
                case ("reply",):
                    answer = "replied"
                case ("next", kind):
                    inserted.append(Event(kind))
                case ("cancel", name):
                    self.cancel(name)
                case ("state", None, _):
                    self.cancel("state")
                case ("state", seconds, kind):
                    self.arm("state", seconds, kind)
                case ("named", name, seconds, kind):
                    self.arm(name, seconds, kind)
                case _:
                    pass
        gone = event.number is not None and self.fates.get(event.number) == "left"  # while the state was entered
        postpones = ("postpone",) in actions and not gone
        if postpones and len(self.postponed) >= MAX_POSTPONED:
            self.answer(event, "full")
        elif postpones:
            self.postponed.append(event)
        else:
            self.answer(event, answer)
        if changed:
            self.internal.extendleft(reversed(self.postponed))
            self.postponed.clear()
        self.internal.extendleft(reversed(inserted))
        self.current = None
        self.go_on()

    def arm(self, name: str, seconds: int, kind: int) -> None:
        self.cancel(name)
        self.timers[name] = timer = Timer(self.now + seconds, next(self.sequence), name, kind)
        if seconds == 0:
            self.fire(timer)

    def fire(self, timer: Timer) -> None:
        timer.fired = Event(timer.kind)
        self.fired.append(timer.fired)

    def cancel(self, name: str) -> None:
        timer = self.timers.pop(name, None)
        if timer is not None and timer.fired is not None:
            self.fired.remove(timer.fired)

    def crash(self) -> None:
        """The next incarnation gets what others had sent, and nothing that this one sent itself."""
        self.finish("failed", go_on=False)
        self.timers.clear()
        self.fired.clear()
        self.internal = deque(event for event in (*self.postponed, *self.internal) if event.number is not None)
        self.postponed.clear()
        self.start()

    def finish(self, fate: str, *, go_on: bool = True) -> None:
        assert self.current is not None
        self.answer(self.current, fate)
        self.current = None
        if go_on:
            self.go_on()

    def answer(self, event: Event, fate: str) -> None:
        if event.asked:
            assert event.number is not None
            self.fates.setdefault(event.number, fate)

    # --- from outside

    def send(self, event: Event) -> None:
        self.user.append(event)
        self.go_on()

    def leave(self, number: int) -> None:
        """An asker that still waits goes; its message ends, unless it has changed the state already."""
        if number in self.fates:
            return
        self.fates[number] = "left"
        for queue in (self.internal, self.user, self.postponed):
            for event in list(queue):
                if event.number == number:
                    queue.remove(event)
        if self.current is not None and self.current.number == number:
            if self.entering:
                return
            self.wakes = None
            self.current = None
            self.go_on()

    def pass_time(self, until: float) -> None:
        while True:
            due = [timer for timer in self.timers.values() if timer.fired is None]
            timer = min(due, key=lambda timer: (timer.when, timer.sequence), default=None)
            if self.wakes is not None and (timer is None or self.wakes < timer.when):
                if self.wakes > until:
                    break
                self.now = self.wakes
                self.woke()
            elif timer is not None and timer.when <= until:
                self.now = timer.when
                same = [other for other in due if other.when == timer.when]
                for other in sorted(same, key=lambda timer: timer.sequence):
                    self.fire(other)
                self.go_on()
            else:
                break
        self.now = until


PAIRS: Final = {(source, target) for (source, _), target in EDGES.items()}


# --- the kernel -----------------------------------------------------------------------------------


@dataclass
class Shared:
    """What outlives incarnations."""

    program: Program
    log: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    naps: int = 0
    handled: int = 0

    async def nap(self, reaction: Reaction) -> None:
        if reaction.nap is not None and self.naps < MAX_NAPS:
            self.naps += 1
            await anyio.sleep_until(anyio.current_time() + length(reaction.nap, self.naps))


class Subject(StateMachineActor):
    """Does what its program says."""

    machine = Machine("subject", EDGES, initial="a")
    max_postponed = MAX_POSTPONED

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    async def on_any(self, message: int | tuple[int, int]) -> Any:
        kind, number = message if isinstance(message, tuple) else (message, None)
        shared = self.shared
        shared.log.append((anyio.current_time(), self.state, kind, number))
        shared.handled += 1
        reaction = shared.program.reactions[kind][self.state]
        if shared.handled > MAX_HANDLED:
            return "plain"
        await shared.nap(reaction)
        match reaction.kind:
            case "keep":
                return Keep(actions_of(reaction))
            case "plain":
                return "plain"
            case "crash":
                raise LookupError("crash")
            case state:
                return Next(state, actions_of(reaction))

    async def enter(self, source: str | None) -> list[Any]:
        self.shared.log.append((anyio.current_time(), self.state, "from", source))
        entry = self.shared.program.entries[self.state]
        await self.shared.nap(entry)
        if entry.kind == "crash" and source is not None:
            raise LookupError("crash")
        return actions_of(entry)

    enter_a = enter_b = enter_c = enter


def actions_of(reaction: Reaction) -> list[Any]:
    """Return the actions as a state machine's handler returns them."""
    makers: dict[str, Any] = {
        "state": StateTimeout,
        "named": NamedTimeout,
        "cancel": CancelTimeout,
        "next": NextEvent,
        "postpone": Postpone,
        "reply": lambda: Reply("replied"),
    }
    return [makers[name](*arguments) for name, *arguments in reaction.actions]


async def ask(ref: ActorRef, message: Any, fates: dict[int, str], scope: anyio.CancelScope) -> None:
    """Ask, and note what came of it."""
    fate = "left"
    with scope:
        try:
            fate = str(await ref.ask(message, timeout=None))
        except MailboxFull:
            fate = "full"
        except ActorFailed:
            fate = "failed"
    fates[message[1]] = fate


async def run(program: Program) -> None:
    """Run a program on both, and compare what was handled, when, in which state, and what was answered."""
    model, shared = Model(program), Shared(program)
    fates: dict[int, str] = {}
    scopes: dict[int, anyio.CancelScope] = {}
    async with (
        ActorSystem(supervisor=Supervisor(max_restarts=10_000, backoff=None), log_transitions=False) as system,
        anyio.create_task_group() as askers,
    ):
        begin = anyio.current_time()
        model.now = begin
        spec = Subject.spec(shared).with_options(mailbox=program.mailbox, dedicated=program.dedicated)
        refs: list[ActorRef] = []

        async def spawn() -> None:  # which takes as long as the entry of the first state
            refs.append(await system.spawn(spec))

        askers.start_soon(spawn)
        model.start()
        for step, (seconds, kind, number) in enumerate([(5, "wait", 0), *program.steps, (50, "wait", 0)]):
            until = anyio.current_time() + seconds + 2.0 ** -(step + 2)
            await anyio.sleep_until(until)
            model.pass_time(anyio.current_time())
            compare(model, shared, fates, f"before {kind} {number} at {until}")
            (ref,) = refs
            message = (number % KINDS, step)
            match kind:
                case "tell":
                    model.send(Event(*message))
                    await ref.tell(message)
                case "ask":
                    model.send(Event(*message, asked=True))
                    scopes[step] = scope = anyio.CancelScope()
                    askers.start_soon(ask, ref, message, fates, scope)
                case "leave" if scopes:
                    leaver = list(scopes)[number % len(scopes)]
                    model.leave(leaver)
                    scopes[leaver].cancel()
                case _:
                    pass
        node = system.inspect(refs[0].path)
        assert node.machines == {"subject": model.state}
        assert node.postponed == len(model.postponed)
        for scope in scopes.values():
            scope.cancel()


def compare(model: Model, shared: Shared, fates: dict[int, str], when: str) -> None:
    """Check the log, and what askers know."""
    assert shared.log == model.log, when
    assert fates == model.fates, when


@pytest.mark.timeout(600)
@settings(max_examples=20 * settings().max_examples)  # 2,000 in CI
@given(programs())
def test_rule_17_machines_behave_as_their_model(program: Program) -> None:
    """Whatever handlers and entries return: each message is handled when, where and as often as documented."""
    VirtualClock("asyncio").run(run, program)


@pytest.mark.parametrize("backend", ["uvloop", "trio"])
@given(programs())
def test_rule_17_machines_behave_the_same_on_every_loop(backend: str, program: Program) -> None:
    """The same, with fewer examples."""
    VirtualClock(backend).run(run, program)
