"""A transition as a line: the same as the encoder makes of its fields, whatever is kept from lines before."""

from __future__ import annotations

import enum
import io
import json
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.kernel import Transition, TransitionFilter, configure_json_log, json_log, transition_lines
from tinyllm_actors.kernel.event_stream import EventStream
from tinyllm_actors.kernel.log import attach_log
from tinyllm_actors.kernel.slots import current_backend
from tinyllm_actors.kernel.transition_lines import TransitionLines

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

encode = msgspec.json.Encoder().encode


class Light(enum.StrEnum):
    RED = "red"
    GREEN = "green"


def new_lines() -> TransitionLines:
    """Return some that have made no line yet."""
    return TransitionLines(encode)


def move(**changes: Any) -> Transition:
    """Return a transition."""
    return Transition("shop/lamp", "Lamp", "lamp", Light.RED, "switch", Light.GREEN, 7, 0.25)._replace(**changes)


@contextmanager
def bound(**values: Any) -> Generator[None]:
    """Bind values as whoever logs does."""
    structlog.contextvars.bind_contextvars(**values)
    try:
        yield
    finally:
        structlog.contextvars.unbind_contextvars(*values)


# Surrogates have no place in UTF-8, and so in no name.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(
    st.lists(
        st.builds(
            Transition,
            texts,
            texts,
            texts | st.just("lifecycle"),
            texts | st.sampled_from(Light),
            texts,
            texts | st.sampled_from(Light),
            st.integers(0, 2**60),
            st.floats(0, 1e6),
        ),
        max_size=10,
    ),
    st.integers(0, 2**62),
)
def test_a_line_says_what_the_transition_does(moves: list[Transition], nanoseconds: int) -> None:
    """Field by field, to the microsecond, with names and states of any text, one line each."""
    lines = new_lines()
    for event in moves:
        line = lines.line(event, nanoseconds)
        assert line.index("\n") == len(line) - 1
        found = json.loads(line)
        lifecycle = event.machine == "lifecycle"
        assert found.pop("timestamp") == pytest.approx(nanoseconds / 1e9, abs=1.1e-6, rel=1e-15)
        assert found.pop("elapsed") == pytest.approx(event.elapsed, abs=0.6e-6)
        assert found == {
            "event": f"[{event.name}] transition to: {event.target}",
            "level": "debug" if lifecycle else "info",
            "logger": "tinyllm_actors.kernel" if lifecycle else f"tinyllm_actors.{event.machine}",
            "actor": event.path,
            "machine": event.machine,
            "source": event.source,
            "trigger": event.event,
            "target": event.target,
            "message_id": event.message_id,
        }


def test_time_and_its_parts_are_written_out() -> None:
    """Zeros included, across seconds forwards and backwards, and for long stays in a state."""
    lines = new_lines()
    for nanoseconds, text in ((5_000_001_999, "5.000001"), (6_100_000_000, "6.100000"), (5_999_999_999, "5.999999")):
        assert f'"timestamp":{text},' in lines.line(move(), nanoseconds)
    for elapsed, text in ((0.0, "0.000000"), (3e-6, "0.000003"), (0.99999999, "1.000000"), (61.5, "61.500000")):
        assert f'"elapsed":{text}}}' in lines.line(move(elapsed=elapsed), 0)


def test_what_is_bound_is_in_the_line() -> None:
    """Texts and other things, masked, new values instead of old ones, and nothing that is no longer bound."""
    lines = new_lines()
    for values in ({"user": "ann"}, {"user": "bob"}, {"user": "ann"}, {"n": 1}, {"n": True}, {"user": ["a"]}):
        with bound(**values):
            found = json.loads(lines.line(move(), 0))
        assert {key: found[key] for key in values} == values
        assert type(next(iter(values.values()))) is type(found[next(iter(values))])
    with bound(api_key="abc", note="bearer abcdefghijkl"):
        found = json.loads(lines.line(move(), 0))
        assert (found["api_key"], found["note"]) == ("***", "bearer ***")
    assert "user" not in json.loads(lines.line(move(), 0))


