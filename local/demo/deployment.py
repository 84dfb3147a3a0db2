"""The system deployed on the local AWS, beside a local Kafka: what a person would have after `cdk deploy`."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.aws import LocalAws
from local.processes import wait_until
from millpond.archive.catalog import PartitionListing, read_archive
from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import ObjectInfo, ObjectStore
from millpond.storage.s3 import S3Store

NAME = "demo"


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where everything is.

    Attributes:
        storage, backup, operations: The outputs of the stacks.
    """

    aws: LocalAws
    bootstrap: str
    storage: dict[str, str]
    backup: dict[str, str]
    operations: dict[str, str]

    @property
    def archive_url(self) -> str:
        return self.storage["ArchiveUrl"]

    def open_archive(self) -> tuple[ObjectStore, Layout]:
        bucket, _, prefix = self.archive_url.removeprefix("s3://").partition("/")
        return S3Store(bucket, client=self.aws.client("s3")), Layout(prefix)

    # -- what a person does in the console

    def execute(self, machine: str, name: str, document: Json, told: Callable[[Json], None]) -> Json:
        """Starts an execution, follows it and returns its output; `MillpondError` where it does not succeed."""
        states = self.aws.client("stepfunctions")
        arn = states.start_execution(
            stateMachineArn=self.operations[f"{machine.title()}MachineArn"], name=name, input=json.dumps(document)
        )["executionArn"]
        while (seen := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            told(seen)
            time.sleep(0.25)
        if seen["status"] != "SUCCEEDED":
            raise MillpondError(f"execution {name} of {machine} ended as {seen['status']}: {seen.get('cause', '')}")
        output: Json = json.loads(seen["output"])
        return output

    def put_into_inbox(self, key: str, document: Json) -> None:
        """What a privacy officer does before starting `redact`."""
        self.aws.client("s3").put_object(
            Bucket=self.storage["InboxBucketName"], Key=key, Body=json.dumps(document).encode()
        )

    # -- looking

    def wait_covered(self, topics: list[str], told: Callable[[str], None], timeout_s: float = 180) -> None:
        """Until the archive covers every partition of the topics, as they are now, up to their ends."""
        cluster = Cluster(ClusterAddress(self.bootstrap))
        found = cluster.describe(topics)
        places = [(topic.name, number) for topic in found.values() for number in range(topic.partitions)]
        ends = cluster.ends(places, committed=True)
        goal = {(found[topic].topic_id, number): end for (topic, number), end in ends.items()}
        store, layout = self.open_archive()

        def covered() -> bool:
            there = {
                (item.partition.incarnation.topic_id, item.partition.partition): item.position(log_start=0)
                for item in read_archive(store, layout)
                if isinstance(item, PartitionListing)
            }
            done = sum(there.get(place, 0) >= end for place, end in goal.items())
            told(f"{done} of {len(goal)} partitions covered")
            return done == len(goal)

        wait_until(covered, "the archive covers the topics", timeout_s=timeout_s, pause_s=0.5)

    def results(self, kind: str, run_id: str) -> int:
        """How many pieces of a run's work are done."""
        store, layout = self.open_archive()
        return sum(isinstance(entry, ObjectInfo) for entry in store.list(layout.run(kind, run_id, "results", "")))


def deploy(aws: LocalAws, bootstrap: str, topics: list[str]) -> Deployed:
    """`cdk bootstrap` and `cdk deploy --all`, as anyone would."""
    config = aws.directory / "deployment.toml"
    config.write_text(_config(bootstrap, topics))
    aws.cdk("bootstrap")
    output = aws.directory / "cdk.out"
    aws.cdk("deploy", "--all", "--require-approval", "never", "-c", f"config={config}", "--output", str(output))
    outputs = {part: aws.outputs(f"{NAME}-{part}") for part in ("storage", "backup", "operations")}
    return Deployed(aws, bootstrap, **outputs)


def _config(bootstrap: str, topics: list[str]) -> str:
    """A deployment for a trial on this machine: bundles for this Python, a network of its own, nothing retained."""
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    fields: dict[str, Any] = {
        "name": NAME,
        "cpu_architecture": machine,
        "lambda_python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "retain": False,
    }
    tables: dict[str, dict[str, Any]] = {
        "kafka": {"brokers": bootstrap.split(","), "security": "plaintext"},
        "backup": {"topics": topics, "max_age_s": 5},
        # So little that even the demo's runs are shared by several jobs.
        "jobs": {"bytes_per_job": 256 << 10},
        "network": {"create": True},
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    for table, content in tables.items():
        lines += [f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in content.items())]
    return "\n".join(lines) + "\n"
