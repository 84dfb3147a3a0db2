"""The unmodified CDK command line, run on the Node.js of a wheel, and the stand-in for Docker it calls for images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.cache import cache_folder, one_at_a_time
from local.ministack.settings import REPOSITORY, first_on_path
from local.node import NODE, npm_install, with_node
from local.progress import step
from millpond.errors import MillpondError

# npm's latest is 3.0.0, which cannot read what aws-cdk-lib 2.275 writes.
CDK_CLI = "2.1148.1"


def cdk_program() -> Path:
    """The CDK command line, fetched with npm into the cache on first use.

    Raises:
        TryAgain: npm could not fetch it. What it had is kept in npm's own cache.
    """
    folder = cache_folder() / f"aws-cdk-{CDK_CLI}"
    program = folder / "node_modules" / "aws-cdk" / "bin" / "cdk"
    complete = folder / "complete"
    if not complete.exists():
        with one_at_a_time("aws-cdk"):
            if not complete.exists():
                with step(f"fetching the CDK command line {CDK_CLI}"):
                    npm_install(f"aws-cdk@{CDK_CLI}", folder)
                complete.touch()
    return program


def run_cdk(command: str, *arguments: str, cwd: Path, env: Mapping[str, str], scratch: Path | None, quiet: bool) -> str:
    """Run it in the folder of cdk.json; `python app.py` there is this Python.

    scratch: a folder for the stand-in for Docker; None leaves the machine's own. quiet: return what it says.

    Raises:
        MillpondError: It ended with an error; the end of its output is in the message.
    """
    path = first_on_path(sys.executable, with_node(env.get("PATH")))
    docker = {"CDK_DOCKER": str(docker_stand_in(scratch))} if scratch else {}
    whole = {**env, "PATH": path, **docker}
    done = subprocess.run(
        [NODE, cdk_program(), command, *arguments, "--no-notices"],
        cwd=cwd,
        env=whole,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MillpondError(f"cdk {command} ended with {done.returncode}\n{(done.stdout or '')[-4000:]}")
    return done.stdout or ""


def docker_stand_in(folder: Path) -> Path:
    """A program for CDK_DOCKER. A script of its own, because the CDK starts it without a shell and arguments."""
    script = folder / "docker"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m local.docker_stand_in "$@"\n')
    script.chmod(0o755)
    return script
