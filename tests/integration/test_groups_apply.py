"""Groups on restored topics: a real consumer of each reads the same next record as on the source, by its content."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from local.processes import wait_until
from millpond.errors import MillpondError
from millpond.restore.groups import run
from millpond.restore.writing import target
from tests import oracle
from tests.integration.group_runs import Groups, next_of_all, next_records, statuses
from tests.integration.kafka_requests import commit, member
from tests.integration.restore_runs import LAYOUT, Restore

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture(scope="module")
def cleaning() -> Iterator[KafkaCluster]:
    """A cluster that compacts at once."""
    from local.prepare import prepare_kafka

    prepare_kafka()
    with KafkaCluster(config={**STEADY, "log.cleaner.backoff.ms": 100}) as kafka:
        yield kafka.wait_for_groups()


@pytest.fixture
def groups(cleaning: KafkaCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Groups:
    return Groups(cleaning.bootstrap(), tmp_path, capsys)


def values(count: int, start: int = 0) -> list[bytes]:
    return [b"v%d" % number for number in range(start, start + count)]


def a_mixed_topic(bootstrap: str, topic: str) -> None:
    """Six partitions: plain, ended by a commit marker, by an aborted transaction, mixed, nothing readable, empty."""
    oracle.make_topic(bootstrap, topic, 6)
    oracle.produce(bootstrap, topic, values(12))
    oracle.produce_transaction(bootstrap, topic, values(5), partition=1)
    oracle.produce_transaction(bootstrap, topic, values(5, 5), partition=1)
    oracle.produce(bootstrap, topic, values(4), partition=2)
    oracle.produce_transaction(bootstrap, topic, values(3, 4), partition=2, commit=False)
    for number in range(6):
        start, kept = 6 * number, number % 3 != 1
        oracle.produce_transaction(bootstrap, topic, values(3, start), partition=3, commit=kept)
        oracle.produce(bootstrap, topic, values(3, start + 3), partition=3)
    oracle.produce_transaction(bootstrap, topic, values(3), partition=4, commit=False)


def compact(bootstrap: str, topic: str) -> None:
    """A partition with holes where the log was compacted."""
    oracle.make_topic(bootstrap, topic, cleanup_policy="compact", min_cleanable_dirty_ratio="0.01", segment_ms="200")
    for _ in range(3):
        keys = [b"%d" % (number % 7) for number in range(20)]
        oracle.produce(bootstrap, topic, values(20), keys=keys)

    def cleaned() -> bool:
        time.sleep(0.3)
        oracle.produce(bootstrap, topic, [b"roll"], keys=[b"roll"])
        return len(oracle.read_topic(bootstrap, topic)[0]) < 25

    wait_until(cleaned, "the log is compacted")


def test_a_group_of_a_restored_topic_reads_the_next_record_of_the_source(groups: Groups, unique_name: Name) -> None:
    bootstrap, mixed, thinned = groups.bootstrap, unique_name("mixed"), unique_name("thin")
    a_mixed_topic(bootstrap, mixed)
    compact(bootstrap, thinned)
    ends = {(mixed, number): end for number, end in oracle.ends_of(bootstrap, mixed).items()}
    ends |= {(thinned, number): end for number, end in oracle.ends_of(bootstrap, thinned).items()}
    chance = random.Random(7)
    everywhere = [{place: min(step, end) for place, end in ends.items()} for step in (*range(14), 30, 10_000)]
    anywhere = [{place: chance.randint(0, end) for place, end in ends.items()} for _ in range(10)]
    names = [unique_name("g") for _ in [*everywhere, *anywhere]]
    for name, offsets in zip(names, [*everywhere, *anywhere], strict=True):
        told = [TopicPartition(*place, offset, f"m{offset}") for place, offset in offsets.items()]
        commit(bootstrap, name, *told)
    groups.backup(mixed, thinned)
    groups.snapshot()
    due = next_of_all(bootstrap, names, ends)

    groups.restore().all(mixed, thinned, prefix="back.")
    found = groups.apply("--run-id", "r", "--prefix", "p.", "--groups", ",".join(names))
    assert groups.code == 0 and found["offsets"]["applied"] == len(names) * len(ends)

    targets = {place: (f"back.{place[0]}", place[1]) for place in ends}
    after = next_of_all(bootstrap, [f"p.{name}" for name in names], targets.values())
    for name, before in due.items():
        assert {place: after[f"p.{name}"][targets[place]] for place in ends} == before, name
        texts = {place: text for place, (_, text) in oracle.commits(bootstrap, f"p.{name}").items()}
        was = {place: text for place, (_, text) in oracle.commits(bootstrap, name).items()}
        assert texts == {targets[place]: text for place, text in was.items()}, "the consumer's text comes along"
    assert any(record is None for before in due.values() for record in before.values()), "some stand at an end"


def test_a_second_call_changes_nothing(groups: Groups, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    restored(groups, topic, {group: 3})
    first = groups.apply("--run-id", "r", "--groups", group, "--prefix", "p.")
    before = oracle.commits(groups.bootstrap, f"p.{group}"), groups.objects()
    second = groups.apply("--run-id", "r", "--groups", group, "--prefix", "p.")
    assert (statuses(first, group)[topic, 0], statuses(second, group)[topic, 0]) == (("applied", ""), ("unchanged", ""))
    assert (oracle.commits(groups.bootstrap, f"p.{group}"), groups.objects()) == before
    assert groups.code == 0 and second["groups"][0]["status"] == "done"


def test_a_dry_run_says_what_would_be_done_and_makes_no_group(groups: Groups, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    restored(groups, topic, {group: 3})
    found = groups.apply("--run-id", "r", "--groups", group, "--prefix", "p.", "--dry-run")
    assert statuses(found, group)[topic, 0] == ("applied", "") and found["dry_run"] is True
    assert found["groups"][0]["entries"][0]["target_offset"] == 3
    assert oracle.commits(groups.bootstrap, f"p.{group}") == {}


def test_offsets_that_a_group_has_on_the_target_stay_unless_overwritten(groups: Groups, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    restored(groups, topic, {group: 3}, partitions=2)
    there = f"back.{topic}"
    commit(groups.bootstrap, f"p.{group}", TopicPartition(there, 0, 7, "own"))
    told = ("--run-id", "r", "--groups", group, "--prefix", "p.")
    found = groups.apply(*told)
    assert statuses(found, group) == {(topic, 0): ("kept", "has_an_offset"), (topic, 1): ("applied", "")}
    assert oracle.commits(groups.bootstrap, f"p.{group}")[there, 0] == (7, "own") and groups.code == 0
    assert statuses(groups.apply(*told, "--overwrite"), group)[topic, 0] == ("applied", "")
    assert oracle.commits(groups.bootstrap, f"p.{group}")[there, 0] == (3, "m")


def test_a_group_with_members_is_named_and_left_alone(groups: Groups, unique_name: Name) -> None:
    topic, busy, idle = unique_name("t"), unique_name("busy"), unique_name("idle")
    restored(groups, topic, {busy: 3, idle: 4})
    told = ("--run-id", "r", "--groups", f"{busy},{idle}")
    with member(groups.bootstrap, busy, topic), member(groups.bootstrap, f"k.{busy}", topic, group_protocol="consumer"):
        found = groups.apply(*told)
        modern = groups.apply(*told, "--prefix", "k.")
    for document, name in ((found, busy), (modern, f"k.{busy}")):
        (told_of,) = [group for group in document["groups"] if group["group"] == busy]
        assert (told_of["target"], told_of["status"], told_of["state"], told_of["members"]) == (
            name,
            "active",
            "Stable",
            1,
        )
        assert told_of["clients"] == ["rdkafka (127.0.0.1)"]
        assert statuses(document, busy)[topic, 0] == ("active", "has_members")
        assert statuses(document, idle)[topic, 0] == ("applied", "")
        assert (f"back.{topic}", 0) not in oracle.commits(groups.bootstrap, name)
    assert groups.code == 1
    groups.run("groups", "apply", "--to-brokers", groups.bootstrap, *told)
    assert groups.code == 0 and oracle.commits(groups.bootstrap, busy)[f"back.{topic}", 0] == (3, "m")


def test_what_is_not_restored_yet_waits_and_is_applied_later(
    groups: Groups, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, group = unique_name("t"), unique_name("g")
    oracle.make_topic(groups.bootstrap, topic, 3)
    for number in range(2):
        oracle.produce(groups.bootstrap, topic, values(10), partition=number)
    commit(groups.bootstrap, group, *(TopicPartition(topic, number, 0 if number == 2 else 6) for number in range(3)))
    groups.backup(topic)
    groups.snapshot()
    restore = groups.restore()
    told = ("--run-id", "r", "--groups", group, "--prefix", "p.")
    restore.plan(topic, prefix="back.")
    found = groups.apply(*told)
    assert groups.code == 75 and set(statuses(found, group).values()) == {("waiting", "not_prepared_yet")}
    restore.prepare()
    assert restore.work(unit=0, units=2) == []
    found = groups.apply(*told)
    assert groups.code == 75 and found["groups"][0]["status"] == "waiting"
    assert statuses(found, group) == {
        (topic, 0): ("applied", ""),
        (topic, 1): ("waiting", "not_restored_yet"),
        (topic, 2): ("applied", "at_the_end"),
    }
    monkeypatch.setattr(run, "_PAUSE_S", 0.3)

    def later() -> list[MillpondError]:
        time.sleep(1)
        return restore.work(unit=1, units=2)

    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(later)
        found = groups.apply(*told, "--wait", "30")
        assert beside.result() == [] and groups.code == 0
    assert [status for status, _ in statuses(found, group).values()] == ["unchanged", "applied", "unchanged"]
    places = [(f"back.{topic}", number) for number in range(3)]
    due = next_records(groups.bootstrap, group, [(topic, number) for number in range(3)])
    assert list(next_records(groups.bootstrap, f"p.{group}", places).values()) == list(due.values())


def test_offsets_of_another_life_of_the_topic_are_dropped_and_named(groups: Groups, unique_name: Name) -> None:
    topic, old, new = unique_name("t"), unique_name("old"), unique_name("new")
    first_id = restored(groups, topic, {old: 3}, run_id="first", prefix="first.")
    oracle.delete_topic(groups.bootstrap, topic)
    second_id = restored(groups, topic, {new: 5}, run_id="second", prefix="second.", take=True)
    assert first_id != second_id
    found = groups.apply("--run-id", "first", "--groups", new, "--prefix", "p.")
    assert statuses(found, new)[topic, 0] == ("skipped", "other_incarnation")
    assert found["groups"][0]["entries"][0]["topic_id"] == second_id
    assert oracle.commits(groups.bootstrap, f"p.{new}") == {}
    groups.apply("--run-id", "second", "--groups", new, "--prefix", "p.")
    assert oracle.commits(groups.bootstrap, f"p.{new}") == {(f"second.{topic}", 0): (5, "m")}


def test_topics_that_are_left_out_not_restored_or_gone_are_told_apart(groups: Groups, unique_name: Name) -> None:
    gone, out, other, group = unique_name("gone"), unique_name("out"), unique_name("other"), unique_name("g")
    for topic in (gone, out, other):
        oracle.make_topic(groups.bootstrap, topic)
        oracle.produce(groups.bootstrap, topic, values(5))
    commit(groups.bootstrap, group, *(TopicPartition(topic, 0, 2) for topic in (gone, out, other)))
    groups.backup(gone, out)
    groups.snapshot()
    groups.restore().all(gone, out, prefix="back.")
    oracle.delete_topic(groups.bootstrap, f"back.{gone}")
    found = groups.apply("--run-id", "r", "--groups", group, "--exclude-topics", out, "--prefix", "p.")
    assert statuses(found, group) == {
        (gone, 0): ("skipped", "target_missing"),
        (other, 0): ("skipped", "not_in_the_run"),
    }
    oracle.make_topic(groups.bootstrap, f"back.{gone}")
    found = groups.apply("--run-id", "r", "--groups", group, "--prefix", "p.")
    assert statuses(found, group)[gone, 0] == ("skipped", "target_replaced")
    assert oracle.commits(groups.bootstrap, f"p.{group}") == {(f"back.{out}", 0): (2, "")}


def test_offsets_may_go_back_to_the_cluster_they_are_of(groups: Groups, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    oracle.make_topic(groups.bootstrap, topic)
    oracle.produce(groups.bootstrap, topic, values(10))
    commit(groups.bootstrap, group, TopicPartition(topic, 0, 4, "m", 0))
    groups.backup(topic)
    at = groups.snapshot()["at"]
    commit(groups.bootstrap, group, TopicPartition(topic, 0, 9, "later"))
    groups.snapshot()
    found = groups.apply("--same-offsets", "--at", str(at), "--groups", group, "--overwrite")
    assert groups.code == 0 and statuses(found, group)[topic, 0] == ("applied", "")
    assert oracle.commits(groups.bootstrap, group) == {(topic, 0): (4, "m")}
    groups.snapshot()
    (shown,) = groups.json("groups", "show", "--groups", group)["groups"]
    assert shown["topics"][0]["partitions"][0]["leader_epoch"] == 0, "a cut log is noticed by the consumer"
    oracle.delete_topic(groups.bootstrap, topic)
    oracle.make_topic(groups.bootstrap, topic)
    found = groups.apply("--same-offsets", "--at", str(at), "--groups", group, "--prefix", "p.")
    assert statuses(found, group)[topic, 0] == ("skipped", "other_incarnation")


def test_records_that_are_gone_from_the_target_do_not_leave_a_group_at_its_reset_policy(
    groups: Groups, unique_name: Name
) -> None:
    topic, group = unique_name("t"), unique_name("g")
    restored(groups, topic, {group: 3})
    there = f"back.{topic}"
    admin = AdminClient({"bootstrap.servers": groups.bootstrap})
    for done in admin.delete_records([TopicPartition(there, 0, 6)]).values():
        done.result()
    found = groups.apply("--run-id", "r", "--groups", group, "--prefix", "p.")
    assert found["groups"][0]["entries"][0]["target_offset"] == 6
    record = next_records(groups.bootstrap, f"p.{group}", [(there, 0)])[there, 0]
    assert record is not None and record[1] == b"v6"


def test_a_run_on_another_cluster_is_refused(groups: Groups, kafka: KafkaCluster, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    restored(groups, topic, {group: 3})
    told = ("--run-id", "r", "--to-brokers", kafka.bootstrap())
    assert groups.run("groups", "apply", *told) == 4 and "restored to cluster" in groups.err
    assert groups.run("groups", "apply", "--same-offsets", "--to-brokers", kafka.bootstrap()) == 4


def test_groups_of_a_lost_cluster_go_on_on_a_new_one(
    groups: Groups, kafka_factory: Callable[..., KafkaCluster], unique_name: Name
) -> None:
    topic, names = unique_name("t"), [unique_name("g") for _ in range(10)]
    oracle.make_topic(groups.bootstrap, topic, 6)
    for number in range(6):
        oracle.produce_transaction(groups.bootstrap, topic, values(6), partition=number)
    for at, name in enumerate(names):
        commit(groups.bootstrap, name, *(TopicPartition(topic, number, (at + number) % 8) for number in range(6)))
    groups.backup(topic)
    groups.snapshot()
    places = [(topic, number) for number in range(6)]
    due = next_of_all(groups.bootstrap, names, places)
    new = kafka_factory().bootstrap()
    Restore(new, groups.store, LAYOUT, "r").all(topic)
    told = ("--run-id", "r", "--groups", ",".join(names), "--to-brokers", new)
    assert groups.run("groups", "apply", *told) == 0, groups.out  # the first that any group is heard of there
    assert next_of_all(new, names, places) == due


def restored(
    groups: Groups,
    topic: str,
    offsets: dict[str, int],
    *,
    partitions: int = 1,
    run_id: str = "r",
    prefix: str = "back.",
    take: bool = False,
) -> str:
    """Ten records in each partition, groups with the text `m` at these offsets, all archived and restored; its id."""
    topic_id = oracle.make_topic(groups.bootstrap, topic, partitions)
    for number in range(partitions):
        oracle.produce(groups.bootstrap, topic, values(10), partition=number)
    for group, offset in offsets.items():
        told = [TopicPartition(topic, number, offset, "m") for number in range(partitions)]
        commit(groups.bootstrap, group, *told)
    groups.backup(topic)
    groups.snapshot()
    groups.restore(run_id).all(topic, prefix=prefix, **({"incarnation": {topic: topic_id}} if take else {}))
    return topic_id
