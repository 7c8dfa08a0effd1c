"""A local host for traces: it takes what the exporters post, or behaves badly."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Received", "Receiver", "receiving", "refusing"]


@dataclass(frozen=True, slots=True)
class Received:
    """One span, as it came over the wire."""

    trace_id: str
    id: str
    parent_id: str | None
    name: str
    attributes: dict[str, Any]
    start: int
    end: int
    status: int
    kind: int
    events: list[tuple[str, dict[str, Any]]]


class Receiver:
    """What came, and how to answer.

    Attributes:
        mode: `"ok"`, `"500"`, `"slow"` (a third of a second) or `"hang"` (until the receiver is closed).
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.spans: list[Received] = []
        self.scores: list[dict[str, Any]] = []
        self.metrics: dict[str, list[Any]] = {}
        self.raw: list[bytes] = []
        self.requests: list[tuple[str, str]] = []
        self.authorization: set[str] = set()
        self.answers: dict[str, tuple[int, Any]] = {}
        self.closing = threading.Event()
        self.url = ""

    def take(self, path: str, body: bytes) -> None:
        """Take one request's body."""
        self.raw.append(body)
        if path.endswith("/v1/traces"):
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.spans += [_span(span) for span in scope.spans]
        elif path.endswith("/v1/metrics"):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        self.metrics.setdefault(metric.name, []).append(metric)
        elif path.endswith("/scores"):
            found = json.loads(body)
            self.scores += found if isinstance(found, list) else [found]
        elif path.endswith("/ingestion"):
            self.scores += [event["body"] for event in json.loads(body)["batch"]]

    def wait_for_spans(self, count: int) -> None:
        """Block until so many spans are there."""
        while len(self.spans) < count and not self.closing.wait(0.01):
            pass

    def everything(self) -> str:
        """Return all that came, as text."""
        return "\n".join(body.decode("utf-8", "replace") for body in self.raw)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(entry) for entry in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _span(span: Any) -> Received:
    return Received(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex() or None,
        span.name,
        {entry.key: _value(entry.value) for entry in span.attributes},
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code,
        span.kind,
        [(event.name, {entry.key: _value(entry.value) for entry in event.attributes}) for event in span.events],
    )


@contextmanager
def receiving(mode: str = "ok") -> Generator[Receiver]:
    """Run a receiver on loopback, in threads."""
    receiver = Receiver(mode)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.requests.append((self.command, self.path))
            if receiver.mode == "hang":
                receiver.closing.wait(30)
                self.close_connection = True
                return
            if receiver.mode == "slow":
                receiver.closing.wait(0.3)
            scheme, _, given = self.headers.get("Authorization", "").partition(" ")
            if scheme == "Basic":
                receiver.authorization.add(base64.b64decode(given).decode())
            status, answer = 500, {}
            if receiver.mode != "500":
                receiver.take(self.path.partition("?")[0], body)
                status, answer = receiver.answers.get(self.path.partition("?")[0], (200, {}))
            text = b"" if self.path.startswith("/v1") or "otel" in self.path else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET = do_PUT = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that left

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def refusing() -> str:
    """Return the address of a port where nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return f"http://127.0.0.1:{server.server_address[1]}"
