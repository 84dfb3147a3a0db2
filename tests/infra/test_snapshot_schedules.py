"""Snapshots of groups and of the cluster: when they are taken, what of the archive their function may write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.config import ConfigError, load
from tests.infra.conftest import Assembly
from tests.infra.policies import flat, may, of_type

ROLE = "SnapshotRole"
ARCHIVE = "<ArchiveBucket>/archive"
MINIMAL = """
[kafka]
brokers = ["a:9092"]
[backup]
topics = ["orders"]
[network]
create = true
"""


@pytest.fixture
def schedules(assembly: Assembly) -> dict[str, Any]:
    return of_type(assembly.operations, "AWS::Scheduler::Schedule")


def test_groups_are_kept_every_minute_and_the_cluster_every_ten(schedules: dict[str, Any]) -> None:
    ours = {name: found for name, found in schedules.items() if name.startswith("Snapshots")}
    assert {name: found["ScheduleExpression"] for name, found in ours.items()} == {
        "SnapshotsGroups": "rate(1 minute)",
        "SnapshotsCluster": "rate(10 minutes)",
    }
    assert {json.loads(found["Target"]["Input"])["take"][0]: name for name, found in ours.items()} == {
        "groups": "SnapshotsGroups",
        "cluster": "SnapshotsCluster",
    }
    assert {flat(found["Target"]["Arn"]) for found in ours.values()} == {"<SnapshotFunction>"}


def test_a_lost_snapshot_is_not_taken_later(schedules: dict[str, Any]) -> None:
    policy = schedules["SnapshotsGroups"]["Target"]["RetryPolicy"]
    assert policy == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}


def test_the_function_knows_the_cluster_and_what_is_backed_up(assembly: Assembly) -> None:
    function = of_type(assembly.operations, "AWS::Lambda::Function")["SnapshotFunction"]
    told = {name: flat(text) for name, text in function["Environment"]["Variables"].items()}
    assert {name: text for name, text in told.items() if name.startswith("MILLPOND_")} == {
        "MILLPOND_ARCHIVE": "s3://<ArchiveBucket>/archive",
        "MILLPOND_BROKERS": "kafka-1.internal:9092,kafka-2.internal:9092",
        "MILLPOND_TOPICS": ".*",
        "MILLPOND_EXCLUDE_TOPICS": "__.*",
        "MILLPOND_GROUPS": "",
        "MILLPOND_EXCLUDE_GROUPS": "",
    }
    assert "VpcConfig" in function


def test_it_adds_snapshots_and_touches_nothing_else(assembly: Assembly) -> None:
    for key in ("groups/2026/01/01/1767225660000.avro", "cluster/2026/01/01/1767225660000.json"):
        assert may(assembly.operations, ROLE, "s3:PutObject", f"{ARCHIVE}/{key}")
        assert not may(assembly.operations, ROLE, "s3:DeleteObjectVersion", f"{ARCHIVE}/{key}")
    for key in ("archive.json", "topics/orders/id/0/orders-0.avro", "erasures/receipts/r.json", "runs/restore/r/x"):
        assert not may(assembly.operations, ROLE, "s3:PutObject", f"{ARCHIVE}/{key}")
    assert may(assembly.operations, ROLE, "s3:GetObject", f"{ARCHIVE}/archive.json")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("groups_interval_min = -1", "snapshots.groups_interval_min: Input should be greater than or equal to 0"),
        ('groups = ["a,b"]', "snapshots.groups: regex 1 holds a comma"),
        ('exclude_groups = ["("]', "snapshots.exclude_groups: regex 1 is no regular expression: missing )"),
        ("every = 3", "snapshots.every: Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, more: str, message: str) -> None:
    (tmp_path / "d.toml").write_text(f"{MINIMAL}[snapshots]\n{more}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "d.toml")
    assert message in str(caught.value)


def test_the_example_shows_every_field() -> None:
    example = (Path(__file__).parents[2] / "deployment.example.toml").read_text().split("[snapshots]", 1)[1]
    section = type(load(Path(__file__).parents[2] / "deployment.example.toml").snapshots)
    assert [name for name in section.model_fields if name not in example] == []


def test_schedules_can_be_switched_off(wheel_node: None, tmp_path: Path) -> None:
    import aws_cdk as cdk
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk.assertions import Template

    from infra.config import Snapshots as Settings
    from infra.units.controllers import Controllers
    from infra.units.snapshots import Snapshots

    (tmp_path / "handler.py").write_text("")
    stack = cdk.Stack(cdk.App(), "S")
    code = lambda_.Code.from_asset(str(tmp_path))
    controllers = Controllers(
        code=code, python="3.12", architecture=lambda_.Architecture.X86_64, log_days=30, archive_url="s3://b/p"
    )
    controller = controllers.make(stack, "Snapshot", module="snapshot")
    made = Snapshots(stack, "Snapshots", controller=controller, settings=Settings(groups_interval_min=0))
    assert made.groups is None and made.cluster is not None
    Template.from_stack(stack).resource_count_is("AWS::Scheduler::Schedule", 1)