def test_what_is_bound_is_found_wherever_structlog_keeps_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps them where they are found at once; if another version did not, they would be looked for."""
    assert new_lines()._variables is structlog.contextvars._CONTEXT_VARS  # pyright: ignore[reportPrivateUsage]
    monkeypatch.delattr(structlog.contextvars, "_CONTEXT_VARS")
    lines = new_lines()
    variable: ContextVar[Any] = ContextVar("structlog_user", default=...)
    token = variable.set("ann")
    assert json.loads(lines.line(move(), 0))["user"] == "ann"
    variable.reset(token)
    assert "user" not in json.loads(lines.line(move(), 0))


def test_what_is_bound_by_the_name_of_a_field_takes_its_place() -> None:
    """As it does in every other line of structlog; the line has each field once."""
    with bound(level="loud", actor="me", user="ann"):
        line = new_lines().line(move(), 1_500_000_000)
    pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=list)
    found = dict(pairs)
    assert len(pairs) == len(found)
    assert (found["level"], found["actor"], found["user"]) == ("loud", "me", "ann")
    assert (found["timestamp"], found["target"], found["elapsed"]) == (1.5, "green", 0.25)


ROUND = (("red", "wait", "amber"), ("amber", "go", "green"), ("green", "stop", "red"))


@pytest.mark.parametrize("values", [{}, {"user": "ann"}, {"actor": "me"}])
def test_moves_of_one_moment_have_the_lines_that_each_would_have(values: dict[str, Any]) -> None:
    """Twice the same, with another actor, and with what is bound; only the first was long in its state."""
    lines = new_lines()
    with bound(**values):
        for path in ("shop/a", "shop/a", "shop/b"):
            wanted = [
                lines.line(Transition(path, "Lamp", "lamp", *step, 7, 0.25 if number == 0 else 0.0), 1_500_000_000)
                for number, step in enumerate(ROUND)
            ]
            assert lines.lines(path, "Lamp", "lamp", ROUND, 7, 0.25, 1_500_000_000) == "".join(wanted)


@pytest.mark.anyio
async def test_moves_of_one_moment_are_told_to_everybody() -> None:
    """As transitions, one by one, or all at once to whoever asked for that, until they unsubscribe."""
    events = EventStream(current_backend())
    one_by_one: list[Any] = []
    at_once: list[Any] = []
    nothing: list[Any] = []

    def take(*told: Any) -> None:
        at_once.append(told)

    events.subscribe(one_by_one.append)
    events.subscribe(nothing.append, Transition, moves=take)
    events.publish_moves("shop/a", "Lamp", "lamp", ROUND, 7, 0.25)
    events.unsubscribe(nothing.append)
    events.publish_moves("shop/b", "Lamp", "lamp", ROUND[:1])
    assert [(event.path, event.target, event.message_id, event.elapsed) for event in one_by_one] == [
        ("shop/a", "amber", 7, 0.25),
        ("shop/a", "green", 7, 0.0),
        ("shop/a", "red", 7, 0.0),
        ("shop/b", "amber", 0, 0.0),
    ]
    assert at_once == [("shop/a", "Lamp", "lamp", ROUND, 7, 0.25)]
    assert not nothing


@pytest.mark.anyio
async def test_lines_of_one_moment_are_counted_one_by_one() -> None:
    """Where they find no room, and where they cannot be made; those of the lifecycle are for level debug."""
    gate = threading.Event()

    class Slow(io.BytesIO):
        def write(self, data: Any, /) -> int:
            gate.wait(10)
            return super().write(data)

    file = Slow()
    log = configure_json_log(file, max_waiting=10)
    events = EventStream(current_backend())
    await attach_log(events, transitions=True)
    events.publish_moves("\udc80", "Lamp", "lamp", ROUND)
    assert events.log_failures == 1
    events.publish_moves("shop/a", "Lamp", "lifecycle", ROUND)
    for _ in range(2000):
        events.publish_moves("shop/a", "Lamp", "lamp", ROUND)
    gate.set()
    assert await anyio.to_thread.run_sync(log.close)
    written = len(file.getvalue().splitlines())
    assert written >= 30
    assert written + log.dropped == 6000
    structlog.reset_defaults()


def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with more actors, moves and users than that writes the same lines."""
    monkeypatch.setattr(transition_lines, "MAX_KEPT", 3)
    lines = new_lines()
    for number in range(10):
        with bound(user=f"u{number}"):
            line = lines.line(move(path=f"p{number}", name=f"n{number}", event=f"e{number}"), 0)
        found = json.loads(line)
        assert (found["actor"], found["event"], found["user"]) == (
            f"p{number}",
            f"[n{number}] transition to: green",
            f"u{number}",
        )
        kept = (lines._paths, lines._heads, lines._bounds, lines._single)  # pyright: ignore[reportPrivateUsage]
        assert max(map(len, kept)) <= 3


def test_a_warning_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that was logged before it; other lines wait for company. The logger may be named in the event."""
    written = threading.Event()

    class Told(io.BytesIO):
        def flush(self) -> None:
            written.set()

    monkeypatch.setattr(json_log, "LINGER", 60.0)
    file = Told()
    log = configure_json_log(file)
    structlog.get_logger("shop").info("sold")
    structlog.get_logger("shop").warning("sold out", logger="shelf")
    assert written.wait(10)
    found = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["event"], line["logger"]) for line in found] == [("sold", "shop"), ("sold out", "shelf")]
    assert log.close()
    structlog.reset_defaults()


def test_much_at_once_is_written_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lines came while it waited, all of them are written then: the wait is no bound on lines a second."""
    monkeypatch.setattr(json_log, "LINGER", 60.0)
    written = threading.Event()

    class Told(io.BytesIO):
        def flush(self) -> None:
            if len(self.getvalue()) >= 5_000 * 100:
                written.set()

    log = configure_json_log(Told())
    logger = structlog.get_logger("shop")
    for number in range(5_000):
        logger.info("sold", number=number, item="x" * 80)
    logger.warning("sold out")
    assert written.wait(10), "batches waited for one another"
    assert log.close()
    structlog.reset_defaults()


@pytest.mark.anyio
async def test_a_line_that_cannot_be_made_is_counted_and_harms_nobody() -> None:
    """Whether its name is no text that can be written, or the logger raises; the next line is written."""
    file = io.BytesIO()
    log = configure_json_log(file)
    events = EventStream(current_backend())
    await attach_log(events, transitions=True)
    events.publish(move(path="\udc80"))
    events.publish(move())
    assert events.log_failures == 1
    assert await anyio.to_thread.run_sync(log.close)
    assert [json.loads(line)["actor"] for line in file.getvalue().splitlines()] == ["shop/lamp"]

    def broken(*_: object) -> Any:
        raise OSError("no disk")

    structlog.configure(processors=[broken])
    events = EventStream(current_backend())
    seconds = iter([0.0, 0.0, 0.0, 2.0])

    class Clocked(TransitionFilter):
        def gate(self, tell: Callable[[str, str], object], now: Any = None) -> Callable[[str, str, str], bool]:
            return super().gate(tell, lambda: next(seconds))

    await attach_log(events, transitions=Clocked(per_second=1))
    for _ in range(3):
        events.publish(move())
    assert events.log_failures == 3, "one line, the number of those left out, and one line"
    structlog.reset_defaults()
