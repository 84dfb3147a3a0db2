"""A backup through each way into a real cluster, with no right more than it needs, and what is told without one."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from local.aws import LocalAws
from local.certificates import Authority
from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.backup.options import BackupOptions, Rotation
from millpond.backup.run import run_backup
from millpond.cli.main import main
from millpond.kafka.admin import Cluster
from millpond.kafka.security import security_of
from millpond.kafka.seeds import ServiceName
from millpond.kafka.selection import Selection
from millpond.kafka.settings import ClusterAddress
from millpond.storage.memory import MemoryStore
from tests.oracle import QUICK, ends_of, make_topic, produce, read_archive_records
from tests.unit.kafka.dns_server import SrvServer

READ, DESCRIBE, CONFIGS = AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
Right = tuple[ResourceType, str, AclOperation]
RECORDS = 20
PASSWORD = "canary-of-the-password"
SECURITY = (
    "ca_cert",
    "client_cert",
    "client_key",
    "client_key_password_from",
    "username",
    "password_from",
    "msk_region",
)
NOTHING = dict.fromkeys(SECURITY, "")


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaCluster]:
    """A guarded cluster for all tests of this file: orders and payments hold records; nobody may do anything."""
    from local.prepare import prepare_kafka

    prepare_kafka()
    with KafkaCluster(tls=True, acls=True, config=STEADY) as cluster:
        for topic in ("orders", "payments"):
            make_topic(cluster.bootstrap(), topic)
            produce(cluster.bootstrap(), topic, [b"value"] * RECORDS)
        yield cluster.wait_for_groups()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.kafka.admin.TIMEOUT_S", 10)


@dataclass
class Run:
    """One backup of the command line, and what came of it."""

    code: int
    err: str
    archive: Path

    @property
    def topics(self) -> set[str]:
        """Those with a window in the archive."""
        return {
            path.relative_to(self.archive / "topics").parts[0] for path in (self.archive / "topics").rglob("*.avro")
        }


Backup = Callable[..., Run]


@pytest.fixture
def backup(capsys: pytest.CaptureFixture[str], tmp_path: Path, kafka: KafkaCluster) -> Backup:
    """Runs `millpond backup --once` into a new folder."""

    def run(
        listener: str, *flags: str, topics: str = "orders", group: str = "g", brokers: str = "", snapshots: str = "0"
    ) -> Run:
        archive = tmp_path / "archive"
        archive.mkdir(exist_ok=True)
        where = ["--archive", f"file://{archive}", "--brokers", brokers or kafka.bootstrap(listener)]
        what = ["--topics", topics, "--group-id", group, "--once", "--snapshot-every", snapshots]
        code = main(["backup", *where, *what, "--ca-cert", str(ca_of(kafka)), *flags])
        return Run(code, capsys.readouterr().err, archive)

    return run


def ca_of(kafka: KafkaCluster) -> Path:
    assert kafka.authority
    return kafka.authority.ca


def pem_of(kafka: KafkaCluster, name: str) -> Path:
    assert kafka.authority
    return kafka.authority.issue(name)


def allow(kafka: KafkaCluster, user: str, *rights: Right) -> None:
    allowed, literal = AclPermissionType.ALLOW, ResourcePatternType.LITERAL
    entries = [AclBinding(kind, name, literal, f"User:{user}", "*", right, allowed) for kind, name, right in rights]
    kafka.allow(entries)


def a_user(kafka: KafkaCluster, tmp_path: Path, name: str, *rights: Right) -> list[str]:
    """The flags of a new user with these rights, whose password is in a file."""
    kafka.create_user(name, PASSWORD)
    allow(kafka, name, *rights)
    if (TOPIC, "orders", READ) in rights:
        config = kafka.client("SASL_SSL", user=name, password=PASSWORD)
        mine = Cluster(ClusterAddress(kafka.bootstrap("SASL_SSL"), {key: str(text) for key, text in config.items()}))
        wait_until(lambda: "orders" in mine.topic_names(), f"the rights of {name} are known")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return ["--security", "scram", "--username", name, "--password-from", f"file:{tmp_path}/password"]


def least(group: str) -> list[Right]:
    """All that a backup needs."""
    return [(TOPIC, "orders", READ), (GROUP, group, READ)]


# -- what lets in


def test_scram_over_tls_with_the_least_rights(kafka: KafkaCluster, backup: Backup, tmp_path: Path) -> None:
    flags = a_user(kafka, tmp_path, "least", *least("g-least"))
    found = backup("SASL_SSL", *flags, group="g-least", snapshots="60")
    assert (found.code, found.topics) == (0, {"orders"})
    assert "TOPIC_AUTHORIZATION_FAILED" in found.err and PASSWORD not in found.err


def test_settings_of_topics_are_kept_too_with_describe_configs(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path
) -> None:
    flags = a_user(kafka, tmp_path, "configs", *least("g-configs"), (TOPIC, "orders", CONFIGS))
    found = backup("SASL_SSL", *flags, group="g-configs", snapshots="60")
    assert found.code == 0 and "TOPIC_AUTHORIZATION_FAILED" not in found.err
    assert [path for path in found.archive.rglob("*.json") if "message.timestamp.after.max.ms" in path.read_text()]


def test_mutual_tls_with_the_least_rights(kafka: KafkaCluster, backup: Backup) -> None:
    allow(kafka, "mutual", *least("g-mutual"))
    pem = str(pem_of(kafka, "mutual"))
    found = backup("SSL", "--security", "mtls", "--client-cert", pem, "--client-key", pem, group="g-mutual")
    assert (found.code, found.topics) == (0, {"orders"})


def test_mutual_tls_with_certificates_that_are_no_files(
    kafka: KafkaCluster, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a function or a container, which has no files of its own."""
    allow(kafka, "texts", *least("g-texts"))
    monkeypatch.setenv("PEM", pem_of(kafka, "texts").read_text())
    monkeypatch.setenv("CA", ca_of(kafka).read_text())
    flags = ["--security", "mtls", "--ca-cert", "env:CA", "--client-cert", "env:PEM", "--client-key", "env:PEM"]
    assert backup("SSL", *flags, group="g-texts").topics == {"orders"}


