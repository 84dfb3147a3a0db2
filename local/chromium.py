"""A headless Chromium to look at pages with: the machine's own, or else one out of an npm package in the cache folder.

The package holds the program and the few libraries that small machines lack, compressed with Brotli.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from local.cache import cache_folder, one_at_a_time
from local.node import NODE, npm_install
from local.progress import step
from millpond.errors import MillpondError, WrongUsage

VERSION = "153.0.0"
PACKAGE = "@sparticuz/chromium"
SHA256 = {
    "chromium.br": "38e1e1649db20fa4ea644bf5987688ce81a4c9eb10e7eae8380b74fc0d699fea",
    "al2023.tar.br": "a166168dd3e3e9d8743689fff543c5cadb3025c1816c6a154c90dc68a59edd0a",
    "fonts.tar.br": "c1307fe5cd607092f0426742b4ab93755eec9a9b7752e47c56408c2bcf3e515b",
    "swiftshader.tar.br": "b680e40a33235ecc6ad4c6897a168b70ce5164f0d62d2a64d675320d51614631",
}
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")

_UNPACK = """
const fs = require('fs'), [source, target] = process.argv.slice(1);
require('stream').pipeline(fs.createReadStream(source), require('zlib').createBrotliDecompress(),
  fs.createWriteStream(target), error => { if (error) { console.error(error.message); process.exit(1); } });
"""
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


@dataclass(frozen=True)
class Chromium:
    """A program and what its environment has to say."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict)


def chromium() -> Chromium:
    """The browser of this machine, or one that is fetched on first use (70 MB).

    Raises:
        WrongUsage: None is there, and none can be had for this kind of machine.
        TryAgain: npm could not fetch it.
    """
    own = next(filter(None, map(shutil.which, PROGRAMS)), None) or (str(MAC) if MAC.exists() else None)
    return Chromium(Path(own)) if own else fetched()


def fetched() -> Chromium:
    """The one in the cache folder; see `chromium`."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise WrongUsage("there is no Chromium on this machine", hint=f"install one of {', '.join(PROGRAMS)}")
    folder = cache_folder() / f"chromium-{VERSION}"
    if not (folder / "complete").exists():
        with one_at_a_time("chromium"):
            if not (folder / "complete").exists():
                with step(f"fetching Chromium {VERSION}"):
                    _fetch(folder)
                (folder / "complete").touch()
    libraries = os.pathsep.join(filter(None, (str(folder / "lib"), os.environ.get("LD_LIBRARY_PATH", ""))))
    return Chromium(folder / "chromium", {"FONTCONFIG_PATH": str(folder), "LD_LIBRARY_PATH": libraries})


def _fetch(folder: Path) -> None:
    # Its dependencies only serve to unpack it, and scripts of packages are not run.
    npm_install(f"{PACKAGE}@{VERSION}", folder, "--ignore-scripts")
    for name, due in SHA256.items():
        _unpack(folder / "node_modules" / PACKAGE / "bin" / name, due, folder)
    (folder / "chromium").chmod(0o755)
    (folder / "fonts.conf").write_text(_FONTS.format(fonts=folder / "fonts", cache=folder / "fonts-cache"))
    shutil.rmtree(folder / "node_modules")


def _unpack(source: Path, due: str, folder: Path) -> None:
    with source.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != due:
        raise MillpondError(f"{source.name} of {PACKAGE} {VERSION} has sha256 {found}, {due} is due")
    target = folder / source.stem
    command = [str(NODE), "-e", _UNPACK, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MillpondError(f"cannot unpack {source.name} of {PACKAGE} {VERSION}: {done.stderr.strip()}")
    if target.suffix == ".tar":
        shutil.unpack_archive(target, folder)
        target.unlink()
