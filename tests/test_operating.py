"""The guide to operations: its service runs, survives, and answers as the text says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from tinyllm_actors.testing import ScriptedModel, hang, text, tool_call

pytest.importorskip("starlette")
pytestmark = pytest.mark.anyio

GUIDE = (Path(__file__).parent.parent / ".github" / "OPERATING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def make_app() -> Any:
    """Return what the guide's program makes its service with."""
    [program] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "service"}
    exec(compile(program, "service.py", "exec"), names)
    names["configure_json_log"] = dict  # its thread lasts as long as the process; `test_json_log` has tests of it
    return names["app"]


class Client:
    """Sends one request at a time to an ASGI application, as a server would."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.lines: list[dict[str, Any]] = []
        self.left = anyio.Event()

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the body; what comes as lines is in `lines` as it comes."""
        request = [{"type": "http.request", "body": json.dumps(body).encode()}]
        status, parts = 0, list[bytes]()

        async def receive() -> Any:
            if request:
                return request.pop()
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))
            if path.endswith("/turns") and parts[-1]:
                self.lines.append(json.loads(parts[-1]))

        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [],
            "query_string": b"",
            "app": self.app,
        }
        await self.app({**scope, "asgi": {"version": "3.0", "spec_version": "2.3"}}, receive, send)
        return status, None if path.endswith("/turns") else json.loads(b"".join(parts) or b"null")


def running(app: Any) -> Any:
    """Return the application's life, as an async context manager."""
    return app.router.lifespan_context(app)


async def turn(app: Any, content: str, turn_id: str) -> list[dict[str, Any]]:
    """Take a turn and return its lines."""
    client = Client(app)
    status, _ = await client.send("POST", "/ada/1/turns", {"content": content, "turn_id": turn_id})
    assert status == 200
    return client.lines


async def until(condition: Any) -> None:
    """Let others run until something holds."""
    while not condition():
        await anyio.lowlevel.checkpoint()


def test_the_guide_can_be_read_at_once() -> None:
    """It has at most 150 lines."""
    assert len(GUIDE.splitlines()) <= 150


async def test_a_turn_is_streamed_and_sent_again(make_app: Any) -> None:
    """The answer comes in pieces behind the acknowledgement; the same turn again asks no model."""
    async with running(
        app := make_app(ScriptedModel([tool_call("order_status", order="A1"), text("On its way.")]), "memory:")
    ):
        first, *pieces, last = await turn(app, "Where is A1?", "t1")
        assert first == {"accepted": "t1"}
        assert "".join(piece["text"] for piece in pieces) == "On its way."
        assert last == {"answer": "On its way."}
        assert (await turn(app, "Where is A1?", "t1"))[-1] == last
        _, history = await Client(app).send("GET", "/ada/1")
        assert [message["role"] for message in history] == ["user", "assistant", "tool", "assistant"]


async def test_an_approval_survives_the_process(make_app: Any, tmp_path: Path) -> None:
    """Asked in one process, decided in the next, by another request; what nobody asked is a 404."""
    store = f"sqlite:///{tmp_path}/chats.db"
    async with running(app := make_app(ScriptedModel([tool_call("refund", order="A1", amount=5)]), store)):
        client = Client(app)
        async with anyio.create_task_group() as clients:
            clients.start_soon(client.send, "POST", "/ada/1/turns", {"content": "Refund A1.", "turn_id": "t1"})
            await until(lambda: len(client.lines) == 2)
            client.left.set()
        async with anyio.create_task_group() as ends:  # as a process does: its agent is not given time for its turn
            ends.start_soon(app.state.chats.kill)
            ends.start_soon(app.state.system["conversations/ada%2F1/agent"].kill)
    async with running(app := make_app(ScriptedModel([text("Done.")]), store)):
        questions: list[Any] = []
        while not questions:  # the run has just begun to go on
            _, questions = await Client(app).send("GET", "/ada/1/approvals")
        [question] = questions
        assert client.lines[1]["approve"] == question
        assert (question["name"], json.loads(question["arguments"])) == ("refund", {"order": "A1", "amount": 5})
        status, refused = await Client(app).send("POST", "/ada/1/approvals/nothing", {"approve": True})
        assert (status, refused["error"]) == (404, "UnknownApproval")
        await Client(app).send("POST", f"/ada/1/approvals/{question['call_id']}", {"approve": True})
        assert (await turn(app, "Refund A1.", "t1"))[-1] == {"answer": "Done."}
        _, history = await Client(app).send("GET", "/ada/1")
        assert [message.get("content") for message in history] == ["Refund A1.", None, "5 paid back for A1", "Done."]


async def test_who_leaves_cancels_nothing_and_who_cancels_does(make_app: Any) -> None:
    """The turn of a client that went away goes on, until somebody sends the DELETE."""
    async with running(app := make_app(ScriptedModel([hang()]), "memory:")), anyio.create_task_group() as clients:
        client = Client(app)
        clients.start_soon(client.send, "POST", "/ada/1/turns", {"content": "Hello?", "turn_id": "t1"})
        await until(lambda: client.lines)
        client.left.set()
        await anyio.wait_all_tasks_blocked()
        assert (await app.state.chats["ada/1"].report()).turn_id == "t1"
        assert await Client(app).send("DELETE", "/ada/1/turns/t1") == (200, True)
        assert (await turn(app, "Hello?", "t1"))[-1] == {"failed": "RunCancelled", "retryable": False}
        assert "ConversationActor RUNNING" in app.state.system.inspect().render()
