"""What the facts of target topics mean for a restore. Values in, findings out; nothing is asked of a cluster here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from millpond.findings import Finding, failed, named, passed, warned
from millpond.kafka.places import Place
from millpond.restore.request import RestoreRequest
from millpond.restore.targets.ages import Ages
from millpond.restore.targets.safety import Accepted, compacts, held
from millpond.restore.targets.topics import BROKERS_DEFAULT, TargetTopic

PARTITIONS, EXISTING, TARGETS = "partition counts", "existing data", "target topics"
ELSEWHERE = "restore to another name with --prefix or --rename"
_SIZE, _LARGEST_REQUEST = "max.message.bytes", 104_857_600
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """Of all brokers.

    Attributes:
        count: How many answer.
        settings: Their own ones, of any broker; None where they may not be read.
    """

    count: int
    settings: Mapping[str, str] | None = field(default_factory=dict)

    def number(self, name: str, default: int) -> int:
        text = (self.settings or {}).get(name, "")
        return int(text) if text.lstrip("-").isdecimal() else default

    @property
    def retention_ms(self) -> int | None:
        """Of topics that say nothing; None for ever."""
        minutes = self.number("log.retention.minutes", self.number("log.retention.hours", 168) * 60)
        kept = self.number("log.retention.ms", minutes * 60_000)
        return kept if kept >= 0 else None


def targets(topics: Sequence[TargetTopic], cluster_id: str) -> Finding:
    """Whether what this run prepared before is still there, and what is made."""
    for topic in topics:
        if topic.prepared is not None and topic.prepared["cluster_id"] != cluster_id:
            other = topic.prepared["cluster_id"]
            text = f"this run was prepared on cluster {other}, the brokers belong to {cluster_id}"
            return failed(TARGETS, text, "use a new --run-id for another cluster")
    replaced = [topic.target for topic in topics if topic.prepared is not None and not same_topic(topic)]
    if replaced:
        text = f"deleted or made again since this run prepared them: {named(replaced)}"
        return failed(TARGETS, text, "use a new --run-id")
    ready = sum(topic.prepared is not None for topic in topics)
    there = sum(topic.there is not None for topic in topics) - ready
    goes_on = f", {ready} are prepared" if ready else ""
    return passed(TARGETS, f"{len(topics) - there - ready} are made, {there} are there{goes_on}")


def same_topic(topic: TargetTopic) -> bool:
    """Whether the topic that this run prepared is still the one under that name."""
    return topic.prepared is not None and topic.there is not None and topic.there.topic_id == topic.prepared["topic_id"]


def partition_counts(topics: Iterable[TargetTopic], request: RestoreRequest) -> Finding:
    """Whether each record finds its partition."""
    wrong = [text for topic in _fresh(topics) if (text := _wrong_count(topic, request))]
    if wrong:
        hint = (
            f"{ELSEWHERE}, or place records by their keys with --repartition"
            if request.repartition is None
            else "give the number of partitions, or leave it to what is there"
        )
        return failed(PARTITIONS, "; ".join(wrong), hint)
    if request.repartition is not None:
        return passed(PARTITIONS, f"records go to partitions by {request.repartition.by}")
    return passed(PARTITIONS, "as archived")


def _wrong_count(topic: TargetTopic, request: RestoreRequest) -> str:
    asked = None if request.repartition is None else request.repartition.partitions
    if topic.there is None:
        unknown = request.repartition is not None and asked is None
        return (
            f"target topic {topic.target} is not there, and nobody says how many partitions it gets" if unknown else ""
        )
    count = topic.there.partitions
    if request.repartition is None and count != topic.archived_partitions:
        return f"target topic {topic.target} has {count} partitions, the archived one has {topic.archived_partitions}"
    if asked not in (None, count):
        return f"target topic {topic.target} has {count} partitions, {asked} are asked for"
    return ""


def existing_data(
    topics: Iterable[TargetTopic], starts: Mapping[Place, int], ends: Mapping[Place, int], request: RestoreRequest
) -> Finding:
    """Whether target topics are empty, or may be otherwise. Places are of topics that this run did not prepare."""
    used: dict[str, list[int]] = {}
    for place, end in sorted(ends.items()):
        if end != starts.get(place, end):
            used.setdefault(place[0], []).append(place[1])
    if used and not request.allow_existing:
        told = [f"target topic {n} holds records that this run did not write, in partitions {used[n]}" for n in used]
        return failed(EXISTING, "; ".join(told), f"{ELSEWHERE}, or go on with the --run-id that wrote them")
    if used:
        text = f"restored records come after those that are there already: {named(list(used))}"
        return warned(EXISTING, text, "stop everybody who writes to these topics")
    fresh = len(list(_fresh(topics)))
    return passed(EXISTING, f"{fresh} target topics are missing or empty" if fresh else "all is this run's own")


def replication(topics: Iterable[TargetTopic], request: RestoreRequest, brokers: BrokerFacts) -> Finding:
    """Whether brokers suffice for the replicas."""
    probe, made = "replication", [topic for topic in _fresh(topics) if topic.there is None]
    if made and request.replication is not None and request.replication > brokers.count:
        text = f"{request.replication} replicas are asked for, {brokers.count} brokers answer"
        return failed(probe, text, "ask for fewer with --replication")
    counts = {topic.target: topic.replication(request, brokers.count) for topic in made}
    in_sync = brokers.number("min.insync.replicas", 1)
    if few := [name for name, count in counts.items() if BROKERS_DEFAULT < count < in_sync]:
        text = f"brokers want {in_sync} replicas in sync before they take a record; too few would have {named(few)}"
        return failed(probe, text, f"ask for at least {in_sync} with --replication, or lower min.insync.replicas")
    archived = {t.target: t.archived.replication for t in made if t.archived is not None and not request.replication}
    if fewer := [f"{name} ({count})" for name, count in archived.items() if count > brokers.count]:
        text = f"only {brokers.count} brokers answer; replicas were more: {named(fewer)}{_out(made, request, counts)}"
        return warned(probe, text, "the topics get one for each broker; give them more later, or name --replication")
    if told := _out(made, request, counts):
        return warned(probe, told.removeprefix("; "), "set min.insync.replicas when the topics have more replicas")
    return passed(probe, f"{brokers.count} brokers suffice")


def _out(made: Sequence[TargetTopic], request: RestoreRequest, counts: Mapping[str, int]) -> str:
    left = [topic.target for topic in made if topic.left_out(request, counts[topic.target])]
    return f"; min.insync.replicas is left out where it is more than the replicas: {named(left)}" if left else ""


def message_size(topics: Iterable[TargetTopic], taken: Mapping[str, Accepted], brokers: BrokerFacts) -> Finding:
    """Whether large records pass. Names of objects do not tell the size of a record."""
    probe = "message size"
    if kept := [name for name, one in taken.items() if _SIZE in one.refused]:
        return warned(
            probe,
            f"the limit of {_SIZE} cannot be lifted for {named(kept)} ({taken[kept[0]].refused[_SIZE]}): the restore "
            "stops at a record that is larger, and names its offset",
            "raise the limit on the target cluster, if the source had a higher one",
        )
    largest = brokers.number("socket.request.max.bytes", _LARGEST_REQUEST)
    archived = {topic.target: topic.archived.config.get(_SIZE, "") for topic in topics if topic.archived is not None}
    if over := [name for name, text in archived.items() if text.isdecimal() and int(text) > largest]:
        text = f"brokers take requests of {largest} bytes; the source allowed larger records in {named(over)}"
        return warned(probe, text, "raise socket.request.max.bytes on the target's brokers")
    return passed(probe, f"{_SIZE} is lifted while restoring; a request may have {largest} bytes")


def timestamps(taken: Mapping[str, Accepted]) -> Finding:
    """Whether stamps of any age pass."""
    names = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")
    kept = [f"{topic} ({one.refused[n]} for {n})" for topic, one in taken.items() for n in names if n in one.refused]
    if kept:
        text = f"limits of timestamps cannot be lifted: {named(kept)}"
        return warned("timestamps", text, "records that are older or newer than the target takes stop the restore")
    return passed("timestamps", "limits are lifted while restoring, and every record keeps its own")


def changes(taken: Mapping[str, Accepted]) -> Finding:
    """Whether brokers make the missing topics and change the settings of the others; both were asked for."""
    denied = [f"{topic}: {one.denial}" for topic, one in taken.items() if one.denial is not None]
    if denied:
        hint = "grant the user Create and AlterConfigs, or see what the target's rules allow"
        return failed("changes", f"brokers would not make or change {named(denied)}", hint)
    return passed("changes", "brokers would make the topics and take the settings")


def compaction(finals: Mapping[str, Mapping[str, str]]) -> Finding:
    """What comes over records without a key."""
    compacted = [name for name, final in finals.items() if compacts(final)]
    if compacted:
        return warned(
            "compaction",
            f"compacted at the end: {named(compacted)}. Nothing is compacted while restoring, so records without a key "
            "land; once cleanup.policy is set the brokers remove them and take no new ones",
            "names of objects do not tell whether there are any",
        )
    return passed("compaction", "no target topic is compacted at the end")


def retention(
    finals: Mapping[str, Mapping[str, str]], ages: Mapping[str, Ages], request: RestoreRequest, *, known: bool
) -> Finding:
    """What retention takes away. Args: known: Whether the brokers' own default could be read."""
    probe = "retention"
    unsure = "" if known else "; the brokers' default could not be read, so topics without their own are not counted"
    old = [f"{name} ({one.older} of {one.objects} objects)" for name, one in ages.items() if one.older]
    if old and request.apply_retention:
        text = f"Kafka deletes these soon after the run, being older than the final retention: {named(old)}{unsure}"
        return warned(probe, text, "leave --apply-retention out, and set retention when the records are not needed")
    if old:
        text = f"retention stays off; by the final settings these would go at once: {named(old)}{unsure}"
        return warned(probe, text, "set retention.ms when the records are not needed, or give --apply-retention")
    stay = sum(bool(held(final, apply_retention=request.apply_retention)) for final in finals.values())
    return passed(probe, f"retention stays off on {stay} topics{unsure}" if stay else f"no record is too old{unsure}")


def final_settings(refused: Mapping[str, Mapping[str, str]]) -> Finding:
    """Whether topics that are made can have their archived settings."""
    told = [f"{topic} {name} ({code})" for topic, names in refused.items() for name, code in names.items()]
    if told:
        return warned("final settings", f"the target does not take {named(told)}", "the others are set at the end")
    return passed("final settings", "the target takes them")


def space(size_bytes: int) -> Finding:
    text = f"brokers do not tell how much is free; {size_bytes >> 20} MiB are stored, so each replica takes about that"
    return passed("space", text)


def _fresh(topics: Iterable[TargetTopic]) -> Iterable[TargetTopic]:
    return (topic for topic in topics if topic.prepared is None)
