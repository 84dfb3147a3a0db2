"""Folders that nobody named: each process has its own, and none stays behind for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millpond.backup.spool import SpoolFolder
from millpond.errors import WrongUsage
from millpond.settings.parts import spool_folder
from millpond.settings.temporary import temporary_folder

HOLDS = """
import sys
from millpond.settings.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "0").mkdir()
    (folder / "0" / "x.blocks").write_bytes(b"records")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def process() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """One that holds a folder until its input ends."""
    one = subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert one.stdout
    try:
        yield one, Path(one.stdout.readline().strip())
    finally:
        one.kill()
        one.communicate()


def test_a_folder_is_a_spool_like_any_other_and_gone_at_the_end() -> None:
    with spool_folder(None) as folder:
        SpoolFolder(folder).close()
        (folder / "x.blocks").write_bytes(b"records")
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_by_the_next_one() -> None:
    with process() as (one, left):
        one.send_signal(signal.SIGKILL)
        one.wait()
        assert (left / "0" / "x.blocks").exists()
        with temporary_folder() as mine:
            assert not left.exists() and mine.exists()


def test_the_folder_of_a_process_that_runs_is_left_alone() -> None:
    with process() as (_, theirs), temporary_folder() as mine:
        assert (theirs / "0" / "x.blocks").exists() and mine != theirs


def test_the_folder_of_a_worker_that_outlives_its_parent_is_left_alone() -> None:
    with process() as (parent, folder):
        worker = SpoolFolder(folder / "0")
        (folder / "0" / "x.blocks").write_bytes(b"records")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        with temporary_folder():
            assert (folder / "0" / "x.blocks").exists()
        worker.close()
        with temporary_folder():
            assert not folder.exists()


@pytest.mark.parametrize("made", ["open to others", "a link", "a file"])
def test_a_place_that_others_can_read_is_refused(temporary: Path, made: str) -> None:
    with temporary_folder() as folder:
        home = folder.parent
    (home / "owner.lock").unlink()
    home.rmdir()
    if made == "open to others":
        home.mkdir()
        home.chmod(0o777)
    elif made == "a link":
        home.symlink_to(temporary)
    else:
        home.write_bytes(b"")
    with pytest.raises(WrongUsage) as caught, temporary_folder():
        raise AssertionError
    assert "--spool" in caught.value.hint
