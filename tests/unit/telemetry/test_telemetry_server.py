"""The server beside a run: what it answers, to whom, and that nobody can wear it out."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from local.processes import wait_until
from millpond.errors import TryAgain, WrongUsage
from millpond.telemetry.health import Health
from millpond.telemetry.prometheus import PrometheusPage
from millpond.telemetry.server import Pages, TelemetryServer
from tests.unit.telemetry.asking import ask

WELL = Health(True, "all is well")
NO_METRICS = PrometheusPage(list)


def flushed(partitions: int) -> Callable[[], Future[int]]:
    def flush() -> Future[int]:
        future: Future[int] = Future()
        future.set_result(partitions)
        return future

    return flush


def refuse() -> Future[int]:
    future: Future[int] = Future()
    future.set_exception(TryAgain("the store does not answer", hint="look at the store"))
    return future


class Waiting:
    """Flushes that nobody answers until told."""

    def __init__(self) -> None:
        self.futures: list[Future[int]] = []

    def __call__(self) -> Future[int]:
        self.futures.append(Future())
        return self.futures[-1]


@contextlib.contextmanager
def served(
    flush: Callable[[], Future[int]] | None = None, *, within_s: float = 5.0, address: str = "127.0.0.1"
) -> Iterator[int]:
    with TelemetryServer(address, 0, Pages(NO_METRICS, lambda: WELL, flush, within_s)) as server:
        yield server.port


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.is_alive()}


# -- pages


def test_health_is_json_and_its_status_is_the_verdict() -> None:
    verdicts = [Health(False, "it hangs", ({"kind": "brokers silent", "seconds": 70.0},)), WELL]
    with TelemetryServer("127.0.0.1", 0, Pages(NO_METRICS, verdicts.pop)) as server:
        well, hangs = ask(server.port, "/__/health"), ask(server.port, "/__/health")
    assert (well.status, well.json) == (200, {"ok": True, "why": "all is well", "warnings": []})
    assert hangs.status == 503
    assert hangs.json["warnings"] == [{"kind": "brokers silent", "seconds": 70.0}]
    assert well.headers["cache-control"] == "no-store"


def test_a_query_does_not_hide_a_page() -> None:
    with served() as port:
        assert ask(port, "/__/health?verbose=1").status == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/__/", "/__/health/", "/__/../etc/passwd"])
def test_there_are_no_other_pages(path: str) -> None:
    with served() as port:
        assert ask(port, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_are_read_only(method: str) -> None:
    with served() as port:
        found = ask(port, "/__/metrics", method)
    assert (found.status, found.headers["allow"]) == (405, "GET")


def test_head_tells_the_length_and_sends_no_body() -> None:
    with served() as port:
        got, headed = ask(port, "/__/health"), ask(port, "/__/health", "HEAD")
    assert (headed.status, headed.text) == (200, "")
    assert headed.headers["content-length"] == str(len(got.text))


def test_the_server_does_not_tell_its_version() -> None:
    with served() as port:
        assert "python" not in ask(port, "/__/health").headers["server"].lower()


# -- flush


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_leave_there_is_no_flush(method: str) -> None:
    with served() as port:
        assert ask(port, "/__/flush", method).status == 404


def test_a_flush_says_how_many_partitions() -> None:
    with served(flushed(12)) as port:
        found = ask(port, "/__/flush", "POST")
    assert (found.status, found.json) == (200, {"partitions": 12})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_flushes(method: str) -> None:
    waiting = Waiting()
    with served(waiting) as port:
        found = ask(port, "/__/flush", method)
    assert (found.status, found.headers["allow"]) == (405, "POST")
    assert waiting.futures == []


def test_a_body_is_of_no_interest() -> None:
    with served(flushed(1)) as port:
        assert ask(port, "/__/flush", "POST", body=b"all of it").status == 200


def test_a_flush_that_fails_says_why() -> None:
    with served(refuse) as port:
        found = ask(port, "/__/flush", "POST")
    assert (found.status, found.json) == (503, {"error": "the store does not answer\nhint: look at the store"})


def test_a_flush_that_takes_too_long_is_not_waited_for() -> None:
    with served(Waiting(), within_s=0.1) as port:
        assert ask(port, "/__/flush", "POST").status == 504


def test_a_flush_whose_backup_ends_is_told_so_while_the_server_ends() -> None:
    waiting, replies = Waiting(), []
    with served(waiting) as port:
        client = threading.Thread(target=lambda: replies.append(ask(port, "/__/flush", "POST")))
        client.start()
        wait_until(lambda: waiting.futures, "a request for a flush")
        answer = threading.Timer(0.5, waiting.futures[0].set_exception, [TryAgain("the backup ends")])
        answer.start()
    assert waiting.futures[0].done(), "the process would have ended before the answer"
    client.join(5)
    assert [reply.status for reply in replies] == [503]


def test_a_client_that_goes_away_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    with caplog.at_level(logging.INFO), served(waiting) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /__/flush HTTP/1.0\r\n\r\n")
            wait_until(lambda: waiting.futures, "a request for a flush")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets
        waiting.futures[0].set_result(3)
        assert ask(port, "/__/health").status == 200
    assert caplog.records == []


def test_those_who_wait_for_a_flush_do_not_keep_health_from_answering() -> None:
    waiting = Waiting()
    with served(waiting) as port:
        clients = [threading.Thread(target=ask, args=(port, "/__/flush", "POST")) for _ in range(4)]
        for client in clients:
            client.start()
        wait_until(lambda: len(waiting.futures) == 4, "four requests for a flush")
        assert ask(port, "/__/flush", "POST").status == 503
        assert ask(port, "/__/health").status == 200
        for future in waiting.futures:
            future.set_result(0)
        for client in clients:
            client.join(5)
        again = threading.Thread(target=ask, args=(port, "/__/flush", "POST"))
        again.start()
        wait_until(lambda: len(waiting.futures) == 5, "a place for one more")
        waiting.futures[4].set_result(0)
        again.join(5)


# -- where it listens


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_flush_is_never_served_to_other_machines(address: str) -> None:
    with pytest.raises(WrongUsage, match="flush cannot be allowed") as caught:
        TelemetryServer(address, 0, Pages(NO_METRICS, lambda: WELL, flushed(1)))
    assert "--allow-flush" in caught.value.hint


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "localhost"])
def test_a_flush_is_served_on_loopback_addresses(address: str) -> None:
    with served(flushed(1), address=address) as port:
        assert ask(port, "/__/flush", "POST", host=address).status == 200


def test_it_listens_where_it_was_told_and_nowhere_else() -> None:
    with served(address="127.8.8.8") as port:
        assert ask(port, "/__/health", host="127.8.8.8").status == 200
        with pytest.raises(ConnectionRefusedError):
            ask(port, "/__/health", host="127.0.0.1")


def test_all_addresses_may_be_served_without_a_flush() -> None:
    with served(address="0.0.0.0") as port:
        assert ask(port, "/__/health").status == 200


def test_a_port_in_use_is_refused_with_a_hint() -> None:
    with served() as port:
        server = TelemetryServer("127.0.0.1", port, Pages(NO_METRICS, lambda: WELL))
        with pytest.raises(WrongUsage, match=f"127.0.0.1 port {port}: Address already in use") as caught:
            server.__enter__()
    assert "--metrics-port" in caught.value.hint


@pytest.mark.parametrize("address", ["no such name", "999.1.1.1", "a" * 300])
def test_an_address_that_is_none_is_refused_with_a_hint(address: str) -> None:
    with pytest.raises(WrongUsage, match="no address of this machine") as caught:
        TelemetryServer(address, 0, Pages(NO_METRICS, lambda: WELL))
    assert "--metrics-address" in caught.value.hint


def test_the_port_is_free_again_and_no_thread_is_left() -> None:
    before = threads()
    with served() as port:
        ask(port, "/__/health")
    with TelemetryServer("127.0.0.1", port, Pages(NO_METRICS, lambda: WELL)):
        assert ask(port, "/__/health").status == 200
    wait_until(lambda: threads() <= before, "an end of all threads", timeout_s=5)


# -- wearing it out


def test_clients_that_say_nothing_take_a_bounded_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.telemetry.server._Handler.timeout", 0.5)
    before = len(threads())
    with served() as port, contextlib.ExitStack() as silent:
        for _ in range(40):
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.2)
        assert len(threads()) - before <= 16 + 1
        assert wait_until(lambda: health_of(port) == 200, "health once the silent ones are given up", timeout_s=5)


def health_of(port: int) -> int:
    try:
        return ask(port, "/__/health").status
    except OSError:
        return 0


def test_what_is_no_http_is_refused_and_the_next_request_answered() -> None:
    with served() as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"\x16\x03\x01\x00\xff no TLS here\r\n\r\n")
            assert b"400" in client.recv(4096)
        assert ask(port, "/__/health").status == 200


def test_a_page_that_breaks_is_logged_and_the_next_request_answered(caplog: pytest.LogCaptureFixture) -> None:
    verdicts = [WELL]
    with TelemetryServer("127.0.0.1", 0, Pages(NO_METRICS, verdicts.pop)) as server:
        assert ask(server.port, "/__/health").status == 200
        with pytest.raises(OSError, match=r"closed|reset"):
            ask(server.port, "/__/health")
        assert ask(server.port, "/__/metrics").status == 200
    assert [record.message for record in caplog.records] == ["the telemetry server could not answer"]
