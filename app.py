"""The CDK app. `cdk synth -c config=FILE` reads one deployment from TOML (default: millpond.toml, else the example)."""

from __future__ import annotations

import sys
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra.bundle import BundleError
from infra.config import ConfigError, Deployment, load
from infra.stacks.backup import BackupStack
from infra.stacks.operations import OperationsStack
from infra.stacks.storage import StorageStack

ROOT = Path(__file__).resolve().parent
OWN, EXAMPLE = ROOT / "millpond.toml", ROOT / "deployment.example.toml"


def build(app: cdk.App, deployment: Deployment) -> None:
    """All stacks of one deployment, and the checks that synth runs over them."""
    env = cdk.Environment(account=deployment.account, region=deployment.region)
    storage = StorageStack(app, "Storage", deployment=deployment, env=env)
    backup = BackupStack(
        app, "Backup", deployment=deployment, archive=storage.archive, erasure=storage.erasure, env=env
    )
    OperationsStack(
        app,
        "Operations",
        deployment=deployment,
        archive=storage.archive,
        erasure=storage.erasure,
        network=backup.network,
        env=env,
    )
    cdk.Tags.of(app).add("millpond", deployment.name)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def chosen(app: cdk.App) -> Path:
    """The file named on the command line, else `millpond.toml`, else the example, which is said aloud."""
    named = app.node.try_get_context("config")
    if named:
        return Path(str(named)).expanduser().absolute()
    if not OWN.exists():
        sys.stderr.write("no millpond.toml: this is the example deployment\n")
    return OWN if OWN.exists() else EXAMPLE


def main() -> None:
    app = cdk.App()
    try:
        build(app, load(chosen(app)))
        app.synth()
    except (ConfigError, BundleError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
