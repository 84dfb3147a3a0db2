"""A proxy before an S3 endpoint that answers wrongly on purpose: error codes, delays, resets, cut and altered replies.

    with FaultyS3(aws.url, first(2, Fault(status=503, code="SlowDown"))) as proxy:
        store = S3Store(bucket, client=...(endpoint_url=proxy.url))

A rule sees every call and returns a fault or None, which means: forward it and answer truthfully. `proxy.calls` holds
what was asked, in the order in which it came.
"""

from __future__ import annotations

import http.client
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

PASSED_ON_BY_US = {"connection", "expect", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True)
class Call:
    """One request. `nth` counts from 1 the calls with the same method and path, so it tells retries apart."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    nth: int


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call.

    Attributes:
        status: Answer this instead, with the S3 error `code`.
        forward: Do what was asked first, then lose the true answer: the case in which a retry meets its own work.
        delay_s: Wait before anything else.
        reset: Break the connection (TCP RST) instead of answering.
        cut_after: Send so many bytes of the true reply's body, wait for stall_s, then close.
        flip_byte: Invert this byte of the true reply's body.
        content: Send this as the body and no checksum of it, under the true ETag: a store that has lost or mixed up
            what it holds.
    """

    status: int = 0
    code: str = ""
    forward: bool = False
    delay_s: float = 0
    reset: bool = False
    cut_after: int | None = None
    stall_s: float = 0
    flip_byte: int | None = None
    content: bytes | None = None


Rule = Callable[[Call], Fault | None]


def first(count: int, fault: Fault, *, method: str = "") -> Rule:
    """The fault for the first `count` calls (with this method)."""
    seen: Counter[bool] = Counter()
    lock = threading.Lock()

    def rule(call: Call) -> Fault | None:
        if method and call.method != method:
            return None
        with lock:
            seen[True] += 1
            return fault if seen[True] <= count else None

    return rule


def always(fault: Fault, *, method: str = "") -> Rule:
    return lambda call: fault if not method or call.method == method else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that gave up is what tests are after
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class FaultyS3:
    def __init__(self, upstream: str, rule: Rule = lambda _: None) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.rule = rule
        self.calls: list[Call] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> FaultyS3:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _seen(self, method: str, target: str, headers: Mapping[str, str]) -> Call:
        parts = urlsplit(target)
        with self._lock:
            self._counts[method, parts.path] += 1
            call = Call(method, parts.path, parts.query, headers, self._counts[method, parts.path])
            self.calls.append(call)
        return call

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                headers = dict(self.headers.items())
                body = self.rfile.read(int(headers.get("Content-Length", 0)))
                call = proxy._seen(self.command, self.path, headers)
                fault = proxy.rule(call) or Fault(forward=True)
                time.sleep(fault.delay_s)
                truth = None
                if fault.forward or not (fault.status or fault.reset):
                    truth = forwarded(proxy.upstream, self.command, self.path, headers, body)
                if fault.reset:
                    self.break_connection()
                elif fault.status or truth is None:
                    self.refuse(fault)
                else:
                    self.relay(*truth, fault)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815 names are http.server's

            def refuse(self, fault: Fault) -> None:
                text = f"<Error><Code>{fault.code}</Code><Message>injected</Message></Error>".encode()
                self.relay(fault.status, {"Content-Type": "application/xml", "Content-Length": str(len(text))}, text)

            def relay(self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None = None) -> None:
                if fault and fault.content is not None:
                    headers, body = replaced(headers, fault.content), fault.content
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if fault and fault.flip_byte is not None:
                    body = flipped(body, fault.flip_byte)
                if self.command == "HEAD":
                    return
                if fault and fault.cut_after is not None:
                    body, self.close_connection = body[: fault.cut_after], True
                self.wfile.write(body)
                time.sleep(fault.stall_s if fault else 0)

            def break_connection(self) -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.rfile.close()  # it holds the socket open
                self.connection.close()

            def log_message(self, *args: object) -> None:
                return

        return Handler


def forwarded(
    upstream: str, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(upstream, timeout=60)
    try:
        passed = {name: value for name, value in headers.items() if name.lower() not in PASSED_ON_BY_US}
        connection.request(method, target, body, passed)
        reply = connection.getresponse()
        content = reply.read()
        answered = {name: value for name, value in reply.getheaders() if name.lower() not in PASSED_ON_BY_US}
        length = reply.getheader("Content-Length") if method == "HEAD" else str(len(content))
        if length is not None:
            answered["Content-Length"] = length
        return reply.status, answered, content
    finally:
        connection.close()


def replaced(headers: Mapping[str, str], content: bytes) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if not name.lower().startswith("x-amz-checksum-")}
    return kept | {"Content-Length": str(len(content))}


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
