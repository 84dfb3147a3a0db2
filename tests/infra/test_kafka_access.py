"""Ways into Kafka: what each part is told, which secret it may read, what MSK lets it do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.config import ConfigError, Deployment, load
from tests.infra.conftest import REPOSITORY
from tests.infra.policies import Template, flat, may, of_type, statements

MSK = "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/1111-2222-3"
TARGET = "arn:aws:kafka:eu-west-1:123456789012:cluster/dr/4444-5"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1111"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:AmazonMSK_x-AbCdEf"
REST = '[backup]\ntopics = ["orders"]\n[network]\ncreate = true\n'
IAM = f"""
[kafka]
brokers = ["b-1.shop.x.kafka.eu-central-1.amazonaws.com:9098"]
security = "iam"
cluster_arn = "{MSK}"
[kafka.target]
brokers = ["b-1.dr.x.kafka.eu-west-1.amazonaws.com:9098"]
security = "iam"
cluster_arn = "{TARGET}"
"""
SCRAM = f"""
[kafka]
brokers_srv = "_kafka._tcp.internal"
security = "scram"
password_from = "secretsmanager:{SECRET}"
ca_cert = "secretsmanager:kafka/ca#pem"
secrets_key_arn = "{KEY}"
[kafka.target]
brokers = ["dr:9093"]
security = "mtls"
client_cert = "secretsmanager:dr#cert"
client_key = "secretsmanager:dr#key"
"""
CONSUMER, SNAPSHOT, PREPARE, JOB = "BackupTaskTaskRole", "SnapshotRole", "PrepareRestoreRole", "RestoreJobRole"
PREFLIGHT, COMPARE, GROUPS, FINISH = (
    *("PreflightRestoreRole", "CompareRestoreRole", "RestoreGroupsRole", "FinishRestoreRole"),
)
NEAR_TARGET = (JOB, PREFLIGHT, PREPARE, COMPARE, GROUPS, FINISH)
STEPS = ("PreflightRestore", "PrepareRestore", "CompareRestore", "RestoreGroups", "FinishRestore")


def deployment(folder: Path, kafka: str) -> Deployment:
    file = folder / "deployment.toml"
    file.write_text('account = "123456789012"\nregion = "eu-central-1"\n' + kafka + REST)
    return load(file)


def synth(folder: Path, kafka: str) -> dict[str, Template]:
    import aws_cdk as cdk

    from app import build

    context = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    app = cdk.App(outdir=str(folder / "out"), context=context)
    build(app, deployment(folder, kafka))
    app.synth()  # raises where cdk-nag has a finding that is not accepted
    return {path.name.split(".")[0]: json.loads(path.read_text()) for path in (folder / "out").glob("*.template.json")}


@pytest.fixture(scope="module")
def scram(wheel_node: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    return synth(tmp_path_factory.mktemp("scram"), SCRAM)


@pytest.fixture(scope="module")
def iam(wheel_node: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    return synth(tmp_path_factory.mktemp("iam"), IAM)


def consumer(templates: dict[str, Template]) -> dict[str, str]:
    (task,) = of_type(templates["Backup"], "AWS::ECS::TaskDefinition").values()
    return {pair["Name"]: flat(pair["Value"]) for pair in task["ContainerDefinitions"][0]["Environment"]}


def function(templates: dict[str, Template], name: str) -> dict[str, Any]:
    found = of_type(templates["Operations"], "AWS::Lambda::Function")[f"{name}Function"]
    variables: dict[str, Any] = found["Environment"]["Variables"]
    return variables


def restore_job(templates: dict[str, Template]) -> dict[str, str]:
    job = of_type(templates["Operations"], "AWS::Batch::JobDefinition")["RestoreJobDefinition"]
    return {pair["Name"]: flat(pair["Value"]) for pair in job["ContainerProperties"]["Environment"]}


def kafka_of(variables: dict[str, str]) -> dict[str, str]:
    """The variables that tell a way into Kafka."""
    words = ("BROKERS", "SECURITY", "CERT", "KEY", "PASSWORD", "USERNAME", "MSK")
    return {name: text for name, text in variables.items() if any(word in name for word in words)}


# -- what each part is told


def test_the_parts_near_the_source_are_told_the_way_in_and_no_secret(scram: dict[str, Template]) -> None:
    expected = {
        "MILLPOND_BROKERS_SRV": "_kafka._tcp.internal",
        "MILLPOND_SECURITY": "scram",
        "MILLPOND_PASSWORD_FROM": f"secretsmanager:{SECRET}",
        "MILLPOND_CA_CERT": "secretsmanager:kafka/ca#pem",
    }
    assert kafka_of(consumer(scram)) == kafka_of(function(scram, "Snapshot")) == expected


def test_the_parts_near_the_target_are_told_its_way_in(scram: dict[str, Template]) -> None:
    expected = {
        "MILLPOND_TO_BROKERS": "dr:9093",
        "MILLPOND_TO_SECURITY": "mtls",
        "MILLPOND_TO_CLIENT_CERT": "secretsmanager:dr#cert",
        "MILLPOND_TO_CLIENT_KEY": "secretsmanager:dr#key",
    }
    assert kafka_of(restore_job(scram)) == expected
    assert all(kafka_of(function(scram, step)) == expected for step in STEPS)


def test_the_others_are_told_nothing_of_kafka(scram: dict[str, Template]) -> None:
    restore = ("ValidateRestore", "PlanRestore", "ReconcileRestore", "ReportRestore")
    for name in (*restore, "PlanRedact", "ReconcileRedact", "ReportCoverage"):
        assert kafka_of(function(scram, name)) == {}


def test_the_product_knows_every_variable(scram: dict[str, Template], iam: dict[str, Template]) -> None:
    """The deployment imports nothing of the product, so a renamed setting would only fail in the container."""
    from millpond.settings.backup import BackupSettings
    from millpond.settings.restore import RestoreJobSettings

    for templates in (scram, iam):
        for variables, cls in ((consumer(templates), BackupSettings), (restore_job(templates), RestoreJobSettings)):
            known = {f"MILLPOND_{name}".upper() for name in cls.model_fields}
            assert set(kafka_of(variables)) <= known


def test_the_region_of_msk_is_told(iam: dict[str, Template]) -> None:
    assert consumer(iam)["MILLPOND_MSK_REGION"] == "eu-central-1"
    assert restore_job(iam)["MILLPOND_TO_MSK_REGION"] == "eu-west-1"


# -- secrets


def test_each_part_may_read_the_secrets_of_its_own_cluster_alone(scram: dict[str, Template]) -> None:
    read, named = (
        "secretsmanager:GetSecretValue",
        "arn:<AWS::Partition>:secretsmanager:eu-central-1:123456789012:secret",
    )
    for template, role in ((scram["Backup"], CONSUMER), (scram["Operations"], SNAPSHOT)):
        assert may(template, role, read, SECRET) and may(template, role, read, f"{named}:kafka/ca-abcdef")
        assert may(template, role, "kms:Decrypt", KEY)
        assert not may(template, role, read, f"{named}:dr-abcdef")
    for role in NEAR_TARGET:
        assert may(scram["Operations"], role, read, f"{named}:dr-abcdef")
        assert not may(scram["Operations"], role, read, SECRET)
        assert not may(scram["Operations"], role, "kms:Decrypt", KEY)


def test_without_a_secret_none_may_be_read(iam: dict[str, Template]) -> None:
    for template, role in ((iam["Backup"], CONSUMER), (iam["Operations"], JOB)):
        assert "secretsmanager" not in str(list(statements(template, role)))


# -- MSK


def in_cluster(arn: str, kind: str, name: str) -> str:
    return f"{arn.replace(':cluster/', f':{kind}/')}/{name}"


def kafka_actions(template: Template, role: str) -> dict[str, set[str]]:
    """Kafka actions by kind of resource."""
    found: dict[str, set[str]] = {}
    for statement in statements(template, role):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        if any(action.startswith("kafka-cluster:") for action in actions):
            kind = statement["Resource"].split(":")[5].split("/")[0]
            found.setdefault(kind, set()).update(action.removeprefix("kafka-cluster:") for action in actions)
    return found


def test_the_backup_may_read_and_write_nothing_but_its_own_group(iam: dict[str, Template]) -> None:
    assert kafka_actions(iam["Backup"], CONSUMER) == {
        "cluster": {"Connect", "DescribeCluster", "DescribeClusterDynamicConfiguration"},
        "topic": {"DescribeTopic", "DescribeTopicDynamicConfiguration", "ReadData"},
        "group": {"DescribeGroup", "AlterGroup"},
    }
    alter = "kafka-cluster:AlterGroup"
    assert may(iam["Backup"], CONSUMER, alter, in_cluster(MSK, "group", "millpond-675b4af90741da06"))
    assert not may(iam["Backup"], CONSUMER, alter, in_cluster(MSK, "group", "billing"))
    assert may(iam["Backup"], CONSUMER, "kafka-cluster:ReadData", in_cluster(MSK, "topic", "orders"))
    assert not may(iam["Backup"], CONSUMER, "kafka-cluster:ReadData", in_cluster(TARGET, "topic", "orders"))


def test_snapshots_only_look(iam: dict[str, Template]) -> None:
    assert kafka_actions(iam["Operations"], SNAPSHOT) == {
        "cluster": {"Connect", "DescribeCluster", "DescribeClusterDynamicConfiguration"},
        "topic": {"DescribeTopic", "DescribeTopicDynamicConfiguration"},
        "group": {"DescribeGroup"},
    }


def test_preflight_looks_and_asks_whether_topics_could_be_made(iam: dict[str, Template]) -> None:
    assert kafka_actions(iam["Operations"], PREFLIGHT) == {
        "cluster": {"Connect", "DescribeCluster", "DescribeClusterDynamicConfiguration"},
        "topic": {
            "DescribeTopic",
            "DescribeTopicDynamicConfiguration",
            "CreateTopic",
            "AlterTopicDynamicConfiguration",
        },
    }


def test_comparing_reads_and_writes_nothing(iam: dict[str, Template]) -> None:
    assert kafka_actions(iam["Operations"], COMPARE) == {
        "cluster": {"Connect"},
        "topic": {"DescribeTopic", "DescribeTopicDynamicConfiguration", "ReadData"},
        "group": {"DescribeGroup", "AlterGroup"},
    }
    assert not may(iam["Operations"], COMPARE, "kafka-cluster:AlterGroup", in_cluster(TARGET, "group", "billing"))


def test_groups_alone_commit_for_groups_of_others(iam: dict[str, Template]) -> None:
    assert kafka_actions(iam["Operations"], GROUPS) == {
        "cluster": {"Connect"},
        "topic": {"DescribeTopic", "DescribeTopicDynamicConfiguration", "ReadData"},
        "group": {"DescribeGroup", "AlterGroup"},
    }
    alter, billing = "kafka-cluster:AlterGroup", in_cluster(TARGET, "group", "billing")
    assert [role for role in NEAR_TARGET if may(iam["Operations"], role, alter, billing)] == [GROUPS]
    own = in_cluster(TARGET, "group", "millpond-restore-orders")
    assert may(iam["Operations"], JOB, alter, own) and not may(iam["Operations"], PREPARE, alter, own)


def test_the_last_step_sets_topics_and_no_access_control_unless_the_deployment_allows_it(
    iam: dict[str, Template], wheel_node: None, tmp_path: Path
) -> None:
    topics = {"DescribeTopic", "DescribeTopicDynamicConfiguration", "AlterTopicDynamicConfiguration"}
    assert kafka_actions(iam["Operations"], FINISH) == {"cluster": {"Connect"}, "topic": topics}
    allowing = synth(tmp_path, f"{IAM}[restore]\nacls = true\n")["Operations"]
    cluster = {"Connect", "DescribeCluster", "AlterCluster"}
    assert kafka_actions(allowing, FINISH) == {"cluster": cluster, "topic": topics}
    altering = [role for role in NEAR_TARGET if may(allowing, role, "kafka-cluster:AlterCluster", TARGET)]
    assert altering == [FINISH] and not may(allowing, FINISH, "kafka-cluster:AlterCluster", MSK)


def test_preparing_makes_topics_and_writes_no_record(iam: dict[str, Template]) -> None:
    assert kafka_actions(iam["Operations"], PREPARE) == {
        "cluster": {"Connect"},
        "topic": {
            "DescribeTopic",
            "DescribeTopicDynamicConfiguration",
            "CreateTopic",
            "AlterTopicDynamicConfiguration",
        },
    }


def test_the_restore_writes_to_its_target_alone(iam: dict[str, Template]) -> None:
    assert kafka_actions(iam["Operations"], JOB) == {
        "cluster": {"Connect", "WriteDataIdempotently"},
        "topic": {"DescribeTopic", "DescribeTopicDynamicConfiguration", "WriteData", "ReadData"},
        "group": {"DescribeGroup", "AlterGroup"},
    }
    assert may(iam["Operations"], JOB, "kafka-cluster:WriteData", in_cluster(TARGET, "topic", "orders"))
    assert not may(iam["Operations"], JOB, "kafka-cluster:WriteData", in_cluster(MSK, "topic", "orders"))


def test_other_ways_in_need_no_rights_on_msk(scram: dict[str, Template]) -> None:
    assert kafka_actions(scram["Backup"], CONSUMER) == kafka_actions(scram["Operations"], JOB) == {}


# -- the deployment's file


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("", "kafka: name either brokers or brokers_srv"),
        ('brokers = ["a:1"]\nbrokers_srv = "x"', "kafka: name either brokers or brokers_srv"),
        ('brokers = ["a:1"]\nsecurity = "scram"', "kafka: security = scram needs password_from"),
        ('brokers = ["a:1"]\nsecurity = "mtls"', "kafka: security = mtls needs client_cert and client_key"),
        ('brokers = ["a:1"]\nsecurity = "iam"', "kafka: security = iam needs cluster_arn"),
        ('brokers = ["a:1"]\nusername = "a"', "kafka: security = plaintext has no use for username"),
        ('brokers = ["a:1"]\nsecurity = "tls"\ncluster_arn = "arn:aws:s3:::x"', "kafka.cluster_arn: String should"),
        ('brokers = ["a:1"]\npassword_from = "canary"', "kafka.password_from: String should match"),
        ('brokers = ["a:1"]\npassword_from = "file:/p"', "kafka.password_from: String should match"),
        ('brokers = ["a:1"]\n[kafka.target]\nsecurity = "tls"', "kafka.target: name either brokers or brokers_srv"),
    ],
)
def test_a_contradiction_in_the_file_is_told(tmp_path: Path, fields: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        deployment(tmp_path, f"[kafka]\n{fields}\n")
    assert message in str(caught.value) and "canary" not in str(caught.value)


def test_restores_write_to_the_source_unless_a_target_is_named(tmp_path: Path) -> None:
    kafka = deployment(tmp_path, '[kafka]\nbrokers = ["a:1"]\nsecurity = "tls"\n').kafka
    assert kafka.restores_to.environment("TO_") == {"MILLPOND_TO_BROKERS": "a:1", "MILLPOND_TO_SECURITY": "tls"}
    assert deployment(tmp_path, SCRAM).kafka.restores_to.brokers == ("dr:9093",)
