"""An MCP server over pipes in the standard library alone, which starts in no time and can misbehave.

python fake_server.py [MODE]; without a mode it behaves.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

MODE = sys.argv[1] if len(sys.argv) > 1 else ""
TOOLS: dict[str, dict[str, Any]] = {
    name: {"type": "object", "properties": {"text": {"type": "string"}}}
    for name in [
        "echo",
        "fail",
        "hang",
        "big",
        "picture",
        "structured",
        "change",
        "cancelled",
        "die",
        "blob/all",
        "lie",
        "deafen",
        "freeze",
        "fork",
    ]
}
cancelled: list[Any] = []
extra: list[str] = []
deaf: list[bool] = []


def send(message: dict[str, Any]) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def definition(name: str) -> dict[str, Any]:
    """Return the definition of a tool."""
    tool: dict[str, Any] = {
        "name": name,
        "description": f"The tool {name}.",
        "inputSchema": TOOLS.get(name, {"type": "object"}),
    }
    if name == "lie":
        tool["outputSchema"] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    return tool


def run_tool(params: dict[str, Any], token: Any) -> dict[str, Any] | None:  # noqa: C901 - a list of cases
    """Return the result of a tool; None to answer never."""
    name, text = params["name"], params.get("arguments", {}).get("text", "")
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if name == "fail":
        return {"content": [{"type": "text", "text": text}], "isError": True}
    if name == "hang":
        progress = {"progressToken": token, "progress": 1, "total": 2, "message": str(os.getpid())}
        send({"method": "notifications/progress", "params": progress})
        return None
    if name == "big":
        content[0]["text"] = "x" * int(text)
    elif name == "picture":
        content = [
            {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "file:///b.bin", "blob": "aGVsbG8="}},
            {"type": "resource_link", "name": "c", "uri": "file:///c", "description": "the third"},
        ]
    elif name == "structured":
        return {"content": [], "structuredContent": {"n": 1}}
    elif name == "lie":
        return {"content": [], "structuredContent": {"n": "one"}}
    elif name == "change":
        extra.append(text)
        send({"method": "notifications/tools/list_changed"})
    elif name == "freeze":
        time.sleep(3600)
    elif name == "fork":
        content[0]["text"] = str(subprocess.Popen(["sleep", "3600"]).pid)
    elif name == "deafen":
        os.close(0)
        deaf.append(True)
    elif name == "cancelled":
        content[0]["text"] = json.dumps(cancelled)
    elif name == "die":
        sys.stderr.write(f"a last word with {os.environ.get('SECRET', 'no secret')}\n")
        sys.stderr.flush()
        os._exit(3)
    return {"content": content}


def list_tools(cursor: str | None) -> dict[str, Any]:
    """Return a page of tools; there are two."""
    if MODE == "endless":
        return {"tools": [definition("echo")], "nextCursor": "more"}
    if MODE == "many":
        return {"tools": [definition(f"t{number}") for number in range(1001)]}
    if MODE == "schema":
        return {"tools": [{"name": "bad", "inputSchema": "no schema"}]}
    names = [*TOOLS, *extra]
    if not cursor:
        return {"tools": [definition(name) for name in names[:3]], "nextCursor": "rest"}
    tools = [definition(name) for name in names[3:]]
    if MODE == "odd":
        tools.append(definition("blob_all"))
        tools.append({**definition("long"), "inputSchema": {"type": "object", "description": "x" * 100_000}})
    return {"tools": tools}


def read(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return resources or prompts."""
    if method == "resources/list":
        return {"resources": [{"name": "a", "uri": "file:///a"}]}
    if method == "prompts/list":
        return {"prompts": [{"name": "greet"}]}
    if method == "prompts/get":
        said = {"type": "text", "text": f"Greet {params['arguments']['name']}."}
        replied = {**said, "text": "Hi"}
        return {"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": replied}]}
    if params["uri"] == "file:///none":
        return {"code": -32002, "message": f"no such resource {os.environ.get('SECRET', '')}"}
    blob = {"uri": "file:///b", "blob": "!" if params["uri"] == "file:///bad" else "aGVsbG8="}
    return {"contents": [{"uri": "file:///a", "text": "text"}, blob]}


def answer(message: dict[str, Any]) -> None:
    """Answer one message as the protocol says."""
    method, params = message["method"], message.get("params", {})
    if method == "notifications/cancelled":
        cancelled.append(params["requestId"])
    if "id" not in message:
        return
    result: dict[str, Any] | None
    if method == "initialize":
        capabilities: dict[str, Any] = {"tools": {"listChanged": True}, "resources": {}, "prompts": {}}
        if MODE == "bare":
            capabilities = {}
        result = {
            "protocolVersion": "1999-01-01" if MODE == "ancient" else "2025-06-18",
            "capabilities": capabilities,
            "serverInfo": {"name": "fake", "version": "1"},
        }
    elif method == "tools/list":
        result = list_tools(params.get("cursor"))
    elif method == "tools/call":
        result = run_tool(params, params.get("_meta", {}).get("progressToken"))
        if result is None:
            return
    elif method.startswith(("resources/", "prompts/")):
        result = read(method, params)
    else:
        result = {"code": -32601, "message": f"no method {method}"}
    if "code" in result:
        send({"id": message["id"], "error": result})
        return
    send({"id": message["id"], "result": result})


def main() -> None:
    """Serve until the input ends."""
    if MODE == "banner":
        sys.stdout.write("Welcome!\n\nThis program prints.\n")
    elif MODE == "garbage":
        sys.stdout.write("line\n" * 1000)
        sys.stdout.flush()
    elif MODE == "huge":
        sys.stdout.write("x" * 1_000_000)
        sys.stdout.flush()
    elif MODE == "leave":
        sys.exit("cannot open the files")
    elif MODE == "chatty":
        sys.stderr.write("y" * 1_000_000 + "\n")
    elif MODE == "stubborn":
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        if MODE == "silent":
            continue
        answer(json.loads(line))
        if deaf:
            break
    while MODE == "stubborn" or deaf:
        time.sleep(1)


if __name__ == "__main__":
    main()
