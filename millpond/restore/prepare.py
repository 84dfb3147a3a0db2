"""Target topics in a safe state: nothing is deleted, compacted or stamped anew while a restore writes to them."""

from __future__ import annotations

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.errors import RefusedForSafety
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.restore.plan import KIND
from millpond.storage.contract import ObjectStore

SAFE_CONFIG = {
    # Restored records are old: retention would delete them minutes after they land.
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    # Kafka rolls a segment when record times jump, and restored times do.
    "segment.ms": "9223372036854775807",
    # LogAppendTime would overwrite every timestamp; the limits refuse old and future ones.
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "9223372036854775807",
    # It limits batches as they are compressed, and the archive does not know how the source compressed them.
    "max.message.bytes": "1073741824",
}


def prepare_restore(store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str) -> list[Json]:
    """Makes or checks every target topic of the plan, and records what was there before. May be repeated.

    Raises:
        RefusedForSafety: A target topic holds records that this run did not write, or has another partition count.
    """
    run = Run(store, layout, KIND, run_id)
    plan = run.plan()
    cluster_id = cluster.cluster_id()
    there = cluster.describe(topic["target"] for topic in plan["topics"])
    for topic in plan["topics"]:
        if run.find("prepared", f"{topic['target']}.json") is None and topic["target"] in there:
            refuse_unfit(cluster, there[topic["target"]], topic["partitions"])
    return [_prepare(run, cluster, cluster_id, topic, there.get(topic["target"])) for topic in plan["topics"]]


def refuse_unfit(cluster: Cluster, target: TopicDescription, partitions: int) -> None:
    """`RefusedForSafety` where an existing topic cannot take exactly these partitions from empty."""
    if target.partitions != partitions:
        raise RefusedForSafety(
            f"target topic {target.name} has {target.partitions} partitions, the archived one has {partitions}",
            hint="restore to another name with --prefix or --rename",
        )
    places = [(target.name, number) for number in range(partitions)]
    starts, ends = cluster.log_starts(places), cluster.ends(places)
    used = [number for name, number in places if starts[name, number] != ends[name, number]]
    if used:
        raise RefusedForSafety(
            f"target topic {target.name} holds records that this run did not write, in partitions {used}",
            hint="restore to another name with --prefix or --rename, or go on with the --run-id that wrote them",
        )


def _prepare(run: Run, cluster: Cluster, cluster_id: str, topic: Json, target: TopicDescription | None) -> Json:
    name = topic["target"]
    prepared = run.find("prepared", f"{name}.json")
    if prepared is not None:
        _refuse_replaced(prepared, name, cluster_id, target)
        if run.find("report.json") is None:  # an earlier try may have been killed before it came to this
            cluster.set_topic_config(name, prepared["safe"])
        return prepared
    # Not the ends: a record that somebody writes meanwhile must not pass for one that was there before.
    prior, starts = {}, dict.fromkeys(range(topic["partitions"]), 0)
    if target is None:
        cluster.create_topic(name, topic["partitions"], SAFE_CONFIG)
        target = cluster.wait_for(name)
    else:
        prior = cluster.topic_config(name)
        starts = {number: start for (_, number), start in cluster.log_starts((name, n) for n in starts).items()}
    record = {
        "topic": name,
        "topic_id": target.topic_id,
        "cluster_id": cluster_id,
        "prior": prior,
        "safe": SAFE_CONFIG,
        "base": {str(number): start for number, start in starts.items()},
    }
    prepared = run.write_once(record, "prepared", f"{name}.json")
    cluster.set_topic_config(name, SAFE_CONFIG)
    return prepared


def _refuse_replaced(prepared: Json, name: str, cluster_id: str, target: TopicDescription | None) -> None:
    if prepared["cluster_id"] != cluster_id:
        raise RefusedForSafety(
            f"this run was prepared on cluster {prepared['cluster_id']}, the brokers belong to {cluster_id}",
            hint="use a new --run-id for another cluster",
        )
    if target is None or target.topic_id != prepared["topic_id"]:
        raise RefusedForSafety(
            f"target topic {name} was deleted or made again since this run prepared it", hint="use a new --run-id"
        )
