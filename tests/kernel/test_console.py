"""The log as a person reads it."""

from __future__ import annotations

import io
import re
import time
from typing import TYPE_CHECKING

import pytest
import structlog

from tinyllm_actors import Actor, ActorSystem, Function
from tinyllm_actors.kernel import ConsoleLog, configure_console_log

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = re.compile(r"[A-Z]+ \| [\w.-]+ \| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} : .+")


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def file() -> io.StringIO:
    """Return a file in memory."""
    return io.StringIO()


class Echo(Function):
    async def run(self, said: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return said


class Fragile(Actor):
    async def receive(self, message: str) -> None:
        raise ValueError(message)


@pytest.mark.anyio
async def test_transitions_are_in_columns(file: io.StringIO) -> None:
    """A call's transitions read level, logger, local time with milliseconds, and a sentence; lifecycles are hidden."""
    configure_console_log(file=file)
    before = time.strftime("%Y-%m-%d %H:%M")
    async with ActorSystem("service") as system:
        echo = await system.spawn(Echo)
        await echo(said="hello")
    after = time.strftime("%Y-%m-%d %H:%M")
    lines = file.getvalue().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert [line.partition(" : ")[2] for line in lines] == [
        f"[Echo] transition to: States.{state}"
        for state in (
            "INIT",
            "INPUT_VALIDATION",
            "RUNNING",
            "OUTPUT_VALIDATION",
            "PROCESSING_OUTPUT",
            "PROCESSED_OUTPUT_VALIDATION",
            "COMPLETE",
        )
    ]
    assert {line.partition(" | 2")[0] for line in lines} == {"INFO | tinyllm_actors.function"}
    assert before <= lines[0].split(" | ")[2][:16] <= after


@pytest.mark.anyio
async def test_debug_adds_lifecycles(file: io.StringIO) -> None:
    """At level debug, actors tell of their lives as well."""
    configure_console_log(level="debug", file=file)
    async with ActorSystem("service") as system:
        await system.spawn(Echo, name="echo")
    assert re.search(
        r"DEBUG \| tinyllm_actors.kernel \| .* : \[echo\] transition to: Lifecycle.STOPPED", file.getvalue()
    )


@pytest.mark.anyio
@pytest.mark.parametrize(("level", "shown"), [("info", True), ("warning", True), ("critical", False)])
async def test_failures_are_in_the_same_columns(file: io.StringIO, level: str, shown: bool) -> None:
    """A failure is a warning in the same columns, with secrets masked, on one line whatever was in it."""
    configure_console_log(level=level, file=file)
    async with ActorSystem("service") as system:
        fragile = await system.spawn(Fragile, name="fragile")
        with pytest.raises(Exception, match="no"):
            await fragile.ask("no\nINFO | forged | api_key=abcd1234 \x1b[31m")
    warnings = [line for line in file.getvalue().splitlines() if line.startswith("WARNING")]
    assert len(warnings) == int(shown)
    if shown:
        assert LINE.fullmatch(warnings[0])
        assert "[fragile] failed: ValueError: no" in warnings[0]
        assert "\n    INFO | forged | api_key=*** \\x1b[31m\n" in file.getvalue()


def test_other_loggers_show_their_fields(file: io.StringIO) -> None:
    """What a program logs itself has its fields behind it, and its traceback below; secret fields are masked."""
    configure_console_log(file=file)
    logger = structlog.get_logger("shop.orders")
    logger.info("sold", item="tea", count=2, api_key="abcd", password="xyz")
    try:
        raise ValueError("password=hunter22")
    except ValueError:
        logger.exception("broken")
    structlog.get_logger().error("nobody")
    sold, broken, *trace, nobody = file.getvalue().splitlines()
    assert sold.endswith(" : sold item='tea' count=2 api_key='***' password='***'")
    assert sold.startswith("INFO | shop.orders | ")
    assert broken.startswith("ERROR | shop.orders | ")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: password=***"
    assert nobody.startswith("ERROR | - | ")


def test_text_is_not_cut_by_lines(file: io.StringIO) -> None:
    """Lines wait for the end of a text that comes in pieces, except warnings; then each is whole."""
    log = configure_console_log(file=file)
    logger = structlog.get_logger("shop")
    log.write("The answer ")
    logger.info("first")
    log.write("is ")
    logger.warning("second")
    logger.info("third")
    log.write("4")
    log.end()
    logger.info("fourth")
    shown = [line.rpartition(" : ")[2] for line in file.getvalue().splitlines()]
    assert shown == ["The answer is ", "first", "second", "4", "third", "fourth"]


def test_lines_do_not_wait_without_bound(file: io.StringIO) -> None:
    """After a thousand lines, a text that does not end is interrupted."""
    log = ConsoleLog(file)
    log.write("endless")
    for number in range(999):
        log.line(str(number))
    assert file.getvalue() == "endless"
    log.line("999")
    assert file.getvalue().splitlines() == ["endless", *map(str, range(1000))]


def test_what_cannot_be_encoded_is_shown_as_an_escape() -> None:
    """A terminal that does not know a character gets its number; so do half pairs, which no encoding knows."""
    raw = io.BytesIO()
    log = ConsoleLog(io.TextIOWrapper(raw, encoding="ascii"))
    log.write("5 € \ud800")
    log.end()
    assert raw.getvalue() == b"5 \\u20ac \\ud800\n"


def test_a_console_that_is_gone_harms_nobody() -> None:
    """A line that cannot be written raises nothing where it is logged; the program's own text does."""

    class Gone(io.StringIO):
        def write(self, s: str, /) -> int:
            raise BrokenPipeError

    log = configure_console_log(file=Gone())
    structlog.get_logger("shop").info("sold")
    with pytest.raises(BrokenPipeError):
        log.write("text")
