"""A run's telemetry as a whole: statuses go in, pages and lines come out."""

from __future__ import annotations

import io
import json
import logging
import os
from typing import Any

import pytest

from millpond.backup.flush import Flush
from millpond.backup.metrics import BACKUP, PREFIX
from millpond.backup.status import BackupStatus
from millpond.errors import WrongUsage
from millpond.telemetry.observer import Telemetry, TelemetryOptions
from tests.unit.telemetry.asking import ask
from tests.unit.telemetry.statuses import BUSY, NOW, counted, status

SERVED = TelemetryOptions(port=0)
LINES = TelemetryOptions(deployment="shop")


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def __call__(self) -> int:
        return self.ms

    def go(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def telemetry(options: TelemetryOptions, clock: Clock, **more: Any) -> Telemetry[BackupStatus]:
    return Telemetry(options, BACKUP, clock_ms=clock, **more)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


# -- pages


def test_the_last_status_is_what_is_told(clock: Clock) -> None:
    with telemetry(SERVED, clock) as told:
        told.observe(BUSY)
        told.observe(counted(records=11))
        page = ask(told.port, "/__/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert f"{PREFIX}records_total 11.0\n" in page.text
    assert f'{PREFIX}lag_offsets{{partition="0",topic="orders"}} 3.0\n' in page.text


def test_before_the_first_status_there_is_health_and_the_process(clock: Clock) -> None:
    with telemetry(SERVED, clock) as told:
        page, health = ask(told.port, "/__/metrics"), ask(told.port, "/__/health")
    assert "process_resident_memory_bytes" in page.text and PREFIX not in page.text
    assert health.status == 200


def test_a_loop_that_hangs_is_unhealthy_and_its_metrics_tell_for_how_long(clock: Clock) -> None:
    with telemetry(SERVED, clock) as told:
        told.observe(BUSY)
        clock.go(61)
        health, page = ask(told.port, "/__/health"), ask(told.port, "/__/metrics")
        told.observe(status(at_ms=clock.ms))
        again = ask(told.port, "/__/health")
    assert (health.status, again.status) == (503, 200)
    assert f"{PREFIX}status_age_seconds 61.0\n" in page.text


def test_health_names_stopped_partitions_and_stays_well(clock: Clock) -> None:
    with telemetry(SERVED, clock) as told:
        told.observe(BUSY)
        found = ask(told.port, "/__/health")
    assert found.status == 200
    stopped = {"kind": "partition stopped", "topic": "orders", "partition": 1, "reason": "not authorised to read"}
    assert found.json["warnings"] == [stopped]


def test_without_a_port_nothing_listens(clock: Clock) -> None:
    with telemetry(TelemetryOptions(), clock) as told:
        told.observe(BUSY)
        assert told.port is None


# -- flush


def test_a_flush_that_is_asked_for_over_http_is_answered_by_the_run(clock: Clock) -> None:
    flush = Flush()

    class Answering(Flush):
        """The consumer's thread, which would look for requests at its next step."""

        def ask(self) -> Any:
            future = flush.ask()
            for one in flush.take() or []:
                one.set_result(7)
            return future

    options = TelemetryOptions(port=0, allow_flush=True)
    with telemetry(options, clock, flush=Answering().ask) as told:
        found = ask(told.port, "/__/flush", "POST")
    assert (found.status, found.json) == (200, {"partitions": 7})


def test_a_flush_is_not_served_unless_allowed(clock: Clock) -> None:
    with telemetry(SERVED, clock, flush=Flush().ask) as told:
        assert ask(told.port, "/__/flush", "POST").status == 404


def test_a_flush_for_other_machines_ends_the_start(clock: Clock) -> None:
    options = TelemetryOptions(port=0, address="0.0.0.0", allow_flush=True)
    with pytest.raises(WrongUsage, match=r"0\.0\.0\.0"), telemetry(options, clock, flush=Flush().ask):
        pass


# -- CloudWatch's lines


def test_a_line_is_written_in_each_minute_of_the_clock(clock: Clock) -> None:
    out = io.StringIO()
    with telemetry(LINES, clock, out=out) as told:
        for second in range(1, 181):
            clock.go(1)
            told.observe(counted(records=10 * second))
    found = lines(out)
    assert [line["_aws"]["Timestamp"] for line in found] == [NOW + 60_000, NOW + 120_000, NOW + 180_000, NOW + 180_000]
    assert [line["Records"] for line in found] == [600, 600, 600, 0]


def test_no_line_comes_of_a_loop_that_hangs(clock: Clock) -> None:
    out = io.StringIO()
    with telemetry(LINES, clock, out=out) as told:
        told.observe(BUSY)
        clock.go(600)
        assert lines(out) == []


def test_what_was_counted_after_the_last_line_is_told_at_the_end(clock: Clock) -> None:
    out = io.StringIO()
    with telemetry(LINES, clock, out=out) as told:
        clock.go(60)
        told.observe(counted(records=100))
        clock.go(5)
        told.observe(counted(records=140))
    assert [line["Records"] for line in lines(out)] == [100, 40]


def test_the_first_line_tells_cpu_and_memory_too(clock: Clock) -> None:
    out = io.StringIO()
    with telemetry(LINES, clock, out=out, pids=lambda: (os.getpid(),)) as told:
        told.observe(BUSY)
    (line,) = lines(out)
    assert line["ProcessMemory"] > 1 << 20 and line["ProcessCpu"] > 0
    assert line["Deployment"] == "shop"


def test_a_run_without_a_name_and_one_without_a_status_write_nothing(clock: Clock) -> None:
    unnamed, silent = io.StringIO(), io.StringIO()
    with telemetry(TelemetryOptions(), clock, out=unnamed) as told, telemetry(LINES, clock, out=silent):
        clock.go(60)
        told.observe(BUSY)
    assert (unnamed.getvalue(), silent.getvalue()) == ("", "")


def test_a_closed_standard_output_ends_the_lines_and_not_the_run(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out, caplog.at_level(logging.WARNING):
        with telemetry(LINES, clock, out=out) as told:
            for _ in range(3):
                clock.go(60)
                told.observe(BUSY)
        # What Python could not write stays in its buffer and would be tried again on closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    assert [record.message for record in caplog.records] == [
        "no more metrics for CloudWatch: cannot write to standard output: Broken pipe"
    ]