def test_tls_alone(backup: Backup) -> None:
    assert backup("TLS", "--security", "tls").topics == {"orders"}


def test_user_and_password_of_one_secret(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.settings().items():
        monkeypatch.setenv(name, value)
    a_user(kafka, tmp_path, "managed", *least("g-managed"))
    text = json.dumps({"username": "managed", "password": PASSWORD})
    arn = aws.client("secretsmanager").create_secret(Name="AmazonMSK_managed", SecretString=text)["ARN"]
    for place in ("AmazonMSK_nothing", f"{arn}#nothing"):
        refused = backup(
            "SASL_SSL", "--security", "scram", "--username", "x", "--password-from", f"secretsmanager:{place}"
        )
        assert refused.code == 2 and place in refused.err and PASSWORD not in refused.err
    found = backup("SASL_SSL", "--security", "scram", "--password-from", f"secretsmanager:{arn}", group="g-managed")
    assert (found.code, found.topics) == (0, {"orders"})


def test_brokers_by_service_name(kafka: KafkaCluster) -> None:
    host, port = kafka.bootstrap().split(":")
    with SrvServer({"_kafka._tcp.shop.test": [(0, 0, int(port), f"{host}.")]}) as server:
        service = ServiceName("_kafka._tcp.shop.test", ("127.0.0.1",), server.port)
        assert "orders" in Cluster(ClusterAddress(service.name, service=service)).topic_names()


def test_the_source_is_left_as_it_was_but_for_the_groups_commits(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path
) -> None:
    def seen() -> dict[str, Any]:
        cluster = Cluster(ClusterAddress(kafka.bootstrap()))
        names = [name for name in cluster.topic_names() if name != "__consumer_offsets"]
        return {
            "topics": cluster.describe(names),
            "settings": {name: cluster.topic_config(name) for name in names},
            "ends": {name: ends_of(kafka.bootstrap(), name) for name in names},
        }

    flags = a_user(kafka, tmp_path, "quiet", *least("g-quiet"))
    before = seen()
    assert backup("SASL_SSL", *flags, group="g-quiet").code == 0
    assert seen() == before
    commits = Cluster(ClusterAddress(kafka.bootstrap())).group_commits("g-quiet")
    assert {place: commit.offset for place, commit in commits.items()} == {("orders", 0): RECORDS}


def test_a_restore_with_the_least_rights(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rights = (AclOperation.CREATE, AclOperation.WRITE, READ, AclOperation.ALTER_CONFIGS)
    found = backup("TLS", "--security", "tls", group="g-to-restore")
    flags = a_user(kafka, tmp_path, "restorer", *((TOPIC, "back.orders", right) for right in rights))
    to = [flag.replace("--", "--to-") for flag in [*flags, "--ca-cert"]]
    where = ["--archive", f"file://{found.archive}", "--to-brokers", kafka.bootstrap("SASL_SSL")]
    assert main(["restore", *where, *to, str(ca_of(kafka)), "--topics", "orders", "--prefix", "back."]) == 0
    assert ends_of(kafka.bootstrap(), "back.orders") == {0: RECORDS}
    assert PASSWORD not in capsys.readouterr().err


# -- what does not


def test_a_wrong_authority_is_told_as_such(backup: Backup, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    found = backup("TLS", "--security", "tls", "--ca-cert", str(stranger.ca))
    assert (found.code, found.topics) == (2, set())
    assert "certificate verify failed" in found.err and "hint: the brokers' certificate is not trusted" in found.err


def test_a_wrong_password_is_told_as_such_and_not_repeated(kafka: KafkaCluster, backup: Backup, tmp_path: Path) -> None:
    flags = a_user(kafka, tmp_path, "typo", *least("g-typo"))
    (tmp_path / "password").write_text("canary-of-a-typo")
    found = backup("SASL_SSL", *flags, group="g-typo")
    assert (found.code, found.topics) == (2, set())
    assert "SCRAM-SHA-512" in found.err and "hint: check the credentials" in found.err
    assert "canary" not in found.err


def test_a_key_of_another_certificate_is_told_before_any_connection(kafka: KafkaCluster, backup: Backup) -> None:
    pems = ["--client-cert", str(pem_of(kafka, "one")), "--client-key", str(pem_of(kafka, "two"))]
    found = backup("SSL", "--security", "mtls", *pems, brokers="127.0.0.1:9")
    assert found.code == 2 and "key values mismatch" in found.err and "--client-key" in found.err


def test_a_listener_of_another_kind_is_hinted_at(backup: Backup) -> None:
    found = backup("PLAINTEXT", "--security", "tls")
    assert found.code == 75 and "--security" in found.err


def test_a_user_without_any_right_is_told_that_it_sees_no_topic(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path
) -> None:
    found = backup("SASL_SSL", *a_user(kafka, tmp_path, "nobody"), group="g-nobody")
    assert (found.code, found.topics) == (2, set())
    assert "no topic matches orders: the cluster has 0 topics" in found.err


def test_a_missing_right_on_the_group_is_told_as_such(kafka: KafkaCluster, backup: Backup, tmp_path: Path) -> None:
    found = backup("SASL_SSL", *a_user(kafka, tmp_path, "ungrouped", (TOPIC, "orders", READ)), group="g-ungrouped")
    assert (found.code, found.topics) == (2, set())
    assert "group g-ungrouped" in found.err and "hint: the user lacks a right on the group" in found.err


def test_a_topic_that_may_not_be_read_does_not_keep_the_others_from_being_backed_up(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path
) -> None:
    rights = [*least("g-half"), (TOPIC, "payments", DESCRIBE)]
    found = backup("SASL_SSL", *a_user(kafka, tmp_path, "half", *rights), topics="orders,payments", group="g-half")
    assert found.code != 0 and found.topics == {"orders"}
    assert "payments-0: " in found.err and "Topic authorization failed" in found.err


def test_a_topic_that_may_not_even_be_described_is_not_seen(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path
) -> None:
    found = backup("SASL_SSL", *a_user(kafka, tmp_path, "blind", *least("g-blind")), topics=".*", group="g-blind")
    assert (found.code, found.topics) == (0, {"orders"})


def test_a_right_to_look_at_the_group_alone_is_told_as_such(
    kafka: KafkaCluster, backup: Backup, tmp_path: Path
) -> None:
    """Joining was tried again for ever."""
    look = a_user(kafka, tmp_path, "look", (TOPIC, "orders", READ), (GROUP, "g-look", DESCRIBE))
    run = backup("SASL_SSL", *look, group="g-look")
    assert run.code == 2
    assert "right on the group" in run.err


def test_certificates_that_are_renewed_under_a_running_backup_are_picked_up(
    kafka: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millpond.backup.run._RENEWED_EVERY_S", 0.2)
    caplog.set_level("INFO", logger="millpond")
    allow(kafka, "renewed", *least("g-renewed"))
    issued, own = pem_of(kafka, "renewed"), tmp_path / "own.pem"
    shutil.copy(issued, own)
    mine = {"ca_cert": str(ca_of(kafka)), "client_cert": str(own), "client_key": str(own)}
    address = ClusterAddress(
        kafka.bootstrap("SSL"),
        {"session.timeout.ms": "6000", **{name: str(value) for name, value in QUICK.items()}},
        security=security_of("mtls", NOTHING | mine),
    )
    store, stop = MemoryStore(), threading.Event()
    options = BackupOptions(
        Selection.of(["orders"]), tmp_path / "spool", Rotation(0.3), group_id="g-renewed", confirm_after_s=0.2
    )
    running = threading.Thread(target=run_backup, args=(store, Layout("k"), Cluster(address), options, stop))
    running.start()
    try:
        wait_until(lambda: "reading orders-0" in caplog.text, "the first connection")
        issued.unlink()
        assert pem_of(kafka, "renewed").read_bytes() != own.read_bytes()
        issued.replace(own)
        wait_until(lambda: caplog.text.count("reading orders-0") == 2, "new connections")
        produce(kafka.bootstrap(), "orders", [b"after"])
        wait_until(lambda: _held(store) > RECORDS, "what came afterwards")
    finally:
        stop.set()
        running.join(20)
    assert "connecting anew, because certificates or secrets were renewed" in caplog.text


def _held(store: MemoryStore) -> int:
    topics = read_archive_records(store, Layout("k"), "orders") if list(store.list("k/topics/orders/")) else {0: []}
    return len(topics[0])
