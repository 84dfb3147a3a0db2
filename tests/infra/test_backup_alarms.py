"""The consumer's health check, and alarms on metrics that it really writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from infra.config import Alarms, ConfigError, load
from infra.units.alarms import DIMENSION, NAMESPACE, BackupAlarms, FunctionFails
from millpond.backup.metrics import METRICS
from millpond.settings.telemetry import METRICS_PORT
from millpond.telemetry import emf
from tests.infra.conftest import REPOSITORY, Assembly
from tests.infra.policies import flat, of_type

GOOD = """
[kafka]
brokers = ["a:9092"]
[backup]
topics = ["orders"]
max_age_s = 500
[network]
create = true
"""


@pytest.fixture
def alarms(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """By what they are called in the stack."""
    found = of_type(assembly.backup, "AWS::CloudWatch::Alarm")
    return {name.removeprefix("Alarms"): alarm for name, alarm in found.items()}


def container(assembly: Assembly) -> dict[str, Any]:
    task = of_type(assembly.backup, "AWS::ECS::TaskDefinition")["BackupTask"]
    found: dict[str, Any] = task["ContainerDefinitions"][0]
    return found


# -- health


def test_the_health_check_asks_the_consumer_with_what_the_image_has(assembly: Assembly) -> None:
    check = container(assembly)["HealthCheck"]
    assert check["Command"][:3] == ["CMD", "python", "-c"]
    compile(check["Command"][3], "check", "exec")
    assert f"'127.0.0.1', {METRICS_PORT}" in check["Command"][3] and "'/__/health'" in check["Command"][3]
    assert {name: check[name] for name in ("Interval", "Timeout", "Retries", "StartPeriod")} == {
        "Interval": 30,
        "Timeout": 10,
        "Retries": 3,
        "StartPeriod": 120,
    }


def test_no_port_of_the_consumer_is_opened(assembly: Assembly) -> None:
    found = container(assembly)
    assert "PortMappings" not in found
    assert "MILLPOND_METRICS_ADDRESS" not in {pair["Name"] for pair in found["Environment"]}


# -- alarms


def test_each_alarm_watches_a_metric_that_the_consumer_writes_under_this_deployments_name(
    assembly: Assembly, alarms: dict[str, dict[str, Any]]
) -> None:
    written = {measure.metric.cloudwatch for measure in METRICS}
    name = next(pair["Value"] for pair in container(assembly)["Environment"] if pair["Name"] == "MILLPOND_EMF")
    assert (NAMESPACE, DIMENSION) == (emf.NAMESPACE, emf.DIMENSION)
    for alarm in alarms.values():
        assert alarm["MetricName"] in written
        assert alarm["Namespace"] == emf.NAMESPACE
        assert alarm["Dimensions"] == [{"Name": emf.DIMENSION, "Value": name}]
        assert alarm["Period"] == 60, "the consumer writes a line a minute"


def test_a_backup_that_is_none_alarms(alarms: dict[str, dict[str, Any]]) -> None:
    rules = {
        name: (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"], alarm["EvaluationPeriods"])
        for name, alarm in alarms.items()
    }
    assert rules == {
        "UploadsFailing": ("UploadsFailing", "Maximum", 300, 1),
        "RecoveryPoint": ("RecoveryPointAge", "Maximum", 900, 3),
        "Stopped": ("StoppedPartitions", "Maximum", 0, 1),
        "NoStatus": ("StatusAge", "Maximum", 60, 10),
        "BrokersSilent": ("BrokersSilent", "Maximum", 300, 1),
        "LongestSearch": ("LongestSearch", "Maximum", 600, 1),
        "NothingHeld": ("Partitions", "Sum", 0, 5),
        "RefusedTopics": ("RefusedTopics", "Maximum", 0, 1),
    }
    when = {name: alarm["ComparisonOperator"] for name, alarm in alarms.items()}
    assert when.pop("NothingHeld") == "LessThanOrEqualToThreshold"
    assert set(when.values()) == {"GreaterThanThreshold"}


def test_silence_is_an_alarm_of_its_own_and_of_no_other(alarms: dict[str, dict[str, Any]]) -> None:
    missing = {name: alarm["TreatMissingData"] for name, alarm in alarms.items()}
    assert missing.pop("NoStatus") == "breaching"
    assert set(missing.values()) == {"notBreaching"}


def test_a_limit_of_the_lag_makes_its_alarm_over_all_tasks(wheel_node: None) -> None:
    stack = cdk.Stack(cdk.App(), "Alone")
    BackupAlarms(stack, "Alarms", deployment="shop", recovery_point_s=600, lag=5_000)
    found = Template.from_stack(stack).find_resources(
        "AWS::CloudWatch::Alarm", {"Properties": {"MetricName": "Lag", "Statistic": "Sum", "Threshold": 5_000}}
    )
    assert len(found) == 1


def test_the_documentation_lists_exactly_these_alarms(assembly: Assembly, alarms: dict[str, dict[str, Any]]) -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text().split("| alarm | when |")[1].split("\n\n")[0]
    listed = set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in text.splitlines() if "|" in row)))
    functions = {name.removesuffix("Alarm") for name in of_type(assembly.operations, "AWS::CloudWatch::Alarm")}
    assert listed == {*alarms, *functions, "Lag"}


# -- functions on schedules


def test_functions_that_fail_on_their_schedule_alarm(assembly: Assembly) -> None:
    found = of_type(assembly.operations, "AWS::CloudWatch::Alarm")
    rules = {
        name: (alarm["Namespace"], alarm["MetricName"], flat(alarm["Dimensions"][0]["Value"]), alarm["Statistic"])
        for name, alarm in found.items()
    }
    assert rules == {
        "SnapshotFailsAlarm": ("AWS/Lambda", "Errors", "<SnapshotFunction>", "Sum"),
        "ReportFailsAlarm": ("AWS/Lambda", "Errors", "<ReportCoverageFunction>", "Sum"),
    }
    assert {(alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) for alarm in found.values()} == {(2, 3)}
    assert {name: alarm["Period"] for name, alarm in found.items()} == {
        "SnapshotFailsAlarm": 600,
        "ReportFailsAlarm": 3600,
    }


@pytest.mark.parametrize(
    ("every_min", "period_s", "of_three"), [(1, 300, 2), (60, 3600, 2), (480, 28800, 2), (1440, 28800, 1)]
)
def test_the_period_holds_a_call_and_cloudwatch_takes_three_of_it(
    wheel_node: None, every_min: int, period_s: int, of_three: int
) -> None:
    stack = cdk.Stack(cdk.App(), "Alone")
    function = lambda_.Function.from_function_arn(stack, "F", "arn:aws:lambda:eu-central-1:123456789012:function:f")
    FunctionFails(stack, "Fails", function=function, every_min=every_min, told="it fails")
    (alarm,) = Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm").values()
    told = alarm["Properties"]
    assert (told["Period"], told["DatapointsToAlarm"]) == (period_s, of_three)
    assert told["Period"] * told["EvaluationPeriods"] <= 86_400


# -- limits from the deployment's file


def limit(tmp_path: Path, alarms: str) -> int:
    file = tmp_path / "deployment.toml"
    file.write_text(GOOD + alarms)
    return load(file).recovery_point_limit_s


def test_the_limit_of_the_recovery_point_follows_the_age_of_windows_unless_it_is_said(tmp_path: Path) -> None:
    assert limit(tmp_path, "") == 1500
    assert limit(tmp_path, "[alarms]\nrecovery_point_s = 700") == 700


def test_a_limit_that_a_healthy_backup_breaks_is_refused(tmp_path: Path) -> None:
    assert limit(tmp_path, "[alarms]\nrecovery_point_s = 660") == 660
    with pytest.raises(ConfigError, match=r"alarms\.recovery_point_s is below 660 s"):
        limit(tmp_path, "[alarms]\nrecovery_point_s = 659")


def test_the_example_shows_the_fields_of_the_alarms() -> None:
    text = (REPOSITORY / "deployment.example.toml").read_text().split("[alarms]")[1]
    assert [name for name in Alarms.model_fields if f"{name} = " not in text] == []
