"""`millpond backup` told something wrong: one message, a hint, the documented exit code, and nothing written."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import HOST, free_ports
from millpond.cli.main import main
from millpond.kafka import admin
from millpond.settings.backup import BackupSettings
from millpond.storage import s3 as s3_module
from tests.faults.s3_proxy import Fault, FaultyS3, always
from tests.oracle import make_topic, produce

Name = Callable[[str], str]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _as_a_process_of_its_own(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line sets handlers of logs and signals for its process."""
    for name, value in aws.settings().items():
        monkeypatch.setenv(name, value)
    handlers = logging.root.handlers[:]
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    logging.root.handlers[:] = handlers
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture
def topic(kafka: KafkaCluster, unique_name: Name) -> str:
    name = unique_name("t")
    make_topic(kafka.bootstrap(), name)
    produce(kafka.bootstrap(), name, [b"x"])
    return name


@pytest.fixture
def flags(kafka: KafkaCluster, topic: str, bucket: str, tmp_path: Path) -> dict[str, str]:
    """All right until a test says otherwise."""
    return {
        "--archive": f"s3://{bucket}/kafka",
        "--brokers": kafka.bootstrap(),
        "--topics": topic,
        "--spool": str(tmp_path / "spool"),
    }


def refused(flags: dict[str, str], code: int, told: str, capsys: Capture) -> str:
    """What standard error says: two lines, the same as the document on standard output."""
    words = [word for pair in flags.items() for word in pair]
    assert main(["backup", "--once", "--json", *words]) == code
    out, err = capsys.readouterr()
    document = json.loads(out)
    hint = f"hint: {document['hint']}\n" if document["hint"] else ""
    assert err == f"millpond backup: {document['error']}\n{hint}"
    assert document["exit_code"] == code
    assert told in document["error"]
    assert hint or code == 3, "there may be nothing to do about damage"
    return err


def objects(s3: Any, bucket: str) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_nothing_is_wrong_with_what_the_other_tests_start_from(
    flags: dict[str, str], s3: Any, bucket: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BackupSettings.options
    monkeypatch.setattr(BackupSettings, "options", lambda *told: replace(options(*told), confirm_after_s=0.1))
    words = [word for pair in flags.items() for word in pair]
    assert main(["backup", "--once", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "partitions": [{"topic": flags["--topics"], "partition": 0, "end": 1}],
        "stopped": False,
        "snapshots_failed": {},
    }
    assert any("/topics/" in key for key in objects(s3, bucket))


def test_topics_that_match_nothing(flags: dict[str, str], s3: Any, bucket: str, capsys: Capture) -> None:
    refused(flags | {"--topics": "nonsense-.*"}, 2, "no topic matches nonsense-.*", capsys)
    assert objects(s3, bucket) == []


def test_brokers_that_cannot_be_reached(
    flags: dict[str, str], s3: Any, bucket: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "TIMEOUT_S", 2)
    brokers = f"{HOST}:{free_ports(1)[0]}"
    assert brokers in refused(flags | {"--brokers": brokers}, 75, "cannot list topics", capsys)
    assert objects(s3, bucket) == []


def test_a_wrong_password_of_kafka_and_a_certificate_that_is_not_trusted(
    kafka_factory: Callable[..., KafkaCluster],
    flags: dict[str, str],
    s3: Any,
    bucket: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admin, "TIMEOUT_S", 10)
    secure = kafka_factory(tls=True)
    settings = secure.client("SASL_SSL", user="nobody", password="PASSWORD")
    more = {"--brokers": secure.bootstrap("SASL_SSL")}
    for told, without in (("SASL authentication error", ""), ("certificate verify failed", "ssl.ca.location")):
        client = {name: str(value) for name, value in settings.items() if name != without}
        monkeypatch.setenv("MILLPOND_KAFKA", json.dumps(client))
        assert "PASSWORD" not in refused(flags | more, 2, told, capsys)
    assert objects(s3, bucket) == []


def test_a_bucket_that_is_not_there(flags: dict[str, str], s3: Any, unique_name: Name, capsys: Capture) -> None:
    name = unique_name("missing")[:63]
    refused(flags | {"--archive": f"s3://{name}/kafka"}, 2, f"there is no bucket {name}", capsys)
    assert name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_a_folder_that_is_not_there(flags: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    refused(flags | {"--archive": f"file://{tmp_path}/missing"}, 2, "there is no folder", capsys)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("status", "code"), [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (403, "AccessDenied")]
)
def test_credentials_that_s3_refuses(
    status: int, code: str, flags: dict[str, str], aws: LocalAws, s3: Any, bucket: str, capsys: Capture
) -> None:
    """The local AWS takes any: a proxy refuses as AWS does."""
    with FaultyS3(aws.url, always(Fault(status=status, code=code))) as proxy:
        refused(flags | {"--s3-endpoint": proxy.url}, 2, f"HTTP {status}", capsys)
    assert objects(s3, bucket) == []


def test_no_credentials_at_all(
    flags: dict[str, str], s3: Any, bucket: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    refused(flags, 2, "credentials", capsys)
    assert objects(s3, bucket) == []


def test_s3_that_cannot_be_reached(flags: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    once = s3_module.SETTINGS.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    monkeypatch.setattr(s3_module, "SETTINGS", once)
    refused(flags | {"--s3-endpoint": f"http://{HOST}:{free_ports(1)[0]}"}, 75, "cannot", capsys)


def test_a_config_that_is_no_toml(flags: dict[str, str], s3: Any, bucket: str, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("topics: orders\n")
    refused(flags | {"--config": str(tmp_path / "settings.toml")}, 2, "is not a TOML file", capsys)
    assert objects(s3, bucket) == []


def test_a_spool_that_cannot_be_written(
    flags: dict[str, str], s3: Any, bucket: str, capsys: Capture, tmp_path: Path
) -> None:
    """Below a file, since root may write anywhere."""
    (tmp_path / "file").write_bytes(b"")
    refused(flags | {"--spool": str(tmp_path / "file" / "spool")}, 2, "spool folder", capsys)
    assert objects(s3, bucket) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", 3), (b"{}", 3), (b'{"format": 2, "archive_id": "a", "cluster_id": "c", "created": 0}', 2)],
)
def test_an_archive_that_cannot_be_read(
    content: bytes, code: int, flags: dict[str, str], s3: Any, bucket: str, capsys: Capture
) -> None:
    s3.put_object(Bucket=bucket, Key="kafka/archive.json", Body=content)
    refused(flags, code, "archive.json", capsys)
    assert objects(s3, bucket) == ["kafka/archive.json"]


def test_an_archive_of_another_cluster(flags: dict[str, str], s3: Any, bucket: str, capsys: Capture) -> None:
    identity = {"format": 1, "archive_id": "a", "cluster_id": "another", "created": 0, "continues": ""}
    s3.put_object(Bucket=bucket, Key="kafka/archive.json", Body=json.dumps(identity).encode())
    refused(flags, 4, "the archive holds cluster another", capsys)
    assert objects(s3, bucket) == ["kafka/archive.json"]
