"""A process that is watched from outside: by the health check of its container, a scrape, its standard output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.units.consumer import IS_WELL
from local.processes import Child, free_ports, wait_until
from millpond.settings.telemetry import METRICS_PORT
from tests.unit.telemetry.asking import Reply, ask

REPOSITORY = Path(__file__).resolve().parents[2]


class WatchedRun:
    """A run with a port of its own."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder, self._children = folder, 0

    def start(self, *words: str, **settings: str) -> Child:
        self._children += 1
        named = {f"MILLPOND_{name.upper()}": value for name, value in settings.items()}
        env = {name: value for name, value in os.environ.items() if not name.startswith("MILLPOND_")}
        env |= {"MILLPOND_METRICS_PORT": str(self.port), "PYTHONPATH": str(REPOSITORY)} | named
        command = [sys.executable, "-m", "tests.integration.watched_run", *words]
        return Child(command, output=self._folder / f"output-{self._children}", env=env, cwd=self._folder)

    def started(self, *words: str, **settings: str) -> Child:
        child = self.start(*words, **settings)
        wait_until(self._told, "the first status")
        return child

    def ask(self, path: str, method: str = "GET") -> Reply:
        return ask(self.port, path, method)

    def lines(self, child: int = 1) -> list[str]:
        return (self._folder / f"output-{child}").read_text().splitlines()

    def _told(self) -> bool:
        try:
            return "millpond_backup_records_total" in self.ask("/__/metrics").text
        except (ConnectionError, TimeoutError):
            return False

    def is_well(self, within_s: int = 30) -> bool:
        """What the container's health check says, with a proxy in the environment that leads nowhere."""
        assert str(METRICS_PORT) in IS_WELL
        code = IS_WELL.replace(str(METRICS_PORT), str(self.port)).replace("timeout=5", f"timeout={within_s}")
        env = os.environ | {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        found = subprocess.run(
            [sys.executable, "-c", code], env=env, stderr=subprocess.DEVNULL, check=False, timeout=120
        )
        assert found.returncode in (0, 1)
        return found.returncode == 0


@pytest.fixture
def run(tmp_path: Path) -> Iterator[WatchedRun]:
    found, started = WatchedRun(tmp_path), []
    original = found.start

    def start(*words: str, **settings: str) -> Child:
        started.append(original(*words, **settings))
        return started[-1]

    found.start = start  # type: ignore[method-assign]
    yield found
    for child in started:
        child.send(signal.SIGCONT)
        child.stop()


def emf(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if "CloudWatchMetrics" in line]


def test_the_containers_health_check_passes_while_the_loop_runs(run: WatchedRun) -> None:
    run.started()
    assert run.is_well()


def test_the_containers_health_check_fails_when_the_loop_hangs(run: WatchedRun) -> None:
    run.started("61")
    assert not run.is_well()
    (seconds,) = re.findall(r"for (\d+) s", run.ask("/__/health").json["why"])
    assert int(seconds) >= 61


def test_the_containers_health_check_fails_when_nobody_listens(run: WatchedRun) -> None:
    assert not run.is_well()


def test_the_containers_health_check_fails_when_the_whole_process_stands_still(run: WatchedRun) -> None:
    child = run.started()
    child.send(signal.SIGSTOP)
    assert not run.is_well(1)
    child.send(signal.SIGCONT)
    assert run.is_well()


def test_a_scrape_sees_the_run_go_on(run: WatchedRun) -> None:
    child = run.started()

    def records() -> float:
        page = run.ask("/__/metrics").text
        return float(
            next(line.split()[1] for line in page.splitlines() if line.startswith("millpond_backup_records_total "))
        )

    first = records()
    assert wait_until(lambda: records() > first, "more records")
    assert child.running


def test_a_flush_is_answered_by_the_loop(run: WatchedRun) -> None:
    run.started(allow_flush="true")
    assert run.ask("/__/flush", "POST").json == {"partitions": 3}
    assert run.ask("/__/flush").status == 405


def test_all_that_was_counted_is_on_standard_output_when_it_ends(run: WatchedRun) -> None:
    child = run.started(emf="shop")
    assert child.stop() == 0
    found = emf(run.lines())
    assert found and all(line["Deployment"] == "shop" for line in found)
    assert sum(line["Records"] for line in found) > 0
    assert all(line["ProcessMemory"] > 1 << 20 for line in found)


def test_a_second_run_on_the_same_port_ends_with_2_and_says_which_flag(run: WatchedRun) -> None:
    run.started()
    second = run.start(log_format="json")
    assert second.wait(90) == 2
    (line,) = run.lines(2)
    said = json.loads(line)["message"]
    assert f"port {run.port}: Address already in use" in said and "--metrics-port" in said
    assert run.is_well()


def test_a_flush_for_other_machines_ends_the_start_with_2(run: WatchedRun) -> None:
    assert run.start(allow_flush="true", metrics_address="0.0.0.0").wait(90) == 2
    assert "hint: leave out --allow-flush" in "\n".join(run.lines())
