"""The deployment's file: what is refused, and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.config import ConfigError, Deployment, load

REPOSITORY = Path(__file__).resolve().parents[2]
GOOD = """
[kafka]
brokers = ["a:9092"]
[backup]
topics = ["orders"]
[network]
create = true
"""


SECTIONS = ("kafka", "backup", "network", "jobs", "restore", "results", "snapshots", "alarms")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deployment.toml"


def refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value)


def test_the_example_can_be_used() -> None:
    assert load(REPOSITORY / "deployment.example.toml").name == "millpond"


def test_the_example_shows_every_field() -> None:
    text = (REPOSITORY / "deployment.example.toml").read_text()
    sections = [
        Deployment,
        *(Deployment.model_fields[name].annotation for name in SECTIONS),
    ]
    fields = {name for section in sections for name in section.model_fields}  # type: ignore[union-attr]
    assert [name for name in sorted(fields) if name not in text] == []


def test_a_minimal_file_is_enough(file: Path) -> None:
    file.write_text(GOOD)
    deployment = load(file)
    assert deployment.kafka.restores_to.brokers == ("a:9092",)
    assert deployment.bundle_platform == "x86_64-manylinux_2_28"


def test_nothing_changes_after_reading(file: Path) -> None:
    file.write_text(GOOD)
    with pytest.raises(ValidationError, match="frozen"):
        load(file).name = "other"  # type: ignore[misc]


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_bad_toml_tells_the_line(file: Path) -> None:
    assert "no TOML" in (said := refusal(file, "name = \n")) and "line 1" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('nmae = "x"', "nmae: Extra inputs are not permitted"),
        ('account = "12"', "account: String should match"),
        ('prefix = "/archive"', "prefix: String should match"),
        ("log_retention_days = 8", "log_retention_days: Input should be 1, 7, 30, 90, 180 or 365"),
        ("report_interval_min = 0", "report_interval_min: Input should be greater than or equal to 1"),
        ("jobs = {cpu = 1024, memory_mib = 512}", "jobs: Fargate does not offer this pair of cpu and memory_mib"),
        ('results = {emails = ["nobody"]}', "results.emails.0: String should match"),
        ("restore = {acl = true}", "restore.acl: Extra inputs are not permitted"),
        ("jobs = {disk = 3}", "jobs.disk: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_field_is_named(file: Path, change: str, message: str) -> None:
    assert message in refusal(file, change + GOOD)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"a:9092"', '"a"', "kafka.brokers.0: String should match"),
        ('brokers = ["a:9092"]', "brokers = []", "kafka.brokers: Tuple should have at least 1 item"),
        ('brokers = ["a:9092"]', 'brokers = ["a:1"]\nsecurity = "ssl"', "kafka.security: Input should be 'plaintext'"),
        ('"orders"', '"ord("', "backup.topics: regex 1 is no regular expression: missing )"),
        ('"orders"', '"a{1,2}"', "backup.topics: regex 1 holds a comma"),
        ("create = true", "", "network: name vpc_id"),
        ("create = true", 'create = true\nvpc_id = "vpc-1"', "network: create = true makes a network of its own"),
        (
            "create = true",
            'vpc_id = "vpc-1"\nprivate_subnet_ids = ["subnet-1"]',
            "network: availability_zones and private_subnet_ids go in pairs",
        ),
    ],
)
def test_a_wrong_value_is_explained(file: Path, old: str, new: str, message: str) -> None:
    assert message in refusal(file, GOOD.replace(old, new))


def test_all_problems_are_told_at_once_with_a_hint_and_no_values(file: Path) -> None:
    said = refusal(file, 'account = "secretive"\nnmae = "hidden"\n' + GOOD)
    assert len(said.splitlines()) == 4 and said.splitlines()[-1].startswith("hint: ")
    assert "secretive" not in said and "hidden" not in said
