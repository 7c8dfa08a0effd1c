"""One request and the answer to it, on a connection of the `FaultServer`.

Requests are parsed by h11. Answers are written by hand, since h11 rightly refuses to write most of what a fault is.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import h11

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Exchange", "RecordedRequest", "RequestReader"]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it came.

    Attributes:
        method: such as `"POST"`.
        path: with the query.
        headers: names in lower case. They hold the client's key, hence no `repr`.
        body: the bytes.
        json: what the bytes say as JSON; None when they are none.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    json: object

    @property
    def streamed(self) -> bool:
        """The client wants a stream."""
        return self._says("stream")

    @property
    def wants_usage(self) -> bool:
        """The client wants the tokens of a stream."""
        options = self.json.get("stream_options") if isinstance(self.json, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return isinstance(options, dict) and bool(options.get("include_usage"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def _says(self, key: str) -> bool:
        return isinstance(self.json, dict) and bool(self.json.get(key))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


class RequestReader:
    """Read requests, one after the other, from one connection."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._ahead = b""

    async def next(self) -> RecordedRequest | None:
        """Return the next request, or None when the client is gone.

        Raises:
            h11.RemoteProtocolError: what came is no HTTP.
        """
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1024 * 1024)
        if self._ahead:
            connection.receive_data(self._ahead)
            self._ahead = b""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    await self._stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                try:
                    connection.receive_data(await self._stream.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return None
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                self._ahead = connection.trailing_data[0]
                return _recorded(head, bytes(body))
            else:
                return None

    async def watch(self) -> None:
        """Return when the client leaves; what it sends before that is kept for `next()`."""
        try:
            while True:
                self._ahead += await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


def _recorded(head: h11.Request, body: bytes) -> RecordedRequest:
    try:
        said: object = json.loads(body)
    except ValueError:
        said = None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return RecordedRequest(head.method.decode(), head.target.decode("latin-1"), headers, body, said)


class Exchange:
    """The answer to one request, piece by piece.

    Attributes:
        request: what is answered.
        number: of the request, from 1.
        over: we closed the connection, or the answer says that it ends with the connection.
    """

    def __init__(self, stream: anyio.abc.ByteStream, request: RecordedRequest, number: int) -> None:
        self.request = request
        self.number = number
        self.over = False
        self._stream = stream

    async def respond(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole answer."""
        await self._stream.send(self._head(status, content_type, len(body), headers) + body)

    async def respond_json(self, status: int, body: object, *, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer with a JSON body."""
        await self.respond(status, json.dumps(body).encode(), headers=headers)

    async def start(
        self,
        status: int,
        *,
        content_length: int | None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send the head of an answer; `send()` the body. Without a length it is chunked: `send_chunk()` it."""
        await self._stream.send(self._head(status, content_type, content_length, headers))

    async def start_stream(self, *, content_type: str = "text/event-stream") -> None:
        """Send the head of a streamed answer."""
        await self.start(200, content_length=None, content_type=content_type)

    async def send_event(self, data: str) -> None:
        """Send one event of a streamed answer."""
        await self.send_chunk(f"data: {data}\n\n".encode())

    async def send_chunk(self, data: bytes) -> None:
        """Send a piece of a chunked body."""
        if data:
            await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        """Send the end of a chunked body."""
        await self.send(b"0\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self._stream.send(data)

    async def close(self) -> None:
        """Close the connection in good form."""
        self.over = True
        await self._stream.aclose()

    async def reset(self) -> None:
        """Reset the connection, so that the client loses even what was on its way."""
        self.over = True
        number = self._stream.extra(anyio.abc.SocketAttribute.raw_socket).fileno()
        # uvloop's socket object cannot set options, a second one on the same connection can.
        with socket.socket(fileno=os.dup(number)) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self._stream.aclose()

    def _head(self, status: int, kind: str, length: int | None, headers: Mapping[str, str] | None) -> bytes:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Status"
        lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {kind}"]
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
