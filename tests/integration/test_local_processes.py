"""Nothing that the local stack starts may outlive the process that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.processes import HOST, Child, free_ports, wait_until
from millpond.errors import TryAgain

PARENT = """
import sys, time
from pathlib import Path
from local.processes import Child, sigterm_as_exit
with sigterm_as_exit():
    child = Child(["sleep", "60"], output=Path(sys.argv[1]))
    print(child.pid, flush=True)
    if sys.argv[2] == "raise":
        raise ValueError
    time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, "raise"])
def test_a_child_ends_with_its_parent(tmp_path: Path, end: signal.Signals | str) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log"), str(end)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if isinstance(end, signal.Signals):
            parent.send_signal(end)
    wait_until(lambda: not runs(child), f"process {child} has ended")


def runs(pid: int) -> bool:
    """Whether it is there and no zombie that nobody has collected."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_child_that_ignores_sigterm_is_killed_with_its_family(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child(["sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"], output=log)
    grandchild = int(wait_until(lambda: log.exists() and log.read_text(), "the family is up"))
    assert child.stop(timeout_s=0.3) == 128 + signal.SIGKILL
    wait_until(lambda: not runs(grandchild), "the grandchild has ended")


def test_free_ports_are_different_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < 32_768
    assert HOST == "127.0.0.1"


PORTS_OF_ANOTHER = "from local.processes import free_ports; print(*free_ports(400), flush=True); input()"


def test_two_processes_never_get_one_port_even_before_anybody_listens_there() -> None:
    command = [sys.executable, "-c", PORTS_OF_ANOTHER]
    given = set(free_ports(400))
    with ExitStack() as stack:
        for _ in range(4):
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            other = stack.enter_context(subprocess.Popen(command, **pipes, text=True))
            theirs = {int(port) for port in other.stdout.readline().split()}
            assert len(theirs) == 400
            assert not given & theirs
            given |= theirs


def test_what_never_comes_is_named() -> None:
    with pytest.raises(TryAgain, match=r"the moon: not within 0\.1 s; the last answer was None"):
        wait_until(lambda: None, "the moon", timeout_s=0.1)
