"""The folder of open windows belongs to one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from millpond.backup.spool import SpoolFolder
from millpond.errors import RefusedForSafety, WrongUsage

HOLDER = """
import sys
from pathlib import Path
from millpond.backup.spool import SpoolFolder
folder = SpoolFolder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_user_in_the_same_process_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    first = SpoolFolder(tmp_path / "spool")
    with pytest.raises(RefusedForSafety, match="is in use by another process") as caught:
        SpoolFolder(tmp_path / "spool")
    assert "--spool" in caught.value.hint
    first.close()
    SpoolFolder(tmp_path / "spool").close()


def test_another_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(RefusedForSafety):
            SpoolFolder(tmp_path)
        holder.kill()
        holder.wait()
    SpoolFolder(tmp_path).close()


def test_a_refused_process_removes_nothing_of_the_one_that_has_the_folder(tmp_path: Path) -> None:
    first = SpoolFolder(tmp_path)
    window = first.new_path()
    window.write_bytes(b"being written")
    with pytest.raises(RefusedForSafety):
        SpoolFolder(tmp_path)
    assert window.exists()
    first.close()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "0123.blocks").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"a person's own")
    folder = SpoolFolder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "notes.txt"]
    assert folder.new_path() != folder.new_path()
    folder.close()


def test_a_folder_that_cannot_be_made_is_named_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WrongUsage, match=r"cannot use the spool folder .*file/spool: ") as caught:
        SpoolFolder(tmp_path / "file" / "spool")
    assert "--spool" in caught.value.hint
