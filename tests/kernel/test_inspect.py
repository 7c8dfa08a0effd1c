"""The live tree (rule 20)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, SystemClosed, UnknownActor
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ChildOptions,
    Machine,
    Mailbox,
    Next,
    Pool,
    Postpone,
    Restart,
    StateMachineActor,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.kernel import ActorNode, ActorRef

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=3, period=1000.0, backoff=None)


class Question:
    """A message whose type has a name and whose content is private."""

    def __init__(self, content: str) -> None:
        self.content = content


class Busy(Actor):
    """Asks another, or waits for ever."""

    def __init__(self, other: ActorRef | None = None) -> None:
        self.other = other

    async def receive(self, message: object) -> Any:
        if self.other is not None:
            return await self.other.ask(message)
        await anyio.sleep_forever()


async def until_busy(*refs: ActorRef) -> None:
    """Wait until each of these actors holds a message."""
    while any(ref.cell.current is None for ref in refs):
        await anyio.lowlevel.checkpoint()


async def test_rule_20_the_tree_shows_paths_classes_and_states() -> None:
    """In start order, with a line for each actor, as data and as text."""
    async with ActorSystem("inn") as system:
        tree = [Puppet.spec().named("ann"), Puppet.spec().named("ben")]
        await system.supervise(Supervisor(), tree, name="kitchen")
        waiter = await system.spawn(Puppet, name="waiter")
        await waiter.suspend()
        root = system.inspect()
        assert [(node.path, node.actor, node.state) for node in root.walk()] == [
            ("inn", "_Root", "RUNNING"),
            ("kitchen", "SupervisorNode", "RUNNING"),
            ("kitchen/ann", "Puppet", "RUNNING"),
            ("kitchen/ben", "Puppet", "RUNNING"),
            ("waiter", "Puppet", "SUSPENDED"),
        ]
        assert root.render() == "\n".join(
            [
                "inn",
                "├── kitchen  SupervisorNode RUNNING",
                "│   ├── ann  Puppet RUNNING",
                "│   └── ben  Puppet RUNNING",
                "└── waiter  Puppet SUSPENDED",
            ]
        )
        assert root.find("kitchen/ben") is not None
        assert root.find("kitchen/eve") is None
        assert system.inspect("kitchen").render().splitlines()[0] == "kitchen"
        assert [node.path for node in system.inspect("kitchen").children] == ["kitchen/ann", "kitchen/ben"]
        with pytest.raises(UnknownActor, match="'kitchen/eve'"):
            system.inspect("kitchen/eve")
        await waiter.resume()
    with pytest.raises(SystemClosed):
        system.inspect()


@pytest.mark.virtual_time
async def test_rule_20_it_shows_what_is_in_processing_and_who_waits_for_whom() -> None:
    """The type of the message and for how long, the depth of the mailbox, the wait-for edges; never the content."""
    async with ActorSystem("s") as system:
        last = await system.spawn(Busy, name="last")
        first = await system.spawn(Busy.spec(last).with_options(mailbox=Mailbox(capacity=2)), name="first")
        for _ in range(3):
            await first.tell(Question("secret"))
            await anyio.sleep(1.0)
        root = system.inspect()
        node, asked = root.children[1], root.children[0]
        assert (node.message, node.busy_for, node.depth, node.capacity) == ("Question", 3.0, 2, 2)
        assert node.waits_for == ("last",)
        assert asked.message == "Question"
        assert asked.message_id > node.message_id > 0
        assert node.line() == "first  Busy RUNNING  on Question for 3.0 s  waits for last  2 waiting"
        assert "secret" not in root.render() + json.dumps(root.to_dict())
        await first.kill()
        await last.kill()


async def test_rule_20_senders_that_wait_for_room_count_as_waiting() -> None:
    """They are part of the depth."""
    async with ActorSystem() as system:
        busy = await system.spawn(Busy.spec().with_options(mailbox=Mailbox(capacity=1)), name="busy")
        await busy.tell("in processing")
        await until_busy(busy)
        await busy.tell("in the mailbox")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(busy.tell, "no room")
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            assert system.inspect("busy").depth == 2
            await busy.kill()


async def test_rule_20_an_actor_that_looks_sees_itself_at_work() -> None:
    """Also in a handler that has not waited yet."""
    async with ActorSystem() as system:
        puppet = await system.spawn(Puppet, name="puppet")

        def look(self: Puppet) -> ActorNode:
            return self.context.system.inspect("puppet")

        node = await Puppet.do(puppet, look)
        assert node.message == "function"
        assert node.busy_for == 0.0
        assert system.inspect("puppet").message is None


async def test_rule_20_it_shows_incarnations_and_restarts_left() -> None:
    """The smaller of the supervisor's bound and the child's own; before and after failures."""
    async with ActorSystem(supervisor=PATIENT) as system:
        puppet = await system.spawn(Puppet, name="puppet")
        own = await system.spawn(Puppet.spec().with_options(max_restarts=1), name="own")
        assert [node.restarts_left for node in system.inspect().children] == [3, 1]
        assert system.inspect().restarts_left is None
        for ref in (puppet, own):
            with pytest.raises(ActorFailed):
                await Puppet.do(ref, lambda _: 1 / 0)
            await Puppet.do(ref, lambda _: None)
        assert [(node.incarnation, node.restarts_left) for node in system.inspect().children] == [(2, 1), (2, 0)]
        assert system.inspect("puppet").line() == "puppet  Puppet RUNNING  #2"


async def test_rule_20_it_shows_the_states_of_machines() -> None:
    """And what they have put off; a machine that cannot say does no harm."""

    class Lamp(StateMachineActor):
        machine = Machine("lamp", {("off", "press"): "on"}, initial="off")

        def on_off(self, message: str) -> object:
            return Next("on") if message == "press" else Postpone()

        def on_on(self, message: str) -> str:
            return message

    class Broken(Puppet):
        def machine_states(self) -> Mapping[str, str]:
            raise LookupError("broken")

    async with ActorSystem() as system:
        lamp = await system.spawn(Lamp, name="lamp")
        await system.spawn(Broken, name="broken")
        await lamp.tell("later")
        while not system.inspect("lamp").postponed:
            await anyio.lowlevel.checkpoint()
        assert system.inspect("lamp").line() == "lamp  Lamp RUNNING  lamp:off  1 postponed"
        await lamp.ask("press")
        assert system.inspect("lamp").machines == {"lamp": "on"}
        assert system.inspect("broken").machines == {"?": "LookupError"}


async def test_rule_20_it_shows_who_has_a_task_of_its_own() -> None:
    """A dedicated actor, and what it handles."""

    class Own(Busy):
        options = ChildOptions(dedicated=True)

    async with ActorSystem() as system:
        own = await system.spawn(Own, name="own")
        await own.tell(Question("?"))
        await until_busy(own)
        assert system.inspect("own").dedicated
        assert system.inspect("own").message == "Question"
        await own.kill()


async def test_rule_20_the_tree_is_data() -> None:
    """`to_dict()` holds nothing but what JSON knows, with children inside."""
    async with ActorSystem("s") as system:
        await system.spawn(Pool.spec(Puppet.spec(), 2), name="pool")
        data = json.loads(json.dumps(system.inspect().to_dict()))
        assert data["name"] == "s"
        assert [child["path"] for child in data["children"][0]["children"]] == ["pool/1", "pool/2"]
        assert data["children"][0]["children"][1]["machines"] == {}
        assert set(data) == {*system.inspect().__slots__}


async def test_rule_20_a_restarting_actor_is_shown() -> None:
    """With its class by its spec, since there is no object."""
    async with ActorSystem() as system:
        gate = anyio.Event()

        class Slow(Puppet):
            async def started(self) -> None:
                if self.context.incarnation > 1:
                    await gate.wait()

        slow = await system.spawn(Slow, name="slow")
        with pytest.raises(ActorFailed):
            await Puppet.do(slow, lambda _: 1 / 0)
        node = system.inspect("slow")
        assert node.state in {"RESTARTING", "STARTING"}
        assert node.actor == "Slow"
        gate.set()


async def test_rule_20_a_look_costs_one_visit_to_each_actor() -> None:
    """Ten times the actors take about ten times as long, and a deep tree is no problem."""
    elapsed: list[float] = []
    for count in (500, 5_000):
        async with ActorSystem() as system:
            spec = Puppet.spec().with_options(restart=Restart.TEMPORARY)
            for _ in range(count):
                await system.spawn(spec)
            best = float("inf")
            for _ in range(5):
                start = time.process_time()
                assert len(system.inspect().children) == count
                best = min(best, time.process_time() - start)
            elapsed.append(best)
    assert elapsed[1] < 40 * elapsed[0]
    assert elapsed[1] < 1.0


async def test_rule_20_a_deep_tree_can_be_seen() -> None:
    """Deeper than Python's stack of calls would allow."""

    async def child_of(self: Puppet) -> ActorRef:
        return await self.context.spawn(Puppet, name="x")

    async with ActorSystem() as system:
        top = ref = await system.spawn(Puppet, name="x")
        for _ in range(200):
            ref = await Puppet.do(ref, child_of)
        deep = system.inspect()
        assert len(list(deep.walk())) == 202
        assert len(deep.render().splitlines()) == 202
        assert deep.to_dict()["children"][0]["path"] == "x"
        assert top.alive
