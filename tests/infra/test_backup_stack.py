"""The backup consumer: what it is told, how it is stopped, and that it can only add."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.conftest import Assembly
from tests.infra.policies import flat, may, of_type, statements

ROLE = "BackupTaskTaskRole"
RECORDS = "<ArchiveBucket>/archive/topics/orders/id/0/orders-0.avro"


@pytest.fixture
def container(assembly: Assembly) -> dict[str, Any]:
    task = of_type(assembly.backup, "AWS::ECS::TaskDefinition")["BackupTask"]
    assert len(task["ContainerDefinitions"]) == 1
    found: dict[str, Any] = task["ContainerDefinitions"][0]
    return found


def test_it_is_told_everything_by_its_environment(container: dict[str, Any]) -> None:
    assert {pair["Name"]: flat(pair["Value"]) for pair in container["Environment"]} == {
        "MILLPOND_ARCHIVE": "s3://<ArchiveBucket>/archive",
        "MILLPOND_BROKERS": "kafka-1.internal:9092,kafka-2.internal:9092",
        "MILLPOND_TOPICS": ".*",
        "MILLPOND_EXCLUDE_TOPICS": "__.*",
        "MILLPOND_MAX_AGE": "300",
        "MILLPOND_MAX_BYTES": "67108864",
        "MILLPOND_MAX_RECORDS": "0",
        "MILLPOND_CODEC": "zstandard",
        "MILLPOND_WORKERS": "1",
        "MILLPOND_SETTLE": "0.0",
        "MILLPOND_SPOOL_BYTES": "0",
        "MILLPOND_SKIP_UNREADABLE": "false",
        "MILLPOND_LOG_LEVEL": "WARNING",
        "MILLPOND_EMF": "millpond",
        "MILLPOND_SNAPSHOT_EVERY": "0",
        "MILLPOND_SPOOL": "/spool",
        "MILLPOND_LOG_FORMAT": "json",
    }


def test_it_runs_the_consumer_and_has_two_minutes_to_flush(container: dict[str, Any]) -> None:
    assert container["Command"] == ["python", "-m", "backup_consumer"]
    assert container["StopTimeout"] == 120


def test_it_writes_to_its_spool_alone(container: dict[str, Any]) -> None:
    assert container["ReadonlyRootFilesystem"] is True
    assert [mount["ContainerPath"] for mount in container["MountPoints"]] == ["/spool"]


def test_it_may_add_and_read_but_never_delete(assembly: Assembly) -> None:
    assert may(assembly.backup, ROLE, "s3:PutObject", RECORDS)
    assert may(assembly.backup, ROLE, "s3:GetObject", RECORDS)
    assert may(assembly.backup, ROLE, "s3:ListBucket", "<ArchiveBucket>")
    actions = str([statement["Action"] for statement in statements(assembly.backup, ROLE)])
    assert "Delete" not in actions and "*" not in actions


@pytest.mark.parametrize(
    "key", ["groups/x.avro", "cluster/x.json", "erasures/receipts/x.json", "runs/restore/r/plan.jsonl", "archive.jso"]
)
def test_it_writes_records_and_makes_the_archive_and_touches_nothing_else(assembly: Assembly, key: str) -> None:
    assert may(assembly.backup, ROLE, "s3:PutObject", "<ArchiveBucket>/archive/archive.json")
    assert not may(assembly.backup, ROLE, "s3:PutObject", f"<ArchiveBucket>/archive/{key}")
    assert may(assembly.backup, ROLE, "s3:GetObject", f"<ArchiveBucket>/archive/{key}")


def test_it_may_not_read_the_erasure_secret_unless_it_splits_windows_by_content(assembly: Assembly) -> None:
    assert not may(assembly.backup, ROLE, "secretsmanager:GetSecretValue", "<ErasureSecret>")


def test_it_sees_nothing_beyond_the_archives_prefix(assembly: Assembly) -> None:
    assert not may(assembly.backup, ROLE, "s3:GetObject", "<ArchiveBucket>/other/object")
    assert not may(assembly.backup, ROLE, "s3:PutObject", "<ArchiveBucket>/other/object")
    listing = next(s for s in statements(assembly.backup, ROLE) if "s3:ListBucket" in s["Action"])
    assert listing["Condition"] == {"StringLikeIfExists": {"s3:prefix": ["archive", "archive/*"]}}


def test_a_new_task_joins_before_an_old_one_leaves_and_a_bad_one_is_rolled_back(assembly: Assembly) -> None:
    deployment = of_type(assembly.backup, "AWS::ECS::Service")["BackupService"]["DeploymentConfiguration"]
    assert deployment == {
        "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        "MaximumPercent": 200,
        "MinimumHealthyPercent": 100,
    }


def test_nothing_reaches_it_from_outside(assembly: Assembly) -> None:
    group = of_type(assembly.backup, "AWS::EC2::SecurityGroup")["NetworkGroup"]
    assert "SecurityGroupIngress" not in group
    assert not of_type(assembly.backup, "AWS::EC2::SecurityGroupIngress")
