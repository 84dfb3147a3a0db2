"""The state machine `restore` on the local AWS: whole runs, wrong ones, stopped ones, and what is told of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from local.aws import LocalAws
from local.demo import shop
from local.demo.deployment import Deployed, deploy
from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from local.processes import wait_until
from local.topics import differences, read_topic
from millpond.archive.runs import Run
from millpond.clock import now_ms
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.records import Record
from millpond.storage.contract import ObjectInfo

Json = dict[str, Any]
RECORDS = 20_000
COMMITTED = 700


@dataclass
class Execution:
    """One execution of `restore`."""

    deployed: Deployed
    name: str
    arn: str
    began: float

    @property
    def states(self) -> Any:
        return self.deployed.aws.client("stepfunctions")

    def seen(self) -> Json:
        found: Json = self.states.describe_execution(executionArn=self.arn)
        return found

    def ended(self, timeout_s: float = 180) -> Json:
        """How it ended; `output` is parsed where there is one."""
        wait_until(lambda: self.seen()["status"] != "RUNNING", f"{self.name} ends", timeout_s=timeout_s, pause_s=0.2)
        found = self.seen()
        return {**found, "output": json.loads(found["output"])} if found.get("output") else found

    def succeeded(self, timeout_s: float = 180) -> Json:
        found = self.ended(timeout_s)
        assert found["status"] == "SUCCEEDED", found.get("cause")
        output: Json = found["output"]
        return output

    def failed(self) -> tuple[str, str]:
        """Error and cause."""
        found = self.ended()
        assert found["status"] == "FAILED", found
        return found["error"], found["cause"]

    def passed(self) -> list[str]:
        """Names of the states that it came through, in order."""
        return [name for name, _ in self.entered()]

    def entered(self) -> list[tuple[str, float]]:
        """Each state that it came through, and how many seconds after the start."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=self.arn)
        events = [event for page in pages for event in page["events"]]
        began = events[0]["timestamp"]
        return [
            (event["stateEnteredEventDetails"]["name"], round((event["timestamp"] - began).total_seconds(), 1))
            for event in events
            if "stateEnteredEventDetails" in event
        ]

    @property
    def run(self) -> Run:
        store, layout = self.deployed.open_archive()
        return Run(store, layout, "restore", self.name)


@dataclass
class World:
    """A shop that is backed up, and a queue for what is told of its restores."""

    deployed: Deployed
    source: dict[str, dict[int, list[Record]]]
    queue: str

    def start(self, name: str, document: Any) -> Execution:
        client = self.deployed.aws.client("stepfunctions")
        arn = client.start_execution(
            stateMachineArn=self.deployed.operations["RestoreMachineArn"], name=name, input=json.dumps(document)
        )["executionArn"]
        return Execution(self.deployed, name, arn, time.monotonic())

    def told(self, run_id: str) -> Json:
        """The message about a run. Others that come meanwhile are of tests before this one."""
        sqs = self.deployed.aws.client("sqs")
        found: list[Json] = []

        def came() -> bool:
            answer = sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            messages = [json.loads(json.loads(message["Body"])["Message"]) for message in answer.get("Messages", [])]
            found.extend(message for message in messages if message["run_id"] == run_id)
            return bool(found)

        wait_until(came, f"a message about {run_id}")
        return found[0]

    def jobs(self) -> dict[str, str]:
        """Status by id of all jobs that were submitted."""
        batch, queue = self.deployed.aws.client("batch"), self.deployed.operations["JobQueueArn"]
        wanted = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
        pages = [batch.list_jobs(jobQueue=queue, jobStatus=status)["jobSummaryList"] for status in wanted]
        return {job["jobId"]: job["status"] for page in pages for job in page}

    def holds(self, topic: str, target: str) -> None:
        """The target has exactly the records of the source."""
        assert not list(differences(self.source[topic], read_topic(self.deployed.bootstrap, target)))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ExitStack() as up:
        kafka, aws = up.enter_context(KafkaCluster(config=STEADY)), up.enter_context(LocalAws())
        bootstrap = kafka.bootstrap()
        cluster = Cluster(ClusterAddress(bootstrap))
        for topic, partitions in shop.TOPICS.items():
            cluster.create_topic(topic, partitions, shop.SETTINGS[topic])
            cluster.wait_for(topic)
        shop.produce_shop(bootstrap, RECORDS, now_ms=now_ms())
        kafka.wait_for_groups()
        commit(bootstrap, "billing", "orders", COMMITTED)
        deployed = deploy(aws, bootstrap, list(shop.TOPICS))
        for _ in range(3):  # so that partitions of orders have several windows
            deployed.wait_covered(list(shop.TOPICS), lambda _: None)
            produce_more(bootstrap)
        deployed.wait_covered(list(shop.TOPICS), lambda _: None)
        snapshot(deployed)
        source = {topic: read_topic(bootstrap, topic) for topic in shop.TOPICS}
        yield World(deployed, source, subscribed(deployed))


