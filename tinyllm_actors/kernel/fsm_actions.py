"""What a state of a `StateMachineActor` answers to a message: where to go, and what else to do, as data.

Source: OTP `gen_statem`, transition actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyllm_actors.kernel.deferred import ReplyTo

__all__ = [
    "Action",
    "CancelTimeout",
    "Keep",
    "NamedTimeout",
    "Next",
    "NextEvent",
    "Postpone",
    "Reply",
    "StateTimeout",
]


@dataclass(frozen=True, slots=True)
class Postpone:
    """Put this message off until the state has changed; its asker goes on waiting.

    Messages that were put off come back oldest first, before time-outs and messages that have not been handled yet. To
    be returned alone or as an action; the answer is then that of the last time, whatever a `Reply` beside it says.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, Next, Postpone
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on") if message == "press" else Postpone()
    ...     def on_on(self, message: str) -> object:
    ...         return f"{message} by its light"
    >>> async def main() -> str:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         reading = lamp.ask("read")
    ...         await lamp.tell("press")
    ...         return await reading
    >>> anyio.run(main)
    'read by its light'

    ```
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer an ask.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, Next, Reply
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on", [Reply("click")])
    ...     def on_on(self, message: str) -> object:
    ...         return Next("off", [Reply("clack")])
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         return [await lamp.ask("press") for _ in range(2)]
    >>> anyio.run(main)
    ['click', 'clack']

    ```

    Args:
        value: the answer.
        to: whose, from `self.context.reply_later()`; left out, that of this message.
    """

    value: Any
    to: ReplyTo | None = None


@dataclass(frozen=True, slots=True)
class StateTimeout:
    """Send a message to the machine itself if it is still in the same state after a while.

    There is one at a time; a change of state cancels it.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, Next, StateTimeout
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on", [StateTimeout(0.01, "time")])
    ...     def on_on(self, message: str) -> object:
    ...         return Next("off") if message == "time" else None
    ...     def enter_off(self, source: object) -> None:
    ...         if source is not None:
    ...             print("it went out")
    ...             done.set()
    >>> done = anyio.Event()
    >>> async def main() -> None:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         await lamp.tell("press")
    ...         await done.wait()
    >>> anyio.run(main)
    it went out

    ```

    Args:
        seconds: from now; None to cancel the one that runs, 0 for before all messages that wait.
        message: what to send.

    Raises:
        ValueError: `seconds` is below 0.
    """

    seconds: float | None
    message: Any = None

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)


@dataclass(frozen=True, slots=True)
class NamedTimeout:
    """Send a message to the machine itself after a while, whatever the state; one of the same name is replaced.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, NamedTimeout, Next
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on", [NamedTimeout("bulb", 0.01, "broken")])
    ...     def on_on(self, message: str) -> object:
    ...         return Next("off") if message == "broken" else None
    ...     def enter_off(self, source: object) -> None:
    ...         if source is not None:
    ...             print("it went out")
    ...             done.set()
    >>> done = anyio.Event()
    >>> async def main() -> None:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         await lamp.tell("press")
    ...         await done.wait()
    >>> anyio.run(main)
    it went out

    ```

    Args:
        name: what it is called, to cancel or replace it.
        seconds: from now; 0 for before all messages that wait.
        message: what to send.

    Raises:
        ValueError: `seconds` is below 0.
    """

    name: str
    seconds: float
    message: Any = None

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)


def _check_seconds(seconds: float | None) -> None:
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"a time-out is over after 0 seconds or more, not after {seconds!r}")


@dataclass(frozen=True, slots=True)
class CancelTimeout:
    """Cancel a named time-out; nothing happens if there is none.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, CancelTimeout, Keep, NamedTimeout, Next
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on", [NamedTimeout("bulb", 0.01, "broken")])
    ...     def on_on(self, message: str) -> object:
    ...         return Keep([CancelTimeout("bulb")]) if message == "mend" else Next("off")
    >>> async def main() -> str:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         await lamp.ask("press")
    ...         await lamp.ask("mend")
    ...         await anyio.sleep(0.02)
    ...         return system.inspect(lamp.path).machines["lamp"]
    >>> anyio.run(main)
    'on'

    ```
    """

    name: str


@dataclass(frozen=True, slots=True)
class NextEvent:
    """Handle this message next, before those that come back, time-outs that are over, and those that wait.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, Next, NextEvent
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on", [NextEvent("flicker")])
    ...     def on_on(self, message: str) -> object:
    ...         return Next("off") if message == "flicker" else "lit"
    ...     def machine_states(self) -> dict[str, str]:
    ...         return {"lamp": self.state}
    >>> async def main() -> dict[str, str]:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         await lamp.ask("press")
    ...         await lamp.get_state()
    ...         return dict(system.inspect(lamp.path).machines)
    >>> anyio.run(main)
    {'lamp': 'off'}

    ```
    """

    message: Any


Action = Postpone | Reply | StateTimeout | NamedTimeout | CancelTimeout | NextEvent


@dataclass(frozen=True, slots=True)
class Next:
    """Go to another state, along an edge of the machine.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, Next, Reply
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on", [Reply("it is light")])
    ...     def on_on(self, message: str) -> object:
    ...         return Next("off", [Reply("it is dark")])
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         return [await lamp.ask("press") for _ in range(3)]
    >>> anyio.run(main)
    ['it is light', 'it is dark', 'it is light']

    ```

    Args:
        state: where to; may be left out where `event` says it.
        actions: what else to do, in this order, before those of the state that is entered.
        event: along which edge; left out, the first of the table that leads there.
    """

    state: Any = None
    actions: Sequence[Action] = ()
    event: Any = None

    def __post_init__(self) -> None:
        if self.state is None and self.event is None:
            raise TypeError("Next() needs the state to go to, or the event that leads there")


@dataclass(frozen=True, slots=True)
class Keep:
    """Stay in the same state.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Machine, StateMachineActor, Keep, Next, Reply
    >>> class Lamp(StateMachineActor):
    ...     machine = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    ...     def on_off(self, message: str) -> object:
    ...         return Next("on")
    ...     def on_on(self, message: str) -> object:
    ...         return Keep([Reply("it is light already")])
    >>> async def main() -> list[object]:
    ...     async with ActorSystem("house") as system:
    ...         lamp = await system.spawn(Lamp)
    ...         return [await lamp.ask("on") for _ in range(2)]
    >>> anyio.run(main)
    [None, 'it is light already']

    ```

    Args:
        actions: what else to do, in this order.
    """

    actions: Sequence[Action] = ()
