"""The last step that changes a target: topics get their final settings, and the cluster its access control.

Retention stays off unless it was asked for: restored records are old, and it would delete them minutes after success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import RECONCILED, SETTINGS, Run
from millpond.cluster.acls import add_acls, of_run
from millpond.errors import MillpondError, RefusedForSafety
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.topic_changes import NO_RIGHT, change_settings
from millpond.restore.planning.plan import KIND
from millpond.restore.targets.safety import held
from millpond.restore.targets.topics import request_of
from millpond.storage.contract import ObjectStore

_NEEDED = ("cleanup.policy", "message.timestamp.type")
"""A topic that lacks one of these behaves otherwise than it should."""
_NAMED = 5


def finish_restore(store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str, now_ms: int) -> Json:
    """Gives each target topic its final settings, writes down what became of them and returns that. May be repeated.

    Raises:
        RefusedForSafety: The run is not reconciled and has topics, or its topics are on another cluster.
        MillpondError: A topic could not get its cleanup policy or timestamp type. The others are set.
    """
    run = Run(store, layout, KIND, run_id)
    if (done := run.find(SETTINGS)) is not None:
        return done
    plan = run.plan()
    request = request_of(plan)
    names = [topic["target"] for topic in plan["topics"]]
    found = {name: run.find("prepared", f"{name}.json") for name in names}
    prepared = {name: document for name, document in found.items() if document is not None}
    _refuse_other_cluster(prepared.values(), cluster.cluster_id(), run_id)
    hidden: set[str] = set()
    there = cluster.describe(prepared, refused=hidden)
    status = {name: _status(document, there.get(name), hidden) for name, document in prepared.items()}
    _refuse_unreconciled(run, [name for name, told in status.items() if told in ("there", "hidden")])
    topics = [
        _finish(cluster, document, apply_retention=request.apply_retention)
        if status[name] == "there"
        else {"topic": name, "status": status[name]}
        for name, document in prepared.items()
    ]
    acls = add_acls(cluster, of_run(store, layout, plan)) if request.acls else None
    _refuse_unset(topics)
    return run.write_once({"finished_at": now_ms, "topics": topics, "acls": acls}, SETTINGS)


def _status(prepared: Json, there: TopicDescription | None, hidden: set[str]) -> str:
    if prepared["topic"] in hidden:
        return "hidden"
    if there is None:
        return "gone"
    return "there" if there.topic_id == prepared["topic_id"] else "replaced"


def _refuse_other_cluster(prepared: Iterable[Json], cluster_id: str, run_id: str) -> None:
    if other := {document["cluster_id"] for document in prepared} - {cluster_id}:
        raise RefusedForSafety(
            f"run {run_id} was prepared on cluster {min(other)}, the brokers belong to {cluster_id}",
            hint="check --to-brokers",
        )


def _refuse_unreconciled(run: Run, topics: Sequence[str]) -> None:
    """Final settings delete, compact and restamp: not before it is proven that all records are there."""
    if topics and run.find(RECONCILED) is None:
        raise RefusedForSafety(
            f"restore run {run.run_id} is not proven to be whole; {len(topics)} topics stay in their safe state",
            hint=f"go on with --run-id {run.run_id}; to give the run up, delete the topics that it made, and set those "
            f"that were there to what {run.key('prepared')} says, then delete that folder",
        )


def _finish(cluster: Cluster, prepared: Json, *, apply_retention: bool) -> Json:
    """Sets what the topic ends with, takes away what only the restore needed, and tells both."""
    final: dict[str, str] = prepared["final"]
    stay = held(final, apply_retention=apply_retention)
    config = {name: text for name, text in final.items() if name not in stay}
    remove = [name for name in prepared["safe"] if name not in final and name not in stay]
    refused = _apply(cluster, prepared["topic"], config, remove)
    return {
        "topic": prepared["topic"],
        "status": "refused" if refused.keys() & set(_NEEDED) else "partly" if refused else "set",
        "set": {name: text for name, text in config.items() if name not in refused},
        "removed": [name for name in remove if name not in refused],
        "held": {name: final.get(name) for name in stay},
        "left_out": prepared["left_out"],
        "refused": refused,
    }


def _apply(cluster: Cluster, topic: str, config: Mapping[str, str], remove: Sequence[str]) -> dict[str, str]:
    """Kafka's code by the name of each setting that was refused; one after the other where all at once were."""
    denial = change_settings(cluster, topic, config, remove=remove)
    if denial is None:
        return {}
    if denial.code in NO_RIGHT:
        return dict.fromkeys([*config, *remove], denial.code)
    single = {name: change_settings(cluster, topic, {name: text}) for name, text in config.items()}
    single |= {name: change_settings(cluster, topic, {}, remove=[name]) for name in remove}
    return {name: one.code for name, one in single.items() if one is not None}


def _refuse_unset(topics: Iterable[Json]) -> None:
    bad = [topic for topic in topics if topic["status"] in ("refused", "hidden")]
    if bad:
        told = "; ".join(f"{topic['topic']}: {_why(topic)}" for topic in bad[:_NAMED])
        raise MillpondError(
            f"{len(bad)} topics do not have the settings that decide how they behave: {told}",
            hint="grant the user AlterConfigs or set these by hand, then finish the same run again; the others are set",
        )


def _why(topic: Json) -> str:
    if topic["status"] == "hidden":
        return "it may not be described"
    return ", ".join(f"{name} ({code})" for name, code in topic["refused"].items() if name in _NEEDED)
