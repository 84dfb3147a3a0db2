"""A small HTTP server beside a long run: metrics, health, and a request to flush where that is allowed.

It speaks plain HTTP without a login and is meant for the machine or a private network. So the only request that does
anything, `POST /__/flush`, has to be allowed and is served on a loopback address only.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from millpond.errors import MillpondError, WrongUsage
from millpond.telemetry.health import Health
from millpond.telemetry.prometheus import PrometheusPage

_LOG = logging.getLogger(__name__)
_AT_ONCE, _FLUSHES_AT_ONCE = 16, 4
_READ_WITHIN_S = 10.0
_END_WITHIN_S = 1.0
_FLUSH_WITHIN_S = 60.0

Flush = Callable[[], "Future[int]"]


@dataclass(frozen=True, slots=True)
class Pages:
    """What is served.

    Attributes:
        flush: Asks for a flush; its result is a number of partitions. None: there is no such page.
        flush_within_s: How long a request waits for it.
    """

    metrics: PrometheusPage
    health: Callable[[], Health]
    flush: Flush | None = None
    flush_within_s: float = _FLUSH_WITHIN_S


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"
    allow: str = ""


class TelemetryServer:
    """Serves until the block ends.

    Raises:
        WrongUsage: The address cannot be used, the port is taken, or a flush would be served to others.
    """

    def __init__(self, address: str, port: int, pages: Pages) -> None:
        family, sockaddr = _resolve(address, port)
        if pages.flush and not ipaddress.ip_address(sockaddr[0]).is_loopback:
            raise WrongUsage(
                f"a flush cannot be allowed on {address}: whoever reaches the port could ask for one",
                hint="leave out --allow-flush, or let --metrics-address be 127.0.0.1",
            )
        self._where = f"{address} port {port}"
        self._server = _Server(family, sockaddr, pages)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="telemetry", daemon=True)

    @property
    def port(self) -> int:
        """The port, of use where 0 had the system choose one."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        try:
            self._server.server_bind()
            self._server.server_activate()
        except OSError as error:
            self._server.server_close()
            raise WrongUsage(
                f"cannot serve metrics on {self._where}: {error.strerror}",
                hint="choose another --metrics-port, or 0 for none",
            ) from error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.wait_answered(_END_WITHIN_S)
        self._thread.join()


def _resolve(address: str, port: int) -> tuple[socket.AddressFamily, Any]:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise WrongUsage(f"{address} is no address of this machine: {error}", hint="check --metrics-address") from error
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr


class _Server(ThreadingHTTPServer):
    """A thread for each request, and no more threads than are good for a health check."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 4 * _AT_ONCE

    def __init__(self, family: socket.AddressFamily, sockaddr: Any, pages: Pages) -> None:
        self.address_family, self.pages = family, pages
        self.flushes = threading.BoundedSemaphore(_FLUSHES_AT_ONCE)
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(sockaddr, _Handler, bind_and_activate=False)

    def server_bind(self) -> None:
        """Without the look-up of the host's name that HTTPServer does: it may take long and tells nothing here."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called where an exception is handled. A client that went away is nobody's fault."""
        if isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            _LOG.debug("a client of the telemetry server went away")
        else:
            _LOG.exception("the telemetry server could not answer")

    def wait_answered(self, within_s: float) -> None:
        """Lets requests under way end: a flush whose backup ends is told so."""
        until = time.monotonic() + within_s
        for _ in range(_AT_ONCE):
            self._places.acquire(timeout=max(0.0, until - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "millpond", ""
    timeout = _READ_WITHIN_S

    def do_GET(self) -> None:
        self._send(self._route())

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815  # http.server looks for them

    def _route(self) -> _Answer:
        pages: dict[str, tuple[str, Callable[[], _Answer]]] = {
            "/__/metrics": ("GET", self._metrics),
            "/__/health": ("GET", self._health),
        }
        if self.server.pages.flush:
            pages["/__/flush"] = ("POST", self._flush)
        method, page = pages.get(self.path.partition("?")[0], ("", None))
        if page is None:
            return _said(HTTPStatus.NOT_FOUND, f"there are only {', '.join(pages)}")
        if self.command != method and (self.command, method) != ("HEAD", "GET"):
            return _said(HTTPStatus.METHOD_NOT_ALLOWED, f"use {method}", allow=method)
        return page()

    def _metrics(self) -> _Answer:
        body, content_type = self.server.pages.metrics.render(self.headers.get("Accept", ""))
        return _Answer(HTTPStatus.OK, body, content_type)

    def _health(self) -> _Answer:
        health = self.server.pages.health()
        return _json(HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE, health.document())

    def _flush(self) -> _Answer:
        # Those who wait for a flush leave places for whoever asks for the health.
        if not self.server.flushes.acquire(blocking=False):
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, f"{_FLUSHES_AT_ONCE} requests wait for a flush already")
        try:
            return _flushed(self.server.pages)
        finally:
            self.server.flushes.release()

    def _send(self, answer: _Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        if answer.allow:
            self.send_header("Allow", answer.allow)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, form: str, *arguments: Any) -> None:
        """A scrape every few seconds is nothing to tell of."""
        _LOG.debug("http: " + form, *arguments)


def _flushed(pages: Pages) -> _Answer:
    assert pages.flush
    try:
        partitions = pages.flush().result(timeout=pages.flush_within_s)
    except TimeoutError:
        return _said(HTTPStatus.GATEWAY_TIMEOUT, f"not flushed after {pages.flush_within_s:.0f} s; it goes on")
    except MillpondError as error:
        return _said(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    return _json(HTTPStatus.OK, {"partitions": partitions})


def _said(status: HTTPStatus, error: str, *, allow: str = "") -> _Answer:
    return _json(status, {"error": error}, allow=allow)


def _json(status: HTTPStatus, document: dict[str, Any], *, allow: str = "") -> _Answer:
    return _Answer(status, json.dumps(document).encode() + b"\n", allow=allow)
