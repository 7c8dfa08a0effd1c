"""A lean OpenAI-shaped server for benchmarks: it answers at once, or after a delay, and checks nothing.

Run as a process of its own, it prints its port and ends when its standard input closes. The path says what to
do: `/<delay in ms>/<chunks>[@<ms between them>]/chat/completions`; without chunks in a streamed call the answer is one
chunk. A request with tools whose last words are the user's is answered with a call of the tool `get_user_property`.
"""

from __future__ import annotations

import asyncio
import json
import sys

PIECE = {
    "id": "chatcmpl-bench-0000000001",
    "object": "chat.completion.chunk",
    "created": 1_700_000_000,
    "model": "bench-1",
    "system_fingerprint": "fp_44709d6fcb",
}


def _event(delta: dict[str, object], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return b"data: " + json.dumps({**PIECE, "choices": [choice]}).encode() + b"\n\n"


# Different words, since litellm takes the same one a hundred times in a row for a model gone mad.
_TEXTS = [_event({"content": f" token{i}"}) for i in range(10)]
_LAST = _event({}, "stop") + b"data: [DONE]\n\n"
_BODY = json.dumps(
    {
        **PIECE,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "January 1st is the birthday of the user."},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21},
    }
).encode()
_CALL = {"name": "get_user_property", "arguments": '{"asked_property": "birthday"}'}
_TOOL_BODY = json.dumps(
    {
        **PIECE,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "call_%08d", "type": "function", "function": _CALL}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21},
    }
).encode()


def _plain(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


_PLAIN = _plain(_BODY)
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _wants_tool(body: bytes) -> bool:
    if b'"tools"' not in body:
        return False
    body = body.replace(b'": "', b'":"')
    return body.rfind(b'"role":"user"') > body.rfind(b'"role":"tool"')


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Connection(asyncio.Protocol):
    calls = 0  # of tools, so that each has an identifier of its own

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.need = 0
        self.pace = 0.0

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) < self.need:
            return
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        self.need = len(head) + 4 + length
        if len(self.buffer) < self.need:
            return
        self.buffer, self.need = b"", 0
        _, delay, chunks, _ = head.partition(b" ")[2].split(b"/", 3)
        streamed = b'"stream":true' in body or b'"stream": true' in body
        answer = self._stream if streamed else self._call if _wants_tool(body) else self._plain
        count, _, pace = chunks.partition(b"@")
        self.pace = int(pace or 0) / 1000
        if int(delay):
            asyncio.get_running_loop().call_later(int(delay) / 1000, answer, int(count))
        else:
            answer(int(count))

    def _plain(self, chunks: int) -> None:
        self.transport.write(_PLAIN)

    def _call(self, chunks: int) -> None:
        _Connection.calls += 1
        self.transport.write(_plain(_TOOL_BODY % _Connection.calls))

    def _stream(self, chunks: int) -> None:
        """Send the chunks one by one, each in a packet of its own as a model would."""
        self.transport.write(_STREAM)
        self._next(chunks)

    def _next(self, left: int) -> None:
        if left:
            self.transport.write(_chunked(_TEXTS[left % 10]))
            loop = asyncio.get_running_loop()
            if self.pace:
                loop.call_later(self.pace, self._next, left - 1)
            else:
                loop.call_soon(self._next, left - 1)
        else:
            self.transport.write(_chunked(_LAST) + b"0\r\n\r\n")


async def _main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
