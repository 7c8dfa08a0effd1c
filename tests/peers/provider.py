"""The provider of the scenarios, and what it has seen: what the model was told, and whether histories were valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from scenarios import SCENARIOS

from tinyllm_actors.testing.behaviours import answer, answer_tool_calls, drop_stream, hang, refuse, slow_drip
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from tinyllm_actors.testing.behaviours import Behaviour
    from tinyllm_actors.testing.http_exchange import RecordedRequest

__all__ = ["describe", "scripted_server"]

FAULTS = {"dropped": drop_stream(3), "silent": hang(), "left": slow_drip(0.05, "word " * 400)}


def _body(request: RecordedRequest) -> dict[str, Any]:
    return cast("dict[str, Any]", request.json)


def _is_valid(messages: list[dict[str, Any]]) -> bool:
    """Whether each call has one result, right after it: providers refuse anything else."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return False
            waiting.remove(message["tool_call_id"])
        elif waiting:
            return False
        else:
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
    return not waiting


def scripted_server(name: str) -> FaultServer:
    """Return the server of one scenario."""
    scenario = SCENARIOS[name]
    heard = 0

    def choose(request: RecordedRequest) -> Behaviour:
        nonlocal heard
        body = _body(request)
        if not _is_valid(body["messages"]):
            return refuse(400, "each tool call must be followed by its result", code="invalid_request_error")
        if "And now?" in str(body["messages"][-1].get("content")):
            return answer("Fine.")
        heard += 1
        if scenario.calls and body.get("tools") and (heard == 1 or scenario.forever):
            return answer_tool_calls([(call, {}) for call in scenario.calls])
        return FAULTS.get(name, answer("Done.")) if heard == 1 else answer("Done.")

    return FaultServer(choose)


def describe(server: FaultServer, ended: dict[str, str]) -> str:
    """Return what happened, in one line for the table."""
    seen = [_body(request)["messages"] for request in server.requests]
    mine = [messages for messages in seen if "And now?" not in str(messages[-1].get("content"))]
    after = [messages for messages in seen if "And now?" in str(messages[-1].get("content"))]
    parts = [ended["first"]]
    if len(mine) > 2:
        parts[0] += f" after {len(mine)} model calls"
    if len(mine) == 2 and ended["first"] == "an answer" and not mine[-1][-1].get("tool_call_id"):
        parts[0] += " at the second attempt"
    told = [m["content"] for messages in mine[-1:] for m in messages if m["role"] == "tool"]
    if len(mine) == 2 and told:
        size = len(told[0])
        said = told[0] if size < 120 else f"{told[0][:12]}…"
        parts.append(f"the model is told {said!r}" + (f" ({size:,} characters)" if size >= 120 else ""))
    if not after:
        parts.append(f"next turn: {ended['second']}")
    elif ended["second"] != "an answer":
        parts.append(f"next turn: {ended['second']}" + ("" if _is_valid(after[-1]) else ", as a call has no result"))
    else:
        earlier = after[-1][:-1]
        kept = [message for message in earlier if message["role"] != "system"]
        tools = [message["content"] for message in kept if message["role"] == "tool"]
        texts = [m for m in kept if m["role"] == "assistant" and m.get("content")]
        if not kept:
            parts.append("next turn: an answer, the turn before is lost")
        elif "booked as 17" in tools:
            parts.append("next turn: an answer, and the model knows what had ended")
        elif ended["first"] not in ("an answer",) and texts:
            parts.append("next turn: an answer, and the model knows what it had said")
        else:
            parts.append("next turn: an answer")
    return "; ".join(parts)
