"""The story of the demo, step by step on real parts; every claim is checked against what a plain consumer reads."""

from __future__ import annotations

import contextlib
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from confluent_kafka.admin import AdminClient

from local.aws import LocalAws
from local.demo import shop
from local.demo.deployment import Deployed, deploy
from local.demo.screen import Screen, Told, table_of
from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from local.prepare import prepare
from local.processes import sigterm_as_exit
from local.topics import differences, digest, read_topic
from millpond.archive.catalog import list_incarnations
from millpond.archive.documents import Json
from millpond.clock import now_ms
from millpond.errors import DamagedArchive
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.records import Record

Topics = dict[str, dict[int, list[Record]]]
PREFIX = "after-erasure."


@dataclass(slots=True)
class Findings:
    """What was seen, for the table at the end."""

    rows: list[list[str]] = field(default_factory=list)
    document: Json = field(default_factory=dict)


def tell(*, orders: int, keep: bool) -> tuple[Json, str]:
    """Runs the whole story and returns its findings as a document and as text.

    Raises:
        DamagedArchive: Something did not come back exactly, or somebody was not forgotten.
    """
    screen, began = Screen(), time.monotonic()
    with sigterm_as_exit(), contextlib.ExitStack() as up:
        prepare()
        with screen.step("start Apache Kafka and the local AWS"):
            kafka, aws = _start(up)
        findings, _ = play(screen, kafka, aws, orders)
        findings.document["seconds"] = {**screen.seconds, "in all": round(time.monotonic() - began, 1)}
        text = _text(findings, time.monotonic() - began)
        if keep:
            _keep(screen, text, kafka, aws)
    return findings.document, text


def _start(up: contextlib.ExitStack) -> tuple[KafkaCluster, LocalAws]:
    with ThreadPoolExecutor(2) as pool:
        kafka = pool.submit(lambda: up.enter_context(KafkaCluster(1, config=STEADY)))
        aws = pool.submit(lambda: up.enter_context(LocalAws()))
        return kafka.result(), aws.result()


def play(screen: Screen, kafka: KafkaCluster, aws: LocalAws, orders: int) -> tuple[Findings, Deployed]:
    """The story on a cluster and an AWS that run; what is deployed stays deployed."""
    findings, bootstrap = Findings(), kafka.bootstrap()
    with screen.step(f"produce some {orders} records of a shop into three topics"):
        _make_topics(bootstrap)
        shop.produce_shop(bootstrap, orders, now_ms=now_ms())
    with screen.step("cdk bootstrap, cdk deploy: bucket, consumer, functions, jobs, state machines"):
        deployed = deploy(aws, bootstrap, list(shop.TOPICS))
    with screen.step("the ECS consumer backs up to S3") as told:
        deployed.wait_covered(list(shop.TOPICS), told)
    with screen.step("read the source with a plain consumer, to compare with later") as told:
        source = {topic: read_topic(bootstrap, topic) for topic in shop.TOPICS}
        told(f"{sum(map(_count, source.values()))} records")
    _lose_and_restore(screen, deployed, source, findings)
    _forget_and_restore(screen, deployed, source, findings)
    findings.document |= {"archive": deployed.archive_url, "checks": findings.rows}
    return findings, deployed


def _make_topics(bootstrap: str) -> None:
    cluster = Cluster(ClusterAddress(bootstrap))
    for topic, partitions in shop.TOPICS.items():
        cluster.create_topic(topic, partitions, shop.SETTINGS[topic])
        cluster.wait_for(topic)


def _lose_and_restore(screen: Screen, deployed: Deployed, source: Topics, findings: Findings) -> None:
    with screen.step("an accident: somebody deletes the topic orders"):
        _delete_topic(deployed.bootstrap, "orders")
    with screen.step("the state machine `restore` brings it back") as told:
        output = _follow(deployed, "restore", "bring-back-orders", {"topics": ["orders"]}, told)
    with screen.step("compare record by record"):
        restored = read_topic(deployed.bootstrap, "orders")
        _expect_same(source["orders"], restored)
    findings.document["restored"] = output
    _row(findings, "orders, after the accident", source["orders"], restored)
    with screen.step("the consumer backs up the new life of orders too") as told:
        deployed.wait_covered(["orders"], told)


