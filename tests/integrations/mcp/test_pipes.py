"""The server's end of a connection over pipes, and how lines become messages."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import mcp_types as types
import pytest
from mcp.shared.message import SessionMessage

from tinyllm_actors.integrations.mcp.framing import LineTooLong, Reader, Splitter, StrayLines, encode
from tinyllm_actors.integrations.mcp.pipes import open_pipes, standard_pipes

pytestmark = pytest.mark.anyio

PING = SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping"))


@contextmanager
def two_pipes() -> Generator[tuple[int, int, int, int]]:
    """Make the pipes of a client and a server: what the server reads and writes, then the client's ends."""
    (server_in, client_out), (client_in, server_out) = os.pipe(), os.pipe()
    ends = (server_in, server_out, client_in, client_out)
    for descriptor in ends:
        os.set_blocking(descriptor, False)
    try:
        yield ends
    finally:
        for descriptor in ends:
            with suppress(OSError):
                os.close(descriptor)


@contextmanager
def taken(inward: int, outward: int) -> Generator[tuple[int, int]]:
    """Stand for the standard pipes."""
    yield inward, outward


async def test_messages_go_both_ways() -> None:
    """A message that is larger than a pipe arrives whole, and the end of the client's input is the end."""
    with two_pipes() as (inward, outward, client_in, client_out):
        async with open_pipes(1_000_000, lambda: taken(inward, outward)) as (messages, outbox):
            os.write(client_out, b"a banner\n" + encode(PING))
            assert (await messages.receive()).message == PING.message
            large = SessionMessage(types.JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": "x" * 300_000}))
            said = b""
            async with anyio.create_task_group() as group:
                group.start_soon(outbox.send, large)
                while not said.endswith(b"\n"):
                    await anyio.wait_readable(client_in)
                    said += os.read(client_in, 65536)
            assert said == encode(large)
            os.close(client_out)
            with pytest.raises(anyio.EndOfStream):
                await messages.receive()
            await outbox.aclose()


async def test_a_client_that_leaves_or_breaks_the_bounds() -> None:
    """It is not heard any more, and what is said to it is dropped."""
    with two_pipes() as (inward, outward, client_in, client_out):
        async with open_pipes(100, lambda: taken(inward, outward)) as (messages, outbox):
            os.close(client_in)
            os.write(client_out, b"x" * 200)
            with pytest.raises(anyio.EndOfStream):
                await messages.receive()
            with suppress(anyio.BrokenResourceError):
                await outbox.send(PING)
                await outbox.send(PING)


async def test_files_instead_of_pipes(tmp_path: Path) -> None:
    """Files, for which no event loop waits, are read and written too."""
    (tmp_path / "in").write_bytes(encode(PING))
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        async with open_pipes(100, lambda: taken(source.fileno(), target.fileno())) as (messages, outbox):
            assert (await messages.receive()).message == PING.message
            with pytest.raises(anyio.EndOfStream):
                await messages.receive()
            await outbox.send(PING)
            with anyio.fail_after(30):
                while not (tmp_path / "out").read_bytes():  # noqa: ASYNC110
                    await anyio.sleep(0.01)
    assert (tmp_path / "out").read_bytes() == encode(PING)


def test_standard_pipes_are_taken_and_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    """Meanwhile what is written to the standard output goes to the standard error."""
    with standard_pipes() as (_, outward):
        os.write(1, b"stray")
        os.write(outward, b"message")
        assert os.read(0, 1) == b""
    os.write(1, b" after")
    assert capfd.readouterr() == ("message after", "stray")


def test_lines_have_bounds() -> None:
    """A line that does not end, and too many lines that are no messages, are refused; pieces of lines are joined."""
    splitter = Splitter(4)
    assert [splitter.feed(piece) for piece in (b"ab", b"cd\n\ne", b"\r\n")] == [[], [b"abcd"], [b"e"]]
    with pytest.raises(LineTooLong, match="more than 4 bytes"):
        splitter.feed(b"abcde")
    with pytest.raises(LineTooLong):
        Splitter(4).feed(b"abcde\n")
    reader = Reader(1000)
    assert list(reader.feed(b"no\n" * 99 + encode(PING) + b"no\n" * 99)) == [PING]
    with pytest.raises(StrayLines, match="100 lines that are no messages, the last of them 'no'"):
        list(reader.feed(b"no\n"))
