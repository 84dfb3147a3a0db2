"""Producer sessions on a real broker: one producer for many partitions, and records of any size."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from local.processes import wait_until
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.records import Row
from millpond.restore.writing import target
from millpond.restore.writing.session import Sessions
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
LARGE = 40 << 20
REPARTITIONED = {"repartition": {"by": "murmur2", "partitions": 2}}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def restore(kafka: KafkaCluster) -> Restore:
    return Restore(kafka.bootstrap())


@pytest.fixture
def topic(restore: Restore, unique_name: Name) -> str:
    """A topic of two partitions that takes records of up to 1,000 bytes."""
    name = unique_name("session")
    restore.cluster.create_topic(name, 2, {"max.message.bytes": "1000"})
    return name


@pytest.fixture
def sessions(restore: Restore) -> Iterator[Sessions]:
    with closing(Sessions(restore.cluster)) as found:
        yield found


def test_a_producer_that_has_written_all_it_was_given_serves_the_next_partition(
    restore: Restore, sessions: Sessions, topic: str
) -> None:
    rows = make_rows(0, 20)
    with sessions.open("one") as first:
        first.send((topic, 0), rows)
        first.flush()
    with sessions.open("other") as second:
        second.send((topic, 1), rows[:7])
        second.flush()
    assert second.client is first.client
    restore.holds(topic, {0: rows, 1: rows[:7]})


def test_a_producer_that_was_refused_something_writes_nothing_more(
    restore: Restore, sessions: Sessions, topic: str
) -> None:
    rows = make_rows(0, 20)
    used = []

    def write(given: list[Row]) -> None:
        with sessions.open("one") as session:
            used.append(session.client)
            session.send((topic, 0), given)
            session.flush()

    with pytest.raises(MillpondError, match="cannot write to one"):
        write([*rows[:5], (5, 5, None, b"x" * 5000, ())])
    with sessions.open("other") as other:
        assert other.client is not used[0]
        other.send((topic, 1), rows)
        other.flush()
    restore.holds(topic, {0: rows[: restore.ends(topic)[0]], 1: rows})


def test_what_a_session_left_unwritten_is_dropped_with_its_producer(restore: Restore, topic: str) -> None:
    slow = Cluster(ClusterAddress(restore.bootstrap, {"linger.ms": "60000"}))
    with closing(Sessions(slow)) as sessions:
        with sessions.open("one") as left:
            left.send((topic, 0), make_rows(0, 5))
        with sessions.open("other") as other:
            assert other.client is not left.client
            other.flush()
    assert restore.ends(topic) == {0: 0, 1: 0}


def test_a_block_that_fails_ends_its_producer_though_nothing_was_refused(sessions: Sessions) -> None:
    with pytest.raises(KeyError), sessions.open("one") as failed:
        raise KeyError
    with sessions.open("other") as other:
        assert other.client is not failed.client


def test_a_partition_that_is_refused_leaves_the_others_of_its_worker_whole(restore: Restore, unique_name: Name) -> None:
    names, rows = [unique_name(name) for name in ("a", "b", "c")], make_rows(0, 30)
    for name in names:
        restore.add(name, rows)
    restore.plan(*names)
    restore.prepare()
    restore.cluster.set_topic_config(names[1], {"max.message.bytes": "10"})
    wait_until(lambda: restore.cluster.topic_config(names[1])["max.message.bytes"] == "10", "the limit is known")
    (error,) = restore.work()
    assert f"cannot restore {names[1]}-0" in str(error)
    for name in (names[0], names[2]):
        restore.holds(name, {0: rows})
    assert restore.ends(names[1]) == {0: 0}


# -- records that the queue of a producer does not hold


@pytest.mark.parametrize("more", [{}, REPARTITIONED], ids=["same", "others"])
def test_a_record_larger_than_the_clients_queue_gets_one_that_holds_it(
    restore: Restore, unique_name: Name, more: dict[str, Any]
) -> None:
    topic, sizes = unique_name("queue"), {7: 90_000, 8: 200_000, 9: 0}
    rows: list[Row] = [(n, 1, b"k", b"x" * sizes.get(n, 900), ()) for n in range(12)]
    restore.add(topic, rows)
    restore.plan(topic, **more)
    restore.prepare()
    restore.cluster = Cluster(ClusterAddress(restore.bootstrap, {"queue.buffering.max.kbytes": "4"}))
    assert restore.work() == []
    found = [record[2:] for records in restore.target(topic).values() for record in records]
    assert found == [row[2:] for row in rows]


def test_a_record_of_40_mib_is_restored_and_proven(kafka_factory: Callable[..., KafkaCluster]) -> None:
    limits = {"message.max.bytes": 2 * LARGE, "replica.fetch.max.bytes": 2 * LARGE}
    restore = Restore(kafka_factory(heap="640m", config=limits).bootstrap())
    large: Row = (5, 5, b"large", random.Random(0).randbytes(LARGE), ())
    rows = [*make_rows(0, 5), large, *make_rows(6, 10)]
    restore.add("large", rows)
    restore.archived("large", max_message_bytes=str(2 * LARGE))
    restore.plan("large")
    restore.prepare()
    assert restore.work() == []
    (found,) = restore.target("large").values()
    assert [record[2:] for record in found] == [row[2:] for row in rows]
    ((_, result),) = restore.run.results()
    assert result["digest_archive"] == result["digest_target"]