def produce_more(bootstrap: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for partition in range(shop.TOPICS["orders"]):
        producer.produce("orders", b"{}", b"later", partition=partition)
    producer.flush()


def commit(bootstrap: str, group: str, topic: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def committed(bootstrap: str, group: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    (found,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
    consumer.close()
    offset: int = found.offset
    return offset


def snapshot(deployed: Deployed) -> None:
    """What its schedule does."""
    functions = deployed.aws.client("lambda")
    (name,) = {
        found["FunctionName"]
        for page in functions.get_paginator("list_functions").paginate()
        for found in page["Functions"]
        if found["Handler"] == "functions.snapshot.handler.handler"
    }
    answer = functions.invoke(FunctionName=name, Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


def subscribed(deployed: Deployed) -> str:
    """A queue that gets what the topic of results is told."""
    sqs, topic = deployed.aws.client("sqs"), deployed.operations["ResultsTopicArn"]
    url: str = sqs.create_queue(QueueName="results")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    let = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**let, "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    deployed.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def config(bootstrap: str, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (found,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in found.result(10).items()}


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, what, timeout_s=60, pause_s=0.1)


# -- runs that end well


def test_records_groups_and_settings_come_back_and_it_is_told(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    asked = {"topics": list(shop.TOPICS), "prefix": "all.", "groups": {"prefix": "all."}, "compare": "whole"}
    execution = world.start("bring-all-back", asked)
    output = execution.succeeded()
    seconds = time.monotonic() - execution.began
    written = sum(len(records) for parts in world.source.values() for records in parts.values())
    print(execution.entered())
    print(f"restore of {written} records in {sum(shop.TOPICS.values())} partitions: {seconds:.1f} s")
    record_property("restore_seconds", round(seconds, 1))
    assert (output["run_id"], output["written"]) == ("bring-all-back", written)
    assert output["status"] in ("done", "done-with-exceptions") and output["partitions"] == sum(shop.TOPICS.values())
    assert {"RunArray", "Compare", "Groups", "Finish", "Report", "Notify"} <= set(execution.passed())
    for topic in shop.TOPICS:
        world.holds(topic, f"all.{topic}")
    bootstrap = world.deployed.bootstrap
    assert config(bootstrap, "all.customers")["cleanup.policy"] == "compact"
    assert config(bootstrap, "all.orders")["cleanup.policy"] == "delete"
    assert committed(bootstrap, "all.billing", "all.orders") == COMMITTED
    report = execution.run.find("report.json")
    assert report is not None and report["status"] == output["status"]
    key = execution.run.key("report.html")
    with execution.run.store.open(key) as stream:
        assert b"bring-all-back" in stream.read()
    assert world.told("bring-all-back") == output


def test_one_partition_is_a_job_without_array_and_steps_can_be_left_out(world: World) -> None:
    asked = {"topics": ["orders"], "partitions": [0], "prefix": "one.", "compare": "none"}
    execution = world.start("one", asked)
    assert execution.succeeded()["written"] == len(world.source["orders"][0])
    passed = execution.passed()
    assert "RunOne" in passed and not {"RunArray", "Compare", "Groups"} & set(passed)


# -- runs that must not begin


@pytest.mark.parametrize(
    ("name", "document", "said"),
    [
        ("typo", {"topcs": ["orders"]}, "topcs: Extra inputs are not permitted"),
        ("a-list", ["orders"], "is one JSON object"),
        ("nobody", {"resume": "no-such-run"}, "restore run no-such-run has no plan"),
    ],
)
def test_a_wrong_input_fails_with_the_reason_and_leaves_nothing(
    world: World, name: str, document: Any, said: str
) -> None:
    execution = world.start(name, document)
    error, cause = execution.failed()
    assert error == "WrongUsage" and said in cause and "hint: " in cause
    run_id = "no-such-run" if name == "nobody" else name
    message = world.told(run_id)
    assert (message["status"], message["error"]) == ("failed", "WrongUsage") and said in message["reason"]
    assert next(execution.run.store.list(execution.run.layout.run("restore", run_id, "")), None) is None
    assert not {"Preflight", "Prepare"} & set(execution.passed())


def test_a_plan_without_records_fails_before_the_target_is_touched(world: World) -> None:
    execution = world.start("nothing", {"topics": ["orders"], "since": "2100-01-01T00:00:00Z", "prefix": "none."})
    error, cause = execution.failed()
    assert error == "NothingToRestore" and "no records" in cause
    assert world.told("nothing")["error"] == "NothingToRestore"
    assert "none.orders" not in Cluster(ClusterAddress(world.deployed.bootstrap)).describe(["none.orders"])


def test_an_archive_with_a_hole_stops_the_plan_and_the_failure_is_reported(world: World) -> None:
    store, layout = world.deployed.open_archive()
    s3, bucket = world.deployed.aws.client("s3"), world.deployed.archive_url.removeprefix("s3://").split("/")[0]
    entries = [info.key for info in store.list(f"{layout.topics}orders/") if isinstance(info, ObjectInfo)]
    window = sorted(key for key in entries if re.search(r"/0/[^/]+\.avro$", key))[1]
    removed = s3.delete_object(Bucket=bucket, Key=window)
    try:
        execution = world.start("hole", {"topics": ["orders"], "prefix": "hole."})
        error, cause = execution.failed()
    finally:
        s3.delete_object(Bucket=bucket, Key=window, VersionId=removed["VersionId"])
    assert error == "DamagedArchive" and "orders" in cause
    message = world.told("hole")
    assert re.fullmatch(r".*/runs/restore/hole/report-[0-9]{13}\.json", message["report"])
    found = execution.run.find(message["report"].rsplit("/", 1)[1])
    assert found is not None and found["status"] == "failed" and execution.run.find_plan() is None


# -- runs that are stopped, or lose a worker, and go on


def slow(world: World, prefix: str) -> Json:
    """A request that takes some twenty seconds."""
    sizes = (len(r.value or b"") for records in world.source["orders"].values() for r in records)
    return {"topics": ["orders"], "prefix": prefix, "compare": "none", "throttle": sum(sizes) // 18}


def running(world: World, before: Mapping[str, str]) -> str:
    """The job that has been submitted since, once one of its workers runs."""
    batch = world.deployed.aws.client("batch")
    until(lambda: world.jobs().keys() - before.keys(), "a job is submitted")
    (job,) = world.jobs().keys() - before.keys()
    until(lambda: batch.list_jobs(arrayJobId=job, jobStatus="RUNNING")["jobSummaryList"], "a worker runs")
    return job


def test_stopping_an_execution_ends_its_job_and_another_one_goes_on(world: World) -> None:
    before = world.jobs()
    execution = world.start("stopped", slow(world, "stopped."))
    job = running(world, before)
    execution.states.stop_execution(executionArn=execution.arn, error="Enough", cause="a person said so")
    until(lambda: world.jobs()[job] == "FAILED", "the job ends")
    assert execution.ended()["status"] == "ABORTED"
    assert execution.run.find("report.json") is None
    again = world.start("stopped-goes-on", {"resume": "stopped"})
    output = again.succeeded()
    assert output["run_id"] == "stopped" and execution.run.find("report.json") is not None
    world.holds("orders", "stopped.orders")


def test_a_worker_that_is_lost_fails_the_run_the_others_finish_and_it_goes_on(world: World) -> None:
    batch, before = world.deployed.aws.client("batch"), world.jobs()
    execution = world.start("lost", slow(world, "lost."))
    parent = running(world, before)
    batch.terminate_job(jobId=f"{parent}:0", reason="its host is gone for good")
    error, cause = execution.failed()
    assert error == "MillpondError" and "are not restored" in cause and parent in cause
    results = dict(execution.run.results())
    assert results and len(results) < len(world.source["orders"])
    message = world.told("lost")
    assert message["not_restored"] == len(world.source["orders"]) - len(results)
    output = world.start("lost-goes-on", {"resume": "lost"}).succeeded()
    assert output["written"] == sum(map(len, world.source["orders"].values()))
    assert results.items() <= dict(execution.run.results()).items()
    world.holds("orders", "lost.orders")
