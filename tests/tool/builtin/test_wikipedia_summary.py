"""The encyclopaedia, at a local server: what it says, and what it may not do."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from tinyllm_actors.errors import ConfigurationError, ToolError, ToolRetry
from tinyllm_actors.tool.builtin import make_wikipedia_summary, think_and_plan, tinyllm_toolkit, wikipedia_summary
from tinyllm_actors.tool.builtin import wikipedia_summary as _in_package

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import SocketStream

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def wiki(body: object, asked: list[str], status: str = "200 OK") -> AsyncGenerator[str]:
    """Run a wiki that answers everything with this, and yield the address of its API."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            asked.append((await stream.receive()).decode())
            await stream.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{port}/w/api.php"
        group.cancel_scope.cancel()


async def look_up(body: object, query: str = "Alan  Turing", status: str = "200 OK", **options: Any) -> str:
    """Ask such a wiki."""
    failure: ToolError | None = None
    async with wiki(body, [], status) as endpoint:
        try:
            return str(await make_wikipedia_summary(endpoint, allow_private=True, **options).call({"query": query}))
        except ToolError as error:  # raised outside, as the server's task group would wrap it
            failure = error
    raise failure


def page(extract: str) -> dict[str, Any]:
    """Return an answer with one page."""
    return {"query": {"pages": [{"title": "Turing", "extract": extract, "fullurl": "https://wiki/Turing", "ns": 0}]}}


async def test_the_first_paragraphs_of_the_best_match() -> None:
    """With title and source; one polite request, with the words that the model gave."""
    asked: list[str] = []
    async with wiki(page("A mathematician."), asked) as endpoint:
        made = make_wikipedia_summary(endpoint + "?x=1", allow_private=True)
        told = await made.call({"query": " Alan \n Turing "})
    assert told == "Turing\n\nA mathematician.\n\nSource: https://wiki/Turing"
    request, *headers = asked[0].split("\r\n")
    query = parse_qs(urlsplit(request.split()[1]).query)
    assert query["gsrsearch"] == ["Alan Turing"]
    assert query["x"] == ["1"]
    assert any(header.startswith("User-Agent: tinyllm_actors") for header in headers)
    assert "[the page has no summary]" in await look_up(page(""))
    long = await look_up(page("word " * 1000), max_chars=50)
    assert "word …" in long
    assert len(long) < 100


@pytest.mark.parametrize(
    ("body", "options", "error", "says"),
    [
        ({"batchcomplete": True}, {}, ToolRetry, "nothing was found for 'Alan Turing'"),
        (page(""), {"query": ""}, ToolRetry, "1 to 300 characters"),
        (page(""), {"query": "x" * 301}, ToolRetry, "1 to 300 characters"),
        ({"error": {"code": "x", "info": "too busy"}}, {}, ToolError, "refused the search: too busy"),
        (page(""), {"status": "503 Busy"}, ToolError, "status 503"),
        (b"<html>", {}, ToolError, "no page"),
        ({"query": {"pages": [{"title": 5}]}}, {}, ToolError, "no page"),
        (page("x" * 1000), {"max_bytes": 500}, ToolError, "larger than the 500 bytes"),
    ],
)
async def test_what_goes_wrong_is_told(
    body: object, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    """The model hears whether other words would help."""
    with pytest.raises(error, match=says):
        await look_up(body, **options)


async def test_private_addresses_only_if_allowed() -> None:
    """A wiki inside the network is asked only by those who said so."""
    asked: list[str] = []
    async with wiki(page(""), asked) as endpoint:
        with pytest.raises(ToolError, match="no public address"):
            await make_wikipedia_summary(endpoint).call({"query": "x"})
    assert asked == []
    with pytest.raises(ConfigurationError, match="endpoint='gopher:x'"):
        make_wikipedia_summary("gopher:x")


def test_the_toolkit_has_them_all() -> None:
    """Under the names that models know."""
    assert list(tinyllm_toolkit().tools) == ["think_and_plan", "code_interpreter", "wikipedia_summary"]
    assert _in_package is wikipedia_summary


def test_a_plan_comes_back_in_steps() -> None:
    """It is numbered; one without steps is sent back."""
    told = think_and_plan("I know nothing", ["look it up", "answer"])
    assert told.startswith("The plan:\n1. look it up\n2. answer\n")
    assert "no plan yet" in think_and_plan("done", [])
