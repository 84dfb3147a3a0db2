"""The compiled encoder and decoder: there wherever they can be, and never of another opinion than Python's."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive.compiled import codec
from millpond.archive.decode import decode_block, decode_keys, decode_values
from millpond.archive.encode import encode_rows
from millpond.errors import DamagedArchive
from millpond.records import Row
from native.compiling import PURE, built, compiler
from tests.unit.archive.strategies import SMALL_ROWS
from tests.unit.archive.test_archive_decode import loose_blocks
from tests.unit.archive.variants import needs_compiled, only
from tests.unit.builders import make_rows

REPOSITORY = Path(__file__).resolve().parents[3]
CAN_COMPILE = compiler() is not None and Path(sysconfig.get_paths()["include"], "Python.h").exists()
needs_compiler = pytest.mark.skipif(not CAN_COMPILE, reason="there is no C compiler, or no headers of this Python")


@pytest.mark.skipif(os.environ.get(PURE) == "1", reason=f"{PURE}=1 asks for Python alone")
@needs_compiler
def test_where_there_is_a_compiler_the_module_is_built() -> None:
    assert built().exists(), "run: .venv/bin/python native/compiling.py"
    assert codec is not None and Path(str(codec.__file__)) == built()
    assert built().stat().st_mtime >= (REPOSITORY / "native" / "codec.c").stat().st_mtime, "it is out of date"


READERS: list[Callable[[bytes, int], Any]] = [decode_block, decode_keys, decode_values]


def outcome(reader: Callable[[bytes, int], Any], data: bytes, count: int, variant: str) -> Any:
    with only(variant):
        try:
            return reader(data, count)
        except DamagedArchive as damage:
            return str(damage), damage.hint


def assert_of_one_opinion(data: bytes, count: int) -> None:
    for reader in READERS:
        assert outcome(reader, data, count, "compiled") == outcome(reader, data, count, "python")


@needs_compiled
@settings(max_examples=1000)
@given(st.binary(max_size=80), st.integers(-2, 6))
def test_arbitrary_bytes_mean_the_same_to_both(data: bytes, count: int) -> None:
    assert_of_one_opinion(data, count)


# Tags, signs, continuation bits and small sizes: what steers a decoder, and seldom comes out of chance alone.
STEERING = st.lists(st.sampled_from([0, 1, 2, 3, 4, 6, 0x7F, 0x80, 0x81, 0x82, 0xFE, 0xFF]), max_size=60).map(bytes)


@needs_compiled
@settings(max_examples=1000)
@given(STEERING, st.integers(0, 6))
def test_bytes_that_steer_mean_the_same_to_both(data: bytes, count: int) -> None:
    assert_of_one_opinion(data, count)


@needs_compiled
@settings(max_examples=300)
@given(loose_blocks(), st.data())
def test_damaged_blocks_mean_the_same_to_both(block: tuple[list[Row], bytes], data: st.DataObject) -> None:
    rows, encoded = block
    damaged = bytearray(encoded)
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    assert_of_one_opinion(bytes(damaged), len(rows))
    assert_of_one_opinion(bytes(damaged[:cut]), len(rows))
    assert_of_one_opinion(bytes(damaged[cut:]), len(rows))


@needs_compiled
def test_many_flips_and_cuts_of_a_block_mean_the_same_to_both() -> None:
    chance, rows = random.Random(2026), make_rows(8190, 12)
    encoded = encode_rows(rows)
    for _ in range(5000):
        damaged = bytearray(encoded)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        assert_of_one_opinion(bytes(damaged[: chance.randint(0, len(damaged) * 2)]), len(rows) + chance.randint(-1, 1))


@needs_compiled
@given(SMALL_ROWS)
def test_both_encode_alike(rows: list[Row]) -> None:
    with only("compiled"):
        compiled = encode_rows(rows)
    with only("python"):
        assert encode_rows(rows) == compiled


@needs_compiled
def test_nothing_is_left_behind_by_reading_damage() -> None:
    """A reference too many would be a leak, one too few a crash."""
    encoded = encode_rows(make_rows(0, 50))
    damaged = [encoded[:end] for end in range(0, len(encoded), 7)] * 20
    counts = []
    for _ in range(3):
        gc.collect()
        before = sys.getallocatedblocks()
        assert codec is not None
        assert all(codec.decode_block(data, 50) is None and codec.decode_keys(data, 50) is None for data in damaged)
        assert len(codec.decode_block(encoded, 50) or ()) == 50
        gc.collect()
        counts.append(sys.getallocatedblocks() - before)
    assert min(counts) < 50


def compile_in(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "millpond" / "archive").mkdir(parents=True, exist_ok=True)
    shutil.copytree(REPOSITORY / "native", folder / "native", dirs_exist_ok=True)
    command = [sys.executable, str(folder / "native" / "compiling.py")]
    clean = {name: text for name, text in os.environ.items() if name != PURE}
    return subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, check=False)


def modules(folder: Path) -> list[Path]:
    return list((folder / "millpond" / "archive").iterdir())


@needs_compiler
def test_a_checkout_is_compiled_once(tmp_path: Path) -> None:
    assert "compiled encoder and decoder" in compile_in(tmp_path).stdout
    (module,) = modules(tmp_path)
    made = module.stat().st_mtime_ns
    assert compile_in(tmp_path).returncode == 0
    assert [found.stat().st_mtime_ns for found in modules(tmp_path)] == [made]


@needs_compiler
@pytest.mark.parametrize("env", [{PURE: "1"}, {"PATH": ""}])
def test_without_a_compiler_there_is_a_line_and_no_old_module(tmp_path: Path, env: dict[str, str]) -> None:
    compile_in(tmp_path)
    for module in modules(tmp_path):  # older than its source
        os.utime(module, (0, 0))
    done = compile_in(tmp_path, **env)
    assert (done.returncode, modules(tmp_path)) == (0, [])
    assert len(done.stderr.splitlines()) == 1 and "Python's are used" in done.stderr


@needs_compiler
def test_a_source_that_does_not_compile_leaves_python_alone(tmp_path: Path) -> None:
    compile_in(tmp_path)
    bad = tmp_path / "bad"
    shutil.copytree(tmp_path, bad)
    (bad / "native" / "codec.c").write_text("#error not today\n")
    done = subprocess.run(
        [sys.executable, str(bad / "native" / "compiling.py")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, modules(bad)) == (0, [])
    assert "not today" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_switch_leaves_the_module_alone() -> None:
    script = "from millpond.archive.compiled import codec; print(codec)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, PURE: "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "None"
