"""Random supervision trees under random crashes, stops and failed starts, against a model in plain Python.

The model knows the rules and nothing of the kernel: which children are affected, who comes back, how failures are
counted, and what escalates. After each step the live tree must be the model's, incarnation by incarnation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm_actors.errors import RestartLimitExceeded
from tinyllm_actors.kernel import Actor, ActorSystem, ChildSpec, Restart, Strategy, Supervisor
from tinyllm_actors.testing import VirtualClock

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

PERIOD = 10.0


# --- what is generated ----------------------------------------------------------------------------


@dataclass
class Leaf:
    """An actor of the tree.

    Attributes:
        hooks: whether it has a `started()`, which takes another way through the kernel.
        broken: which of its starts fail; the first one is 1.
    """

    name: str
    restart: Restart
    hooks: bool
    broken: frozenset[int]


@dataclass
class Branch:
    """A supervisor of the tree."""

    name: str
    strategy: Strategy
    max_restarts: int
    children: list[Leaf | Branch]


@dataclass
class Program:
    """A tree, and what happens to it."""

    root_restarts: int
    tops: list[Leaf | Branch]
    steps: list[tuple[str, int]]


@st.composite
def trees(draw: DrawFn, name: str, depth: int) -> Leaf | Branch:
    """Draw a part of a tree."""
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        return Leaf(
            name,
            draw(st.sampled_from(list(Restart))),
            draw(st.booleans()),
            draw(st.frozensets(st.integers(2, 5), max_size=2)),
        )
    count = draw(st.integers(1, 3))
    return Branch(
        name,
        draw(st.sampled_from(list(Strategy))),
        draw(st.integers(0, 3)),
        [draw(trees(str(number), depth - 1)) for number in range(count)],
    )


STEPS = st.tuples(st.sampled_from(["crash", "crash", "crash", "leave", "stop", "wait"]), st.integers(0, 30))


@st.composite
def programs(draw: DrawFn) -> Program:
    """Draw a tree and what happens to it."""
    tops = [draw(trees(str(number), 3)) for number in range(draw(st.integers(1, 2)))]
    return Program(draw(st.integers(0, 4)), tops, draw(st.lists(STEPS, min_size=1, max_size=10)))


# --- the model ------------------------------------------------------------------------------------


class Crashed(Exception):
    """A failure reached the root."""


@dataclass(eq=False)
class Node:
    """An actor as the model sees it."""

    path: str
    shape: Leaf | Branch
    parent: Node | None
    incarnation: int = 0
    state: str = "down"  # or "up", "gone"
    children: list[Node] = field(default_factory=list["Node"])
    failures: list[float] = field(default_factory=list[float])

    @property
    def restart(self) -> Restart:
        return self.shape.restart if isinstance(self.shape, Leaf) else Restart.PERMANENT


class Model:
    """What must be true of the tree."""

    def __init__(self, program: Program) -> None:
        self.starts: dict[str, int] = {}
        shape = Branch("", Strategy.ONE_FOR_ONE, program.root_restarts, program.tops)
        self.root = Node("", shape, None, 1, "up")
        self.now = 0.0
        for top in program.tops:
            assert self.start(self.add(self.root, top))

    def add(self, parent: Node, shape: Leaf | Branch) -> Node:
        path = f"{parent.path}/{shape.name}" if parent.path else shape.name
        node = Node(path, shape, parent)
        parent.children.append(node)
        return node

    # --- starting and stopping

    def start(self, node: Node) -> bool:
        """Start the next incarnation; False if that fails."""
        node.incarnation += 1
        if isinstance(node.shape, Leaf):
            self.starts[node.path] = self.starts.get(node.path, 0) + 1
            if self.starts[node.path] in node.shape.broken:
                return False
        else:
            first = node.incarnation == 1
            kept = {child.shape.name: child for child in node.children}
            node.children = []
            for shape in node.shape.children:
                child = kept.pop(shape.name, None)
                if child is None:
                    if not first and isinstance(shape, Leaf) and shape.restart is Restart.TEMPORARY:
                        continue
                    child = self.add(node, shape)
                    if not self.start(child):
                        node.children.remove(child)
                        self.end(child)
                        node.children += kept.values()
                        return False
                else:
                    node.children.append(child)
                    if not self.start(child):
                        node.children += kept.values()
                        return False
        node.state = "up"
        return True

    def halt(self, node: Node) -> None:
        """End an incarnation; temporary children end for good."""
        for child in reversed(list(node.children)):
            if child.restart is Restart.TEMPORARY:
                self.end(child)
            else:
                self.halt(child)
        node.state = "down"

    def end(self, node: Node) -> None:
        """End an actor, and all below, for good."""
        for child in reversed(list(node.children)):
            self.end(child)
        node.state = "gone"
        if node.parent is not None and node in node.parent.children:
            node.parent.children.remove(node)

    # --- failures

    def fail(self, node: Node) -> None:
        """An actor failed; what follows happens at one instant."""
        self.exited(node, abnormal=True)

    def exited(self, node: Node, *, abnormal: bool) -> None:
        supervisor = node.parent
        assert supervisor is not None
        assert isinstance(supervisor.shape, Branch)
        if node.restart is Restart.TEMPORARY or (node.restart is Restart.TRANSIENT and not abnormal):
            self.end(node)
            return
        supervisor.failures = [time for time in supervisor.failures if time >= self.now - PERIOD] + [self.now]
        if len(supervisor.failures) > supervisor.shape.max_restarts:
            supervisor.failures = []
            if supervisor.parent is None:
                raise Crashed
            self.fail(supervisor)
            return
        self.restart(supervisor, node)

    def restart(self, supervisor: Node, failed: Node) -> None:
        assert isinstance(supervisor.shape, Branch)
        siblings = supervisor.children
        match supervisor.shape.strategy:
            case Strategy.ONE_FOR_ONE:
                affected = [failed]
            case Strategy.ONE_FOR_ALL:
                affected = list(siblings)
            case Strategy.REST_FOR_ONE:
                affected = siblings[siblings.index(failed) :]
        for node in reversed(affected):
            if node is not failed and node.restart is Restart.TEMPORARY:
                self.end(node)
            else:
                self.halt(node)
        for node in affected:
            if node.state == "down" and not self.start(node):
                self.fail(node)
                # Whoever was to start after it is part of the restart that this failure began, or gone.

    # --- looking

    def live(self) -> dict[str, int]:
        """Return the incarnation of each running actor by its path."""
        found: dict[str, int] = {}
        stack = list(self.root.children)
        while stack:
            node = stack.pop()
            if node.state == "up":
                found[node.path] = node.incarnation
            stack += node.children
        return found

    def node(self, path: str) -> Node:
        return next(node for node in self.nodes() if node.path == path)

    def nodes(self) -> list[Node]:
        found: list[Node] = []
        stack = list(self.root.children)
        while stack:
            node = stack.pop()
            found.append(node)
            stack += node.children
        return found


# --- the kernel -----------------------------------------------------------------------------------


class Plain(Actor):
    """A leaf without hooks: its start fails in the constructor."""

    def __init__(self, path: str, starts: dict[str, int], broken: frozenset[int]) -> None:
        starts[path] = starts.get(path, 0) + 1
        if starts[path] in broken:
            raise LookupError(f"start {starts[path]} of {path}")

    async def receive(self, message: str) -> None:
        if message == "leave":
            self.context.stop()
        else:
            raise LookupError("crash")


class Hooked(Plain):
    """A leaf whose start fails in `started()`, after a wait."""

    def __init__(self, path: str, starts: dict[str, int], broken: frozenset[int]) -> None:
        self.arguments = path, starts, broken

    async def started(self) -> None:
        await anyio.lowlevel.checkpoint()
        super().__init__(*self.arguments)


def spec_of(shape: Leaf | Branch, prefix: str, starts: dict[str, int]) -> ChildSpec:
    """Return the spec of a part of the tree."""
    path = f"{prefix}/{shape.name}" if prefix else shape.name
    if isinstance(shape, Leaf):
        kind = Hooked if shape.hooks else Plain
        return kind.spec(path, starts, shape.broken).named(shape.name).with_options(restart=shape.restart)
    supervisor = Supervisor(strategy=shape.strategy, max_restarts=shape.max_restarts, period=PERIOD, backoff=None)
    return supervisor.spec([spec_of(child, path, starts) for child in shape.children]).named(shape.name)


async def run(program: Program) -> None:
    """Run a program on the kernel and on the model, and compare after each step."""
    model = Model(program)
    starts: dict[str, int] = {}
    root = Supervisor(max_restarts=program.root_restarts, period=PERIOD, backoff=None)
    crashes = False
    system = ActorSystem(supervisor=root, log_transitions=False)
    try:
        async with system:
            for top in program.tops:
                await system.spawn(spec_of(top, "", starts))
            for kind, number in program.steps:
                model.now = anyio.current_time()
                crashes = not await step(system, model, kind, number)
                await anyio.sleep(0.001)  # on a virtual clock: until nothing is left to do
                live = {
                    node.path: node.incarnation
                    for node in system.inspect().walk()
                    if node.state == "RUNNING" and node.path != system.name
                }
                assert not crashes
                assert live == model.live(), f"after {kind} {number}"
    except RestartLimitExceeded:
        assert crashes
    else:
        assert not crashes


async def step(system: ActorSystem, model: Model, kind: str, number: int) -> bool:
    """Let something happen in both. False if the model says that the system ends of it."""
    if kind == "wait":
        await anyio.sleep(float(number % 12))
        return True
    nodes = sorted((node for node in model.nodes() if node.state == "up"), key=lambda node: node.path)
    if kind != "stop":
        nodes = [node for node in nodes if isinstance(node.shape, Leaf)]
    if not nodes:
        return True
    node = nodes[number % len(nodes)]
    ref: Any = system[node.path]
    if kind == "stop":
        await ref.stop()
        model.end(node)
        return True
    try:
        if kind == "crash":
            model.fail(node)
        else:
            model.exited(node, abnormal=False)
    except Crashed:
        await ref.tell(kind)
        return False
    await ref.tell(kind)
    return True


@pytest.mark.timeout(600)
@settings(max_examples=20 * settings().max_examples)  # 2,000 in CI
@given(programs())
def test_rule_09_trees_behave_as_their_model(program: Program) -> None:
    """Whatever happens to a tree, those live that should, in the incarnation that they should."""
    VirtualClock("asyncio").run(run, program)


@pytest.mark.parametrize("backend", ["uvloop", "trio"])
@given(programs())
def test_rule_09_trees_behave_the_same_on_every_loop(backend: str, program: Program) -> None:
    """The same, with fewer examples."""
    VirtualClock(backend).run(run, program)
