"""What the file says of the backup reaches the product as it was meant, or is refused before anything is deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from infra.config import MIB_PER_WORKER, ConfigError, Deployment, load
from millpond.backup.path_sources import Source
from millpond.errors import WrongUsage
from millpond.settings.backup import BackupSettings
from tests.infra.policies import may

SCHEMA = '{"type": "record", "name": "k", "fields": [{"name": "country", "type": "string"}]}'
POLICY = '{"topics": {"orders": {"places": []}}}'
FILE = """
[kafka]
brokers = ["a:9092"]
properties = {"client.rack" = "one", "fetch.max.bytes" = "1000000"}
[backup]
topics = ["orders", "pay.*"]
topic_names = ["a.b", "c"]
exclude_topics = ["x"]
max_age_s = 77
max_bytes = 2048
max_records = 9
codec = "deflate"
workers = 3
settle_s = 2.5
spool_bytes = 1000000
skip_unreadable = true
group_id = "millpond-mine"
partition_by = ["key.country", "timestamp.date"]
key_schema = "key.avsc"
erasure_policy = "policies/one.json"
log_level = "INFO"
[network]
create = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "key.avsc").write_text(SCHEMA)
    (tmp_path / "policies" / "one.json").write_text(POLICY)
    (tmp_path / "d.toml").write_text(FILE)
    return tmp_path / "d.toml"


def read_by_the_product(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> BackupSettings:
    told = {**deployment.kafka.environment(), **deployment.backup.environment(), "MILLPOND_ARCHIVE": "file:///a"}
    for name in BackupSettings.model_fields:
        monkeypatch.delenv(f"MILLPOND_{name.upper()}", raising=False)
    for name, text in told.items():
        assert name.removeprefix("MILLPOND_").lower() in BackupSettings.model_fields
        monkeypatch.setenv(name, text)
    return BackupSettings.from_environment()


def test_the_product_reads_every_field_as_it_was_meant(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_by_the_product(load(file), monkeypatch)
    wanted: dict[str, Any] = {
        "topics": "orders,pay.*",
        "topic_names": "a.b,c",
        "exclude_topics": "x",
        "max_age": 77,
        "max_bytes": 2048,
        "max_records": 9,
        "codec": "deflate",
        "workers": 3,
        "settle": 2.5,
        "spool_bytes": 1_000_000,
        "skip_unreadable": True,
        "group_id": "millpond-mine",
        "partition_by": "key.country,timestamp.date",
        "key_schema": SCHEMA,
        "erasure_policy": POLICY,
        "log_level": "INFO",
        "kafka": {"client.rack": "one", "fetch.max.bytes": "1000000"},
        "brokers": "a:9092",
    }
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_what_is_left_out_is_the_products_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[kafka]\nbrokers = ["a:9092"]\n[backup]\ntopics = ["t"]\n[network]\ncreate = true\n')
    found = read_by_the_product(load(file), monkeypatch)
    plain = {name: field.default for name, field in BackupSettings.model_fields.items()}
    for name in ("max_age", "max_bytes", "max_records", "codec", "workers", "settle", "spool_bytes", "log_level"):
        assert getattr(found, name) == plain[name], name
    for name in ("skip_unreadable", "group_id", "partition_by", "key_schema", "erasure_policy", "exclude_topics"):
        assert getattr(found, name) == plain[name], name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("workers = 3", "workers = 0", "backup.workers: Input should be greater than or equal to 1"),
        ("workers = 3", "workers = 7", f"backup: 7 workers need memory_mib = {7 * MIB_PER_WORKER} or more"),
        ('"deflate"', '"snappy"', "backup.codec: Input should be 'zstandard', 'deflate' or 'null'"),
        ("settle_s = 2.5", "settle_s = -1", "backup.settle_s: Input should be greater than or equal to 0"),
        ("spool_bytes = 1000000", "spool_bytes = 40000000000", "backup: spool_bytes is more than disk_gib"),
        ("millpond-mine", "my group", "backup.group_id: String should match"),
        ('"INFO"', '"LOUD"', "backup.log_level: Input should be 'DEBUG'"),
        ("timestamp.date", "timestamp.week", "backup.partition_by.1: String should match"),
        ("timestamp.date", "key.country", "backup: partition_by names a source twice"),
        ('partition_by = ["key.country", "timestamp.date"]', "", "backup: key_schema and erasure_policy are for"),
        ("key.avsc", "absent.avsc", "backup.key_schema: cannot read absent.avsc: No such file"),
        ("policies/one.json", "d.toml", "backup.erasure_policy: the file holds no JSON object"),
        ("client.rack", "sasl.password", "kafka.properties: sasl.password would be readable by all"),
        ("client.rack", "ssl.key.pem", "kafka.properties: ssl.key.pem would be readable by all"),
    ],
)
def test_a_wrong_value_is_explained(file: Path, old: str, new: str, message: str) -> None:
    assert FILE.count(old) == 1
    file.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert message in str(caught.value)


def test_a_group_that_the_rights_do_not_name_is_refused_where_rights_are_given_here(file: Path) -> None:
    arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/abc"
    iam = FILE.replace("properties =", f'security = "iam"\ncluster_arn = "{arn}"\nproperties =')
    file.write_text(iam)
    assert load(file).backup.group_id == "millpond-mine"
    file.write_text(iam.replace("millpond-mine", "mine"))
    with pytest.raises(ConfigError, match=r"backup\.group_id must begin with millpond-"):
        load(file)


@pytest.mark.parametrize(
    "source",
    [
        *("key", "key.a", "key.a_b-C.d", "value.x", "header.a.b-c_D", "timestamp.date", "timestamp.month"),
        *("timestamp.hour", "partition", "value", "header", "key.", "key.a b", "key.a..b", "timestamp", "topic"),
        *("header.ä", "key.ä", "", "key." + "a" * 60, "key." + "a" * 61),
    ],
)
def test_sources_are_judged_as_the_product_judges_them(file: Path, source: str) -> None:
    file.write_text(FILE.replace("timestamp.date", source), encoding="utf-8")
    try:
        Source.of(source)
    except WrongUsage:
        with pytest.raises(ConfigError, match="partition_by"):
            load(file)
    else:
        assert source in load(file).backup.partition_by


def test_tasks_that_split_windows_by_content_may_read_the_erasure_secret(wheel_node: None, file: Path) -> None:
    from infra.stacks.backup import BackupStack
    from infra.stacks.storage import StorageStack

    app, env = cdk.App(), cdk.Environment()
    storage = StorageStack(app, "Storage", deployment=load(file), env=env)
    stack = BackupStack(app, "Backup", deployment=load(file), archive=storage.archive, erasure=storage.erasure, env=env)
    template = Template.from_stack(stack).to_json()
    assert may(template, "BackupTaskTaskRole", "secretsmanager:GetSecretValue", "<ErasureSecret>")
    assert "MILLPOND_ERASURE_SECRET" in json.dumps(template)


def test_functions_may_be_left_to_run_side_by_side(file: Path) -> None:
    assert load(file).reserve_concurrency
    file.write_text("reserve_concurrency = false\n" + FILE)
    assert not load(file).reserve_concurrency
