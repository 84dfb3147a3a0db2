"""What holds for all templates: linted, without secrets, deployable in any account."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.conftest import REPOSITORY, Assembly

CONFIG = """
account = "123456789012"
region = "eu-central-1"
name = "trial"
retain = false
cpu_architecture = "arm64"
[kafka]
brokers = ["kafka.internal:9092"]
[backup]
topics = ["orders"]
[network]
create = true
"""


def lint(folder: Path) -> str:
    # W3005: CDK writes DependsOn for what a reference implies already.
    command = [
        sys.executable,
        "-m",
        "cfnlint",
        "--ignore-checks",
        "W3005",
        "--",
        *map(str, folder.glob("*.template.json")),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_cfn_lint_has_nothing_to_say(assembly: Assembly) -> None:
    assert lint(assembly.folder) == ""


def test_synth_asked_nobody_for_anything(assembly: Assembly) -> None:
    assert "missing" not in json.loads((assembly.folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def trial(wheel_node: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole app as a process, with a network of its own and an account that cannot be asked."""
    folder = tmp_path_factory.mktemp("trial")
    (folder / "trial.toml").write_text(CONFIG)
    synth(folder, config=folder / "trial.toml")
    return folder / "out"


def synth(folder: Path, *, config: Path) -> subprocess.CompletedProcess[str]:
    """`python app.py` as the CDK CLI runs it."""
    import os

    context = {**json.loads((REPOSITORY / "cdk.json").read_text())["context"], "config": str(config)}
    environment = {**os.environ, "CDK_OUTDIR": str(folder / "out"), "CDK_CONTEXT_JSON": json.dumps(context)}
    return subprocess.run(
        [sys.executable, "app.py"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


def test_a_network_for_trials_needs_no_lookup(trial: Path) -> None:
    assert "missing" not in json.loads((trial / "manifest.json").read_text())
    assert lint(trial) == ""


def test_a_trial_may_be_removed_whole(trial: Path) -> None:
    text = (trial / "Storage.template.json").read_text()
    assert "Retain" not in text
    manifest = json.loads((trial / "manifest.json").read_text())["artifacts"]
    assert not any(stack.get("properties", {}).get("terminationProtection") for stack in manifest.values())


def test_a_trial_on_arm_is_arm_everywhere(trial: Path) -> None:
    operations = (trial / "Operations.template.json").read_text()
    assert "ARM64" in operations and "arm64" in operations and "X86_64" not in operations
    assert list(trial.glob("asset.*/pydantic_core/*aarch64*.so"))


def test_an_unusable_file_ends_with_one_message_and_no_traceback(wheel_node: None, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("name = ")
    done = synth(tmp_path, config=tmp_path / "bad.toml")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"cannot use the deployment described in {tmp_path / 'bad.toml'}"
    assert "Traceback" not in done.stderr
