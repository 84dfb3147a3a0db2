"""A whole restore compared: which of its partitions there are, and what their topics are now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import SETTINGS, Run
from millpond.errors import MillpondError, RefusedForSafety
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.restore.comparing.log import LogReader
from millpond.restore.comparing.originals import TopicNow
from millpond.restore.comparing.restored import Readers, RestoredPartition
from millpond.restore.comparing.sample import Sample
from millpond.restore.comparing.tally import totals
from millpond.restore.comparing.threads import Told, in_threads
from millpond.restore.planning.plan import KIND
from millpond.restore.writing.offset_map import read_chunks
from millpond.restore.writing.source import Source
from millpond.storage.contract import ObjectStore

_COMPACTS = "compact"


@dataclass(frozen=True, slots=True)
class RunComparison:
    """The partitions of a run.

    Attributes:
        lines: Number and line of each that has the partition of its records.
        repartitioned: Target topics whose records went to other partitions; they are not compared.
        finished: Whether the target topics have their final settings, and may be in use.
    """

    store: ObjectStore
    layout: Layout
    run: Run
    plan: Json
    lines: list[tuple[int, Json]]
    repartitioned: list[str]
    finished: bool
    targets: Mapping[Place, TopicNow]
    origins: Mapping[Place, TopicNow]

    def partition(self, number: int, line: Json) -> RestoredPartition:
        """Reads what the line lists and its offset map. `MillpondError` where the line is not done."""
        place = line["target"], line["partition"]
        result = self.run.result(number)
        if result is None:
            raise MillpondError(
                "{}-{} is not restored yet".format(*place), hint="compare when the restore has ended; go on with it"
            )
        source, whole = Source(self.store, self.layout, self.plan["archive_id"]), self.run.whole_line(line)
        return RestoredPartition(
            store=self.store,
            source=source,
            line=line,
            base=result["base"],
            parts=source.parts_of(whole),
            sizes={item["key"]: item["size"] for item in whole["objects"]},
            chunks={chunk.part: chunk for chunk in read_chunks(self.run, *place)},
            target=self.targets[place],
            origin=self.origins.get((line["topic"], line["partition"])),
            with_header=bool(self.plan["request"].get("source_offset_header")),
        )


def open_comparison(
    store: ObjectStore, layout: Layout, run_id: str, target: Cluster, source: Cluster | None = None
) -> RunComparison:
    """Asks the clusters what the run's topics are now.

    Raises:
        WrongUsage: There is no such run.
        RefusedForSafety: A topic was deleted or made again since, or the cluster is another one.
    """
    run = Run(store, layout, KIND, run_id)
    plan = run.plan()
    lines = list(run.lines(whole=False))
    own = [(number, line) for number, line in lines if "repartition" not in line]
    finished = run.find(SETTINGS) is not None
    _refuse_other(run, target, {line["target"] for _, line in own})
    places = [(line["target"], line["partition"]) for _, line in own]
    origins: Mapping[Place, TopicNow] = {}
    if source is not None:
        _refuse_other_source(plan, source, {line["topic"]: line["topic_id"] for _, line in own})
        origins = topics_now(source, [(line["topic"], line["partition"]) for _, line in own], shrinks=True)
    return RunComparison(
        store=store,
        layout=layout,
        run=run,
        plan=plan,
        lines=own,
        repartitioned=sorted({line["target"] for _, line in lines if "repartition" in line}),
        finished=finished,
        targets=topics_now(target, places, shrinks=finished),
        origins=origins,
    )


def topics_now(cluster: Cluster, places: list[Place], *, shrinks: bool) -> dict[Place, TopicNow]:
    """Log starts, last stable offsets and whether records are compacted."""
    starts, ends = cluster.log_starts(places), cluster.ends(places, committed=True)
    settings = cluster.settings_of(topic for topic, _ in places)
    compacts = {topic: _COMPACTS in own.get("cleanup.policy", "") for topic, own in settings.items()}
    return {
        place: TopicNow(place, starts[place], ends[place], shrinks, compacts.get(place[0], False)) for place in places
    }


def _refuse_other(run: Run, cluster: Cluster, topics: set[str]) -> None:
    """The target topics must be those that the run wrote to."""
    there, cluster_id = cluster.describe(topics), cluster.cluster_id()
    for topic in sorted(topics):
        prepared = run.find("prepared", f"{topic}.json")
        if prepared is None:
            raise MillpondError(f"target topic {topic} was not prepared", hint="go on with the restore first")
        if prepared["cluster_id"] != cluster_id:
            raise RefusedForSafety(
                f"the run restored to cluster {prepared['cluster_id']}, the brokers belong to {cluster_id}",
                hint="check --to-brokers",
            )
        if topic not in there or there[topic].topic_id != prepared["topic_id"]:
            raise RefusedForSafety(
                f"target topic {topic} was deleted or made again since it was restored", hint="restore it again"
            )


def _refuse_other_source(plan: Json, cluster: Cluster, topic_ids: Mapping[str, str]) -> None:
    """The source topics must be those that were backed up, in the life that was restored."""
    if (cluster_id := cluster.cluster_id()) != plan["cluster_id"]:
        raise RefusedForSafety(
            f"the archive holds cluster {plan['cluster_id']}, the brokers belong to {cluster_id}",
            hint="check --brokers; without them the archive is compared with the target",
        )
    there = cluster.describe(topic_ids)
    for topic, topic_id in sorted(topic_ids.items()):
        if topic not in there or there[topic].topic_id != topic_id:
            raise RefusedForSafety(
                f"source topic {topic} was deleted or made again since it was backed up",
                hint="leave out --brokers: then the archive is compared with the target",
            )


def compare_run(
    comparison: RunComparison,
    target: Cluster,
    source: Cluster | None,
    *,
    sample: Sample,
    workers: int,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Compares every partition of the run. Returns the sums and each partition's counts."""
    counting = Told(told)

    def task(number: int, line: Json, readers: Readers) -> Json:
        return comparison.partition(number, line).compare(readers, sample, counting)

    tasks = [partial(task, number, line) for number, line in comparison.lines]
    return document_of(comparison, in_threads(tasks, readers_of(target, source), workers))


def document_of(comparison: RunComparison, partitions: list[Json]) -> Json:
    """What a comparison of a run comes to."""
    return {
        "run_id": comparison.run.run_id,
        "not_compared": comparison.repartitioned,
        **totals(partitions),
        "partitions": partitions,
    }


def readers_of(target: Cluster, source: Cluster | None = None) -> Callable[[], AbstractContextManager[Readers]]:
    """Makes what a thread reads with."""

    @contextmanager
    def made() -> Iterator[Readers]:
        with ExitStack() as stack:
            reader = stack.enter_context(LogReader(target))
            yield Readers(reader, stack.enter_context(LogReader(source)) if source is not None else None)

    return made
