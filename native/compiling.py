"""Compiles the optional module: `python native/compiling.py [--required]`.

It needs a C compiler and Python's headers. Without them, or with MILLPOND_PURE=1, Millpond runs on Python alone, more
slowly; only with --required that is an error. Nothing but the standard library is used: this runs before anything is
installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "native" / "codec.c"
FOLDER = ROOT / "millpond" / "archive"
PURE = "MILLPOND_PURE"
# Fails where a symbol is missing, or the headers were not this Python's.
_LOAD = "import importlib.util as u, sys; u.module_from_spec(u.spec_from_file_location('_codec', sys.argv[1]))"


class NotBuilt(Exception):
    """Why there is no compiled module, in one line."""


def built() -> Path:
    """Where the module of the running Python is, or would be."""
    return FOLDER / f"_codec{sysconfig.get_config_var('EXT_SUFFIX')}"


def compiler() -> list[str] | None:
    """The command that compiles and links extensions; the compiler that built Python may not be on this machine."""
    command = shlex.split(sysconfig.get_config_var("LDSHARED") or "")
    if not command:  # Python for Windows does not say
        return None
    if shutil.which(command[0]) is None:
        command[0] = "cc"
    return command if shutil.which(command[0]) else None


def build() -> Path:
    """Compiles for the running Python, unless that was done since the source changed.

    Raises:
        NotBuilt: No compiler, no headers, or it failed. No older module is left then.
    """
    target = built()
    try:
        _refuse_pure()
        if not target.exists() or target.stat().st_mtime < SOURCE.stat().st_mtime:
            _compile(target)
    except NotBuilt:
        target.unlink(missing_ok=True)
        raise
    return target


def _refuse_pure() -> None:
    if os.environ.get(PURE) == "1":
        raise NotBuilt(f"{PURE}=1")


def _compile(target: Path) -> None:
    command = compiler()
    if command is None:
        raise NotBuilt("no C compiler")
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").exists():
        raise NotBuilt("no headers of this Python")
    # Beside the target and then renamed: a running process may have the old one loaded.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".codec-") as folder:
        made = Path(folder) / target.name
        flags = ["-O3", "-Wall", "-fPIC", "-fvisibility=hidden", f"-I{include}"]
        _run([*command, *flags, str(SOURCE), "-o", str(made)])
        _run([sys.executable, "-c", _LOAD, str(made)])
        made.replace(target)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
        raise NotBuilt(f"{Path(command[0]).name} failed: {told[0] if told else done.returncode}")


def main() -> int:
    """Says in one line what there is now."""
    try:
        print(f"compiled encoder and decoder: {build().name}")  # noqa: T201  # what a build says
    except NotBuilt as reason:
        print(f"no compiled encoder and decoder, Python's are used: {reason}", file=sys.stderr)  # noqa: T201
        return 1 if "--required" in sys.argv[1:] else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
