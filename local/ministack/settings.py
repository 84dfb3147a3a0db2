"""What the parent process tells the emulator: which image is which program, where logs go, how much may run at once."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLE = "MILLPOND_LOCAL_AWS"


@dataclass(frozen=True)
class Image:
    """What a container image is on this machine.

    Attributes:
        match: Regular expression searched in the image's name: registry/name:tag, and name@digest from ECS services.
        entrypoint: Comes before the container's command; empty when commands are complete (`python -m ...`).
        cwd: Where the process starts; `python` on its PATH is the one that runs the emulator.
        env: Under what the task or job definition sets.
        volumes: Mount paths. A variable that names one gets a folder of this container's own instead.
    """

    match: str = ".*"
    entrypoint: tuple[str, ...] = ()
    cwd: str = str(REPOSITORY)
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ("/spool",)


@dataclass(frozen=True)
class Settings:
    """Attributes:
    port: Of the emulator on 127.0.0.1.
    logs: Folder for the output of tasks and jobs.
    parallel_jobs: Batch jobs at once; more wait as RUNNABLE (the local maxvCpus).
    lambda_python: The interpreter of every Python function, whatever its runtime says.
    """

    port: int
    logs: str
    images: tuple[Image, ...] = (Image(),)
    parallel_jobs: int = 4
    lambda_python: str = sys.executable

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def image(self, name: str) -> Image:
        """The first image whose pattern is found in the name. LookupError when there is none."""
        for image in self.images:
            if re.search(image.match, name):
                return image
        raise LookupError(f"CannotPullContainerError: no local program for image {name}")

    def dump(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_environment(cls) -> Settings:
        fields = json.loads(os.environ[VARIABLE])
        lists = ("entrypoint", "volumes")
        images = [Image(**{**image, **{name: tuple(image[name]) for name in lists}}) for image in fields.pop("images")]
        return cls(images=tuple(images), **fields)


def first_on_path(program: str | Path, path: str | None) -> str:
    """A PATH on which the folder of `program` comes first."""
    return os.pathsep.join([str(Path(program).parent), path or os.defpath])
