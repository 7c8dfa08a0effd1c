"""An actor whose messages are handled by the state it is in.

Source: OTP `gen_statem`.
"""

from __future__ import annotations

import enum
import inspect
import re
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tinyllm_actors.errors import InvalidTransition
from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.cell import CHANGED
from tinyllm_actors.kernel.deferred import postpone
from tinyllm_actors.kernel.envelope import CURRENT, Signal
from tinyllm_actors.kernel.events import Transition
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinyllm_actors.kernel.fsm_actions import Action
    from tinyllm_actors.kernel.machine import Machine

__all__ = ["StateMachineActor"]

_STATE_TIMER = "<state>"  # no name that anybody would give to a time-out
_ACTIONS = (Postpone, Reply, StateTimeout, NamedTimeout, CancelTimeout, NextEvent)


class StateMachineActor(Actor):
    """A state machine: a table that says what may follow what, and a method for each state.

    `on_<state>(message)` handles messages in that state, `on_any(message)` in states without one; a message in a state
    that has neither is a failure. It returns `Next(state, actions)`, `Keep(actions)`, `Postpone()`, or anything else,
    which answers the ask and keeps the state. `enter_<state>(source)` runs whenever the state is entered (`source` is
    None at the start) and may return actions. All may be `async def` or plain.

    In this order, a change of state: is checked against the table, is published as a `Transition`, cancels the state's
    time-out, runs `enter_…`, and then the actions, first those of the handler, then those of the entry. Once it has
    begun it is finished, even if the asker leaves meanwhile. An edge from a state to itself is no change: it is
    published, its actions run, and nothing else of this happens.

    What is handled next is, in this order:

    1. messages of `NextEvent`, in the order of the actions,
    2. what was postponed, oldest first, if the state has changed,
    3. what is left of both from earlier changes,
    4. time-outs that are over, in the order in which they were due, and whatever else the kernel sends,
    5. messages of others.

    So a time-out that is over while messages come back waits for them, and is cancelled if one of them changes the
    state. A time-out of 0 seconds is over at once: it waits for 1 to 3, and no message of others comes before it. One
    that has been handled and postponed is a message like any other: it comes back, and cannot be cancelled.

    A missing edge is `InvalidTransition`, a failure like any other; the machine is where it was, and no action ran.
    A failure drops the message, which was not postponed then even if its actions say so. The next incarnation begins
    with what others sent and was postponed; time-outs and messages of `NextEvent` were the old one's own.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.kernel import Keep, Machine, Next, Postpone, Reply, StateMachineActor
    >>> class Door(StateMachineActor):
    ...     machine = Machine("door", {("locked", "key"): "open", ("open", "shut"): "locked"}, initial="locked")
    ...     def on_locked(self, message: str) -> object:
    ...         return Next("open", [Reply("click")]) if message == "key" else Postpone()
    ...     def on_open(self, message: str) -> object:
    ...         return Next("locked", [Reply("clack")]) if message == "shut" else "come in"
    >>> async def main() -> None:
    ...     async with ActorSystem("house") as system:
    ...         door = await system.spawn(Door)
    ...         guest = door.ask("knock")  # waits until somebody opens
    ...         print(await door.ask("key"), "|", await guest, "|", await door.ask("shut"))
    >>> anyio.run(main)
    click | come in | clack

    ```

    Attributes:
        machine: the table; its states name the methods, in lower case.
        max_postponed: messages that may be put off at once; one more fails its asker with `MailboxFull`, or becomes
            a dead letter.
    """

    machine: ClassVar[Machine[Any, Any]]
    max_postponed: ClassVar[int] = 1000

    kernel_handlers: ClassVar[Mapping[Any, str]] = {}
    kernel_entries: ClassVar[Mapping[Any, str]] = {}
    kernel_shortest: ClassVar[Mapping[tuple[Any, Any], Any]] = {}

    _state: Any = None
    _entered: bool = False
    _entered_at: float | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        machine: Machine[Any, Any] | None = getattr(cls, "machine", None)
        if machine is None:
            return  # a base for other machines
        names = {_method_name(state): state for state in machine.states()}
        handlers: dict[Any, str] = {}
        entries: dict[Any, str] = {}
        for method in dir(cls):
            for prefix, found in (("on_", handlers), ("enter_", entries)):
                if method.startswith(prefix) and method != "on_any":
                    if method.removeprefix(prefix) not in names:
                        raise TypeError(
                            f"{cls.__name__}.{method} names no state of machine {machine.name!r}; "
                            f"its states are {sorted(names)!r}"
                        )
                    found[names[method.removeprefix(prefix)]] = method
        if hasattr(cls, "on_any"):
            handlers = {state: handlers.get(state, "on_any") for state in names.values()}
        cls.kernel_handlers = handlers
        cls.kernel_entries = entries
        shortest: dict[tuple[Any, Any], Any] = {}
        for (source, event), target in machine.edges.items():
            shortest.setdefault((source, target), event)
        cls.kernel_shortest = shortest

    @property
    def state(self) -> Any:
        """The state it is in."""
        return self.machine.initial if self._state is None else self._state

    def machine_states(self) -> Mapping[str, str]:
        """Return the state, for `system.inspect()`."""
        return {self.machine.name: str(self.state)}

    async def started(self) -> None:
        """Enter the initial state. Subclasses that override it call `await super().started()`."""
        self._entered = True
        self._publish(self.state, "init", self.state)
        self._perform(await self._enter(None))

    async def receive(self, message: Any) -> Any:
        """Hand a message to the state. Subclasses define `on_<state>` instead of this."""
        if not self._entered:
            raise RuntimeError(f"{type(self).__name__}.started() must call `await super().started()`")
        source = self.state
        name = self.kernel_handlers.get(source)
        if name is None:
            raise InvalidTransition(self.context.path, source, type(message).__name__)
        result = await _called(getattr(self, name), message)
        if isinstance(result, Next):
            target, event = self._edge(source, result)
            actions = _checked(result.actions)
        elif isinstance(result, Keep | Postpone):
            target, event = source, None
            actions = _checked(result.actions if isinstance(result, Keep) else [result])
        else:
            return result
        postponed = any(isinstance(action, Postpone) for action in actions)
        answers = [action.value for action in actions if isinstance(action, Reply) and action.to is None]
        if isinstance(result, Next):
            self._state = target
            self._publish(source, str(event), target)
            if target != source:
                self.context.cancel_timer(_STATE_TIMER)
                self.context.detach()  # what has begun is finished, so that no action of it is lost with its asker
                actions = [*actions, *await self._enter(source)]
        self._perform(actions)
        # Not before: a message whose entry fails has failed, and does not come back.
        if postponed:
            current = CURRENT.get()
            assert current is not None
            postpone(self.kernel_cell, current, self.max_postponed)
        if target != source:
            self._replay()
        return answers[-1] if answers else None

    # --- the parts of a step -----------------------------------------------------------------------

    def _edge(self, source: Any, result: Next) -> tuple[Any, Any]:
        """Return the target and the event of the edge that a handler chose."""
        path = self.context.path
        if result.event is None:
            if (source, result.state) not in self.kernel_shortest:
                raise InvalidTransition(path, source, f"→ {result.state!s}")
            return result.state, self.kernel_shortest[source, result.state]
        target = self.machine.step(path, source, result.event)
        if result.state is not None and result.state != target:
            raise InvalidTransition(path, source, f"{result.event!s} → {result.state!s}")
        return target, result.event

    def _replay(self) -> None:
        """Let what was put off come back once this message is done."""
        cell = self.kernel_cell
        if cell.extra is not None and cell.extra.postponed:
            cell.extra.replay = True
            cell.attention |= CHANGED

    async def _enter(self, source: Any) -> Sequence[Action]:
        name = self.kernel_entries.get(self.state)
        if name is None:
            return ()
        result = await _called(getattr(self, name), source)
        actions = _checked(result.actions if isinstance(result, Keep) else result or ())
        if any(isinstance(action, Postpone) for action in actions):
            raise TypeError(f"{type(self).__name__}.{name} cannot postpone: entering a state handles no message")
        return actions

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Reply(value, to) if to is not None:
                    to.reply(value)
                case StateTimeout(seconds, message):
                    self._set_timer(_STATE_TIMER, seconds, message)
                case NamedTimeout(name, seconds, message):
                    self._set_timer(name, seconds, message)
                case CancelTimeout(name):
                    self.context.cancel_timer(name)
                case NextEvent(message):
                    self.kernel_cell.insert(Signal(message, self.kernel_cell))
                case _:
                    pass  # done already: it is about this message

    def _set_timer(self, name: str, seconds: float | None, message: Any) -> None:
        if seconds is None:
            self.context.cancel_timer(name)
            return
        self.context.send_after(seconds, message, name=name)
        if seconds == 0:
            self.kernel_cell.cold.timers[name].expire_now()

    def _publish(self, source: Any, event: str, target: Any) -> None:
        cell = self.kernel_cell
        events = cell.system.events_stream
        if events.transitions:
            now = cell.system.now()
            elapsed = 0.0 if self._entered_at is None else now - self._entered_at
            self._entered_at = now
            name, number = self.machine.name, self.context.message_id
            record = Transition(cell.path, cell.label, name, str(source), event, str(target), number, elapsed)
            events.publish(record)


def _method_name(state: Any) -> str:
    """Return what a state is called in the names of methods."""
    name = state.name if isinstance(state, enum.Enum) else str(state)
    return re.sub(r"\W+", "_", name).lower()


async def _called(method: Callable[[Any], Any], argument: Any) -> Any:
    result = method(argument)
    return await result if inspect.isawaitable(result) else result


def _checked(actions: Any) -> list[Action]:
    """Return actions as a list, so that a wrong one is found before any of them runs."""
    checked = list(actions)
    for action in checked:
        if not isinstance(action, _ACTIONS):
            raise TypeError(f"{action!r} is no action of a state machine; see tinyllm_actors.kernel.fsm_actions")
    return cast("list[Action]", checked)
