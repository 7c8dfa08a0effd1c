"""Random state machines under random messages, against a model in plain Python of what OTP's `gen_statem` documents.

Each message says what its handler does in each state, as a state machine's handler says it: as data. Time is counted
so that nothing from outside comes at the instant of a time-out: what the order is then, nobody promises. Time-outs
that coincide with each other, with messages that come back and with inserted ones are what this is about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stateful.machine_model import (
    EDGES,
    MAX_HANDLED,
    MAX_NAPS,
    MAX_POSTPONED,
    STATES,
    Event,
    Model,
    Program,
    Reaction,
    length,
)
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

KINDS: Final = 3


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


# --- the model ------------------------------------------------------------------------------------


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