def _forget_and_restore(screen: Screen, deployed: Deployed, source: Topics, findings: Findings) -> None:
    who = shop.FORGOTTEN
    received = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with screen.step("the state machine `redact` forgets one customer") as told:
        deployed.put_into_inbox("requests/one.json", shop.erasure_request(who, str(uuid.uuid4()), received))
        receipt = _follow(deployed, "redact", "forget-one", {"request": "requests/one.json"}, told)
    findings.document["redacted"] = receipt
    lives = _first_lives(deployed, source)
    with screen.step("restore everything once more, beside the old topics") as told:
        request = {"topics": list(source), "prefix": PREFIX, "incarnation": lives}
        _follow(deployed, "restore", "restore-without-one", request, told)
    with screen.step("compare: everybody else is there, byte for byte; one customer is not"):
        for topic, before in source.items():
            after = read_topic(deployed.bootstrap, PREFIX + topic)
            others = {number: _without(who, topic, records) for number, records in before.items()}
            _expect_same(others, after)
            _expect_gone(who, topic, after)
            _row(findings, f"{topic}, without {who}", before, after)


def _follow(deployed: Deployed, machine: str, name: str, request: Json, told: Told) -> Json:
    def show(seen: Json) -> None:
        told(f"{seen['status'].lower()}, {deployed.results(machine, name)} pieces of work done")

    output = deployed.execute(machine, name, request, show)
    told(f"succeeded, {deployed.results(machine, name)} pieces of work done")
    return output


def _first_lives(deployed: Deployed, source: Topics) -> dict[str, str]:
    """The id that each topic had when `source` was read: for orders, of the life that was lost."""
    store, layout = deployed.open_archive()
    now = Cluster(ClusterAddress(deployed.bootstrap)).describe(source)
    lives = {topic: [life.topic_id for life in list_incarnations(store, layout, topic)] for topic in source}
    return {
        topic: next((found for found in ids if found != now[topic].topic_id), now[topic].topic_id)
        for topic, ids in lives.items()
    }


def _delete_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result(30)
    cluster = Cluster(ClusterAddress(bootstrap))
    while topic in cluster.describe([topic]):
        time.sleep(0.1)


def _without(who: str, topic: str, records: list[Record]) -> list[Record]:
    return [record for record in records if not shop.is_about(who, topic, record.key, record.value)]


def _expect_same(source: dict[int, list[Record]], target: dict[int, list[Record]]) -> None:
    found = list(differences(source, target))
    if found or digest(source) != digest(target):
        raise DamagedArchive(f"{len(found)} differences: {'; '.join(found[:5])}")


def _expect_gone(who: str, topic: str, records: dict[int, list[Record]]) -> None:
    left = sum(shop.is_about(who, topic, record.key, record.value) for part in records.values() for record in part)
    if left:
        raise DamagedArchive(f"{left} records of the customer are still in {topic}")


def _row(findings: Findings, what: str, source: dict[int, list[Record]], target: dict[int, list[Record]]) -> None:
    same = digest(source) == digest(target)
    counts = [str(_count(source)), str(_count(target))]
    digests = [digest(source)[:12], digest(target)[:12]]
    findings.rows.append([what, *counts, *digests, "equal" if same else "only they are gone"])


def _count(partitions: dict[int, list[Record]]) -> int:
    return sum(map(len, partitions.values()))


def _text(findings: Findings, seconds: float) -> str:
    table = table_of(
        "What came back, record by record",
        ["topic", "records before", "records now", "digest before", "digest now", "compared"],
        findings.rows,
    )
    where = [f"archive   {findings.document['archive']}", f"receipt   {findings.document['redacted']['receipt']}"]
    return "\n".join([table.rstrip(), *where, f"in all    {seconds:.0f} s"])


def _keep(screen: Screen, text: str, kafka: KafkaCluster, aws: LocalAws) -> None:
    """Leaves everything running until Ctrl-C or SIGTERM."""
    screen.console.print(text, soft_wrap=True, markup=False)
    screen.note(f"Kafka      {kafka.bootstrap()}")
    for name, value in aws.settings().items():
        screen.note(f"export {name}={value}")
    screen.note("everything keeps running until Ctrl-C")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
