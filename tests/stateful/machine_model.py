"""What a state machine does by its documentation: the model that the real one is compared with."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.kernel import (
    Mailbox,
)

if TYPE_CHECKING:
    pass


STATES: Final = "abc"


EDGES: Final = {
    ("a", "on"): "b",
    ("b", "on"): "c",
    ("c", "on"): "a",
    ("b", "back"): "a",
    ("b", "again"): "b",
    ("a", "again"): "a",
}


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


def length(nap: int, number: int) -> float:
    """Return how long the handler naps that is the `number`-th to do so: no sum of other lengths is as long."""
    return nap + 2.0 ** -(number + 13)


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
