"""Where the browser of the tests comes from: the machine's own first, and nothing unpacked that is not what is due."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from local import chromium
from local.node import NODE
from millpond.errors import MillpondError, WrongUsage

_PACK = "process.stdout.write(require('zlib').brotliCompressSync(Buffer.from('the program')))"


def test_the_machines_own_browser_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "google-chrome"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.chromium() == chromium.Chromium(own)


def test_a_machine_for_which_there_is_none_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium.platform, "machine", lambda: "riscv64")
    with pytest.raises(WrongUsage, match="no Chromium") as caught:
        chromium.fetched()
    assert "google-chrome" in caught.value.hint


def test_only_what_has_the_right_checksum_is_unpacked(tmp_path: Path) -> None:
    packed = tmp_path / "chromium.br"
    packed.write_bytes(subprocess.run([NODE, "-e", _PACK], capture_output=True, check=True).stdout)
    with pytest.raises(MillpondError, match=r"chromium\.br .* has sha256"):
        chromium._unpack(packed, "0" * 64, tmp_path)
    assert not (tmp_path / "chromium").exists()
    chromium._unpack(packed, hashlib.sha256(packed.read_bytes()).hexdigest(), tmp_path)
    assert (tmp_path / "chromium").read_bytes() == b"the program"


def test_what_is_not_packed_is_told(tmp_path: Path) -> None:
    packed = tmp_path / "chromium.br"
    packed.write_bytes(b"no brotli")
    with pytest.raises(MillpondError, match=r"cannot unpack chromium\.br"):
        chromium._unpack(packed, hashlib.sha256(b"no brotli").hexdigest(), tmp_path)
