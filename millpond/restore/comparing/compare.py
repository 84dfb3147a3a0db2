"""The step of a restore that reads the target once more, and holds it against the archive, as the request says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import COMPARED, Run
from millpond.errors import DamagedArchive
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.restore.comparing.restored import Readers
from millpond.restore.comparing.run import RunComparison, document_of, open_comparison, readers_of
from millpond.restore.comparing.sample import Sample
from millpond.restore.comparing.tally import Kind
from millpond.restore.comparing.threads import in_threads, silent
from millpond.restore.planning.plan import KIND
from millpond.restore.request import Compare, parse_request
from millpond.restore.writing.target import refuse_other_ends
from millpond.storage.contract import ObjectStore

SAMPLE_BYTES = 256 << 20
"""Stored bytes that a sample reads at most, beside the first range: a function has 15 minutes."""
SAMPLE_PARTITIONS = 1000
_PER_PARTITION = 6
"""Ranges of a partition in a sample: the first, the last, and some between them."""
_WORKERS = 4
_NAMED = 3
_HINT_TARGET = (
    "somebody wrote to the target topic, or it was not kept as it was written; `millpond compare --whole --run-id ...` "
    "names all; delete the topic and restore again with a new --run-id"
)
_HINT_ARCHIVE = (
    "objects of the archive cannot be read any more, though they could when they were restored: bring them back and go "
    "on with the same --run-id; `millpond compare --whole --run-id ...` names all that differs"
)


def compare_restore(store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str, now_ms: int) -> Json:
    """Compares as the request says, writes `compared.json` and returns it. May be repeated: what was written stays.

    A comparison of all records keeps each partition's result as it goes, so that a repeat does the others.

    Raises:
        DamagedArchive: A record differs, is missing or was added; the message names partitions and source offsets.
        RefusedForSafety: A target topic was deleted or made again, or a partition has more records now.
        TryAgain: A partition ends before what is proven, or nobody tells.
    """
    run = Run(store, layout, KIND, run_id)
    found = run.find(COMPARED)
    if found is not None:
        return found
    mode = parse_request(run.plan()["request"]).compare
    document: Json = {"kind": "compare", "run_id": run_id, "mode": mode.value, "at": now_ms}
    if mode is not Compare.NONE:
        comparison = open_comparison(store, layout, run_id, cluster)
        partitions = _sampled(comparison, cluster) if mode is Compare.SAMPLED else _whole(comparison, cluster)
        _refuse_differences(partitions)
        if not comparison.finished:
            refuse_other_ends(cluster, dict(_restored_ends(run)))
        seed = {"seed": run_id} if mode is Compare.SAMPLED else {}
        document |= seed | {"of_partitions": len(comparison.lines)} | document_of(comparison, partitions)
    return run.write_once(document, COMPARED)


def _restored_ends(run: Run) -> Iterator[tuple[Place, int]]:
    """Where each target partition ended when it was proven, also those that are not compared."""
    for _, result in run.results():
        for part in result.get("partitions", [result]):
            yield (part["target"], part["partition"]), part["end"]


def _sampled(comparison: RunComparison, cluster: Cluster) -> list[Json]:
    """Partitions in an order that the run's id decides, until enough is read."""
    run_id = comparison.run.run_id
    chance = random.Random(run_id)  # noqa: S311  # a choice, not a secret
    lines = chance.sample(comparison.lines, min(len(comparison.lines), SAMPLE_PARTITIONS))
    sample, left = Sample.of(str(_PER_PARTITION), run_id), [SAMPLE_BYTES]

    def task(number: int, line: Json, readers: Readers) -> Json:
        partition = comparison.partition(number, line)
        chosen: list[int] = []
        for part in sample.choose(len(partition.parts), "{}-{}".format(*partition.target.place)):
            size = partition.size_bytes(part)
            if size <= left[0] or (not chosen and number == lines[0][0]):
                chosen.append(part)
                left[0] -= size
        return partition.compare_parts(readers, chosen, silent())

    tasks = [partial(task, number, line) for number, line in lines]
    return in_threads(tasks, readers_of(cluster), 1)


def _whole(comparison: RunComparison, cluster: Cluster) -> list[Json]:
    run = comparison.run

    def task(number: int, line: Json, readers: Readers) -> Json:
        name = f"{number:07d}.json"
        found = run.find("compared", name)
        if found is not None:
            return found
        compared = comparison.partition(number, line).compare(readers, Sample(), silent())
        return compared if compared["differences"] else run.write_once(compared, "compared", name)

    tasks = [partial(task, number, line) for number, line in comparison.lines]
    return in_threads(tasks, readers_of(cluster), _WORKERS)


def _refuse_differences(partitions: list[Json]) -> None:
    wrong = [document for document in partitions if document["differences"]]
    if wrong:
        raise DamagedArchive(
            f"{len(wrong)} target partitions do not hold what the archive holds: "
            + "; ".join(map(_told, wrong[:_NAMED]))
            + ("; and others" if len(wrong) > _NAMED else ""),
            hint=_HINT_ARCHIVE if any(document[Kind.DAMAGED] for document in wrong) else _HINT_TARGET,
        )


def _told(document: Json) -> str:
    counts = ", ".join(f"{document[kind.value]} {kind.value}" for kind in Kind if document[kind.value])
    offsets = ", ".join(str(found["offset"]) for found in document["first"][:_NAMED])
    damaged = next((f"; {found['text']}" for found in document["first"] if found["kind"] == Kind.DAMAGED), "")
    return f"{document['target']}-{document['partition']} ({counts}; source offsets {offsets}{damaged})"
