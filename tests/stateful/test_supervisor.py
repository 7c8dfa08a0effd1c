"""Random trees under random failures, against a model of a supervisor in plain Python."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

import anyio
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm_actors.errors import ActorFailed, ActorStopped
from tinyllm_actors.kernel import Actor, ActorSystem, ExitReason, Restart, Strategy, Supervisor

EXAMPLES: Final = int(os.environ.get("STATEFUL_EXAMPLES", "700"))  # on each of three back ends

BACKENDS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("asyncio", {}),
    ("asyncio", {"use_uvloop": True}),
    ("trio", {}),
]


class Child(Actor):
    """Writes down when it starts and stops, and ends as it is told."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def started(self) -> None:
        self.log.append(f"+{self.name}")

    async def receive(self, message: str) -> int:
        if message == "crash":
            raise ValueError("as told")
        if message == "leave":
            self.context.stop()
        return self.context.incarnation

    async def stopped(self, reason: ExitReason) -> None:
        self.log.append(f"-{self.name}")


@dataclass
class Expected:
    """What the model knows of one child."""

    restart: Restart
    incarnation: int = 1


class Model:
    """A supervisor as OTP describes it: which children live, which incarnation, and in what order they move."""

    def __init__(self, strategy: Strategy, restarts: list[Restart]) -> None:
        self.strategy = strategy
        self.children = {str(index): Expected(restart) for index, restart in enumerate(restarts)}
        self.log = [f"+{name}" for name in self.children]

    def end(self, name: str) -> None:
        """The child ends for good."""
        self.log.append(f"-{name}")
        del self.children[name]

    def fail(self, name: str, *, normally: bool) -> None:
        """The child ended by itself."""
        restart = self.children[name].restart
        if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and normally):
            self.end(name)
            return
        names = list(self.children)
        affected = {
            Strategy.ONE_FOR_ONE: [name],
            Strategy.ONE_FOR_ALL: names,
            Strategy.REST_FOR_ONE: names[names.index(name) :],
        }[self.strategy]
        for other in reversed(affected):
            if other != name and self.children[other].restart is Restart.TEMPORARY:
                self.end(other)
            else:
                self.log.append(f"-{other}")
        for other in affected:
            if other in self.children:
                self.children[other].incarnation += 1
                self.log.append(f"+{other}")


Step = tuple[Literal["crash", "leave", "stop", "kill"], int]

STEPS = st.lists(st.tuples(st.sampled_from(["crash", "leave", "stop", "kill"]), st.integers(0, 4)), max_size=8)


async def play(strategy: Strategy, restarts: list[Restart], steps: list[Step]) -> None:
    """Do the steps in a real system and in the model, and compare after each."""
    model = Model(strategy, restarts)
    log: list[str] = []
    policy = Supervisor(strategy=strategy, max_restarts=1000, period=1.0, backoff=None)
    async with ActorSystem("test", log_transitions=False) as system:
        specs = [
            Child.spec(name, log).named(name).with_options(restart=child.restart)
            for name, child in model.children.items()
        ]
        await system.supervise(policy, specs, name="tree")
        for what, index in steps:
            name = str(index)
            if name not in model.children:
                continue
            ref: Any = system[f"tree/{name}"]
            if what == "stop":
                await ref.stop()
                model.end(name)
            elif what == "kill":
                await ref.kill()
                del model.children[name]
            else:
                with suppress(ActorFailed, ActorStopped):
                    await ref.ask(what)
                model.fail(name, normally=what == "leave")
            await anyio.wait_all_tasks_blocked()
            await compare(system, model, log)


async def compare(system: ActorSystem, model: Model, log: list[str]) -> None:
    """The same children live, in the same order and incarnation, and everything happened in the same order."""
    (tree,) = (node for node in system.inspect().children if node.name == "tree")
    assert [child.name for child in tree.children] == list(model.children)
    for name, expected in model.children.items():
        assert await system[f"tree/{name}"].ask("who?", timeout=5.0) == expected.incarnation
    assert log == model.log


@pytest.fixture(scope="module", autouse=True)
def _silence() -> Any:
    """Write nothing: there are thousands of failures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("backend", "options"), BACKENDS, ids=["asyncio", "uvloop", "trio"])
def test_a_tree_does_what_the_model_says(backend: str, options: dict[str, Any]) -> None:
    """For every strategy, restart types, crashes, normal ends, stops and kills."""

    @settings(max_examples=EXAMPLES)
    @given(st.sampled_from(Strategy), st.lists(st.sampled_from(Restart), min_size=1, max_size=5), STEPS)
    def run(strategy: Strategy, restarts: list[Restart], steps: list[Any]) -> None:
        anyio.run(play, strategy, restarts, steps, backend=backend, backend_options=options)

    run()
