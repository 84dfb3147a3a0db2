"""The archive held against live topics on a real broker: what is the same, what is not, and what may differ."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.processes import wait_until
from millpond.archive.facts import Redaction
from millpond.archive.keys import PartitionId
from millpond.archive.names import GapReason
from millpond.cli.main import main
from millpond.errors import RefusedForSafety, WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.kafka.settings import ClusterAddress
from millpond.records import Row
from millpond.restore.comparing.log import LogReader
from millpond.restore.comparing.sample import WHOLE, Sample
from millpond.storage.contract import ObjectInfo, read
from millpond.storage.folder import FolderStore
from millpond.storage.memory import MemoryStore
from millpond.verify.compare_live import compare_live
from tests import oracle
from tests.faults.odd_producer import produce_with_header
from tests.integration.backup_runs import Backup
from tests.integration.restore_runs import LAYOUT
from tests.unit.builders import ARCHIVE_ID, a_partition, put_gap, put_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]


@dataclass
class Live:
    """One topic of one partition, and an archive of it that is made by hand."""

    bootstrap: str
    topic: str
    config: dict[str, str] = field(default_factory=dict)
    values: Sequence[bytes] = tuple(b"%d" % n for n in range(60))

    def __post_init__(self) -> None:
        self.store = MemoryStore()
        self.cluster = Cluster(ClusterAddress(self.bootstrap, {k: str(v) for k, v in oracle.QUICK.items()}))
        identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": self.cluster.cluster_id(), "created": 1}
        self.store.put_if_absent(LAYOUT.identity, json.dumps(identity).encode())
        self.topic_id = oracle.make_topic(self.bootstrap, self.topic, **self.config)
        self.produce(*self.values)

    @property
    def partition(self) -> PartitionId:
        return a_partition(self.topic, 0, self.topic_id)

    def produce(self, *values: bytes, **more: Any) -> None:
        batch = [{"key": b"k" + value, "value": value, "headers": [("h", value)], **more} for value in values]
        oracle._send(oracle._producer(self.bootstrap, oracle.random.Random(0)), self.topic, 0, batch)

    def rows(self) -> list[Row]:
        return [tuple(record) for record in oracle.read_topic(self.bootstrap, self.topic)[0]]

    def archive(self, rows: Sequence[Row], **more: Any) -> str:
        return put_rows(self.store, rows, partition=self.partition, layout=LAYOUT, **more)

    def gap(self, first: int, last: int, reason: GapReason) -> None:
        put_gap(self.store, first, last, reason, partition=self.partition, layout=LAYOUT)

    def compare(self, sample: Sample = WHOLE, **more: Any) -> dict[str, Any]:
        selection = Selection.of([self.topic])
        return compare_live(self.store, LAYOUT, self.cluster, selection=selection, sample=sample, **more)


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


@pytest.fixture
def live(bootstrap: str, unique_name: Name) -> Live:
    return Live(bootstrap, unique_name("live"))


def found_in(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(d["kind"], d["offset"], *d.get("fields", ())) for part in document["partitions"] for d in part["first"]]


# -- nothing is wrong


def test_a_good_backup_has_no_difference_and_its_digests_prove_it(
    bootstrap: str, tmp_path: Path, unique_name: Name, capsys: pytest.CaptureFixture[str]
) -> None:
    """Transactions, aborted ones, nulls, odd headers: a window's digest is that of what Kafka holds at its offsets."""
    topic, folder = unique_name("odd"), tmp_path / "archive"
    folder.mkdir()
    (tmp_path / "spool").mkdir()
    oracle.make_topic(bootstrap, topic, 4)
    store = FolderStore(folder)
    for seed in (1, 2):
        oracle.produce_odd_records(bootstrap, topic, partitions=3, count=150, seed=seed)
        Backup(store, bootstrap, tmp_path / "spool", (topic,), LAYOUT).once()
    archived = oracle.read_archive_records(store, LAYOUT, topic)
    windows = [e for e in store.list(LAYOUT.topics) if isinstance(e, ObjectInfo) and e.key.endswith(".avro")]
    before = sorted(e.key for e in store.list("") if isinstance(e, ObjectInfo))

    capsys.readouterr()
    command = ["compare", "--archive", f"file://{folder}/kafka", "--brokers", bootstrap, "--topics", topic]
    assert main([*command, "--whole", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["differences"] == document["behind"] == 0
    assert document["explained"] == {}
    assert document["equal"] == sum(map(len, archived.values())) > 300
    assert document["by_digest"] == len(windows) >= 6
    assert [part["partition"] for part in document["partitions"]] == [0, 1, 2, 3]

    assert main([*command, "--sample", "20%"]) == 0
    text = capsys.readouterr().out
    assert "no differences" in text
    assert "--seed" in text
    assert sorted(e.key for e in store.list("") if isinstance(e, ObjectInfo)) == before


def test_a_digest_that_is_equal_takes_the_place_of_reading_records(live: Live) -> None:
    """Of two windows one has lost its last block: its header still states what Kafka holds."""
    rows = live.rows()
    live.archive(rows[:30])
    key = live.archive(rows[30:])
    content, head = read(live.store, key), live.store.head(key)
    assert head is not None
    live.store.put_if_match(key, content[:-100], head.etag, head.metadata)
    document = live.compare()
    assert (document["differences"], document["by_digest"], document["equal"]) == (0, 2, 60)


def test_windows_that_overlap_or_were_cut_are_compared_record_by_record(live: Live) -> None:
    rows = live.rows()
    live.archive(rows[:40], epoch=1)
    live.archive(rows[20:50], epoch=1)
    dead: list[Row] = [(n, 1, b"dead", b"dead", ()) for n in range(50, 60)]
    live.archive(dead, epoch=1)
    live.archive(rows[50:], epoch=2)
    document = live.compare()
    assert (document["differences"], document["by_digest"], document["equal"]) == (0, 1, 60)


def test_what_is_not_backed_up_yet_is_told_and_is_no_difference(live: Live) -> None:
    live.archive(live.rows()[:45])
    document = live.compare()
    assert (document["differences"], document["behind"], document["equal"]) == (0, 15, 45)


def test_a_topic_that_was_made_again_is_behind_and_not_different(live: Live) -> None:
    live.archive(live.rows())
    oracle.delete_topic(live.bootstrap, live.topic)
    oracle.make_topic(live.bootstrap, live.topic)
    live.produce(b"new")
    document = live.compare()
    assert (document["differences"], document["behind"], document["equal"]) == (0, 1, 0)


# -- something is wrong


def changed(row: Row, **fields: Any) -> Row:
    names = ("offset", "timestamp", "key", "value", "headers")
    return tuple(fields.get(name, old) for name, old in zip(names, row, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("field", "new"),
    [
        ("timestamp", 5),
        ("key", b""),
        ("value", None),
        ("value", b"0x"),
        ("headers", ()),
        ("headers", ((b"h", b"17"), (b"h", b"17"))),
    ],
)
def test_a_record_that_differs_is_named_with_its_field_and_without_its_content(
    live: Live, field: str, new: Any
) -> None:
    rows = live.rows()
    rows[17] = changed(rows[17], **{field: new})
    live.archive(rows[:30])
    live.archive(rows[30:])
    document = live.compare()
    assert found_in(document) == [("differs", 17, field)]
    assert (document["differs"], document["equal"], document["by_digest"]) == (1, 59, 1)
    assert "k17" not in json.dumps(document)


def test_another_timestamp_type_differs(bootstrap: str, unique_name: Name) -> None:
    live = Live(bootstrap, unique_name("type"), {"message_timestamp_type": "LogAppendTime"}, (b"a", b"b"))
    live.archive(live.rows())
    assert found_in(live.compare()) == [("differs", 0, "type"), ("differs", 1, "type")]


def test_a_record_that_the_archive_lacks_is_missing_there(live: Live) -> None:
    rows = live.rows()
    live.archive(rows[:20] + rows[22:30], last=29)
    live.archive(rows[30:])
    document = live.compare()
    assert found_in(document) == [("only_in_topic", 20), ("only_in_topic", 21)]
    assert (document["only_in_topic"], document["equal"]) == (2, 58)


def test_a_hole_that_kafka_can_fill_is_missing_in_the_archive(live: Live) -> None:
    rows = live.rows()
    live.archive(rows[:20])
    live.gap(20, 24, GapReason.RETENTION)
    live.archive(rows[40:])
    document = live.compare()
    assert (document["only_in_topic"], document["equal"]) == (20, 40)
    assert found_in(document)[0] == ("only_in_topic", 20)
    assert len(document["partitions"][0]["first"]) == 20


def test_records_that_kafka_never_had_or_has_lost_are_missing_there(live: Live) -> None:
    rows = live.rows()
    live.archive([*rows, *((n, 5, b"k", b"v", ()) for n in range(60, 63))])
    document = live.compare()
    assert found_in(document) == [("not_in_topic", 60), ("not_in_topic", 61), ("not_in_topic", 62)]
    assert document["equal"] == 60


def test_a_window_that_cannot_be_read_is_a_difference_and_the_others_go_on(live: Live) -> None:
    rows = live.rows()
    wrong = [changed(row, value=b"wrong") for row in rows[:30]]
    key = live.archive(wrong)
    content, head = read(live.store, key), live.store.head(key)
    assert head is not None
    live.store.put_if_match(key, content[:-100], head.etag, head.metadata)
    live.archive(rows[30:])
    document = live.compare()
    assert (document["damaged"], document["equal"]) == (1, 30)
    assert any(key in d.get("text", "") for d in document["partitions"][0]["first"])


# -- what may differ


def test_what_retention_took_is_told_apart(live: Live) -> None:
    rows = live.rows()
    live.archive(rows[:20])
    live.archive(rows[20:])
    oracle.delete_records(live.bootstrap, live.topic, {0: 33})
    document = live.compare()
    assert (document["differences"], document["equal"]) == (0, 27)
    assert document["explained"] == {"below_log_start": 13}
    (part,) = document["partitions"]
    assert (part["log_start"], part["offsets_below_log_start"], part["ranges"]) == (33, 33, 1)


def test_what_compaction_took_is_told_apart_and_what_it_left_is_compared(bootstrap: str, unique_name: Name) -> None:
    """Records that the archive holds and Kafka has not: here an aborted transaction stands where they were."""
    live = Live(bootstrap, unique_name("compact"), values=())
    oracle.produce_transaction(bootstrap, live.topic, [b"x"] * 19, commit=False)
    live.produce(*(b"%d" % n for n in range(40)))
    rows = live.rows()
    before: list[Row] = [(n, 5, rows[n][2], b"old", ()) for n in range(20)]
    live.archive([*before, *rows[:20], changed(rows[20], value=b"wrong"), *rows[21:]])
    document = live.compare()
    assert (document["not_in_topic"], document["differs"], document["equal"]) == (20, 1, 39)
    live.cluster.set_topic_config(live.topic, {"cleanup.policy": "compact,delete"})
    wait_until(lambda: live.compare()["explained"], "the brokers know the setting")
    document = live.compare()
    assert (found_in(document), document["equal"]) == ([("differs", 40, "value")], 39)
    assert document["explained"] == {"compacted": 20}


def test_what_markers_say_was_left_out_is_told_apart(live: Live) -> None:
    rows = live.rows()
    live.archive(rows[:20])
    for first, reason in ((20, GapReason.SKIPPED), (25, GapReason.UNREADABLE), (30, GapReason.PRUNED)):
        live.gap(first, first + 4, reason)
    live.archive(rows[35:])
    document = live.compare()
    assert (document["differences"], document["equal"], document["explained"]) == (0, 45, {"left_out": 15})


def test_what_a_redaction_changed_is_told_apart_and_anything_more_is_a_difference(live: Live) -> None:
    rows = live.rows()
    left = [changed(row, value=b"***") if row[0] == 7 else row for row in rows if row[0] != 5]
    live.archive(left, redactions=(Redaction("s", 1, 0, 1, 9),))
    document = live.compare()
    assert (document["differences"], document["equal"], document["explained"]) == (0, 58, {"redacted": 2})

    more = Live(live.bootstrap, f"{live.topic}-more")
    rows = more.rows()
    left = [changed(row, value=b"***") if row[0] == 7 else row for row in rows if row[0] not in (5, 9)]
    more.archive(left, redactions=(Redaction("s", 1, 0, 1, 9),))
    document = more.compare()
    assert (found_in(document), document["explained"]) == ([("only_in_topic", 9)], {"redacted": 2})


def test_records_with_headers_that_the_client_cannot_read_end_nothing(live: Live) -> None:
    live.archive(live.rows())
    produce_with_header(live.bootstrap, live.topic, [b"\xff\xfe"])
    live.produce(b"after")
    live.gap(60, 60, GapReason.UNREADABLE)
    (kept,) = LogReaderRows(live).rows(61, 62)
    live.archive([kept])
    document = live.compare()
    assert (document["differences"], document["equal"], document["explained"]) == (0, 61, {"left_out": 1})

    other = Live(live.bootstrap, f"{live.topic}-b")
    rows = other.rows()
    produce_with_header(other.bootstrap, other.topic, [b"\xff\xfe"])
    other.archive([*rows, (60, rows[-1][1], None, b"no", ())])
    document = other.compare()
    assert [found[:2] for found in found_in(document)] == [("differs", 60)]
    assert document["equal"] == 60


# -- the reader


@dataclass
class LogReaderRows:
    live: Live

    def rows(self, first: int, end: int) -> list[Row]:
        with LogReader(self.live.cluster) as reader:
            return [row for row, _, _ in reader.rows((self.live.topic, 0), first, end)]


def test_ranges_in_any_order_give_the_committed_records_in_them(bootstrap: str, unique_name: Name) -> None:
    """Aborted records and control records lie at ends of ranges, too; ranges are left in the middle."""
    live = Live(bootstrap, unique_name("ranges"), values=())
    oracle.produce_odd_records(bootstrap, live.topic, count=150)
    live.produce(*live_values(700))
    oracle.produce_transaction(bootstrap, live.topic, [b"x"] * 5, commit=False)
    held, end = live.rows(), oracle.ends_of(bootstrap, live.topic)[0]
    place, chance = (live.topic, 0), oracle.random.Random(7)
    with LogReader(live.cluster) as reader:
        for _ in range(3):
            borders = sorted({0, end, *(chance.randrange(end) for _ in range(25))})
            ranges = list(itertools.pairwise(borders))
            for first, last in [*ranges, *chance.sample(ranges, len(ranges))]:
                found = [row for row, _, _ in reader.rows(place, first, last)]
                assert found == [row for row in held if first <= row[0] < last], (first, last)
                if chance.random() < 0.2:
                    next(reader.batches(place, 0, end))


def live_values(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


def test_a_log_start_that_moves_while_records_are_read_is_followed(live: Live) -> None:
    with LogReader(live.cluster) as reader:
        assert [row[0] for row, _, _ in reader.rows((live.topic, 0), 0, 10)] == list(range(10))
        oracle.delete_records(live.bootstrap, live.topic, {0: 40})
        assert [row[0] for row, _, _ in reader.rows((live.topic, 0), 20, 60)] == list(range(40, 60))
        assert reader.starts == {(live.topic, 0): 40}


# -- samples and refusals


def test_a_sample_finds_nothing_in_good_data_and_its_seed_chooses_the_same_again(live: Live) -> None:
    rows = live.rows()
    for first in range(0, 60, 2):
        live.archive(rows[first : first + 2] if first != 28 else [rows[28], changed(rows[29], value=b"wrong")])
    bad = next(seed for seed in range(1000) if 14 in Sample.of("5", str(seed)).choose(30, f"{live.topic}-0"))
    good = next(seed for seed in range(1000) if 14 not in Sample.of("5", str(seed)).choose(30, f"{live.topic}-0"))
    for _ in range(2):
        document = live.compare(Sample.of("5", str(bad)))
        assert (document["ranges"], document["compared"], found_in(document)) == (30, 5, [("differs", 29, "value")])
        document = live.compare(Sample.of("5", str(good)))
        assert (document["compared"], document["equal"], document["differences"]) == (5, 10, 0)


def test_another_cluster_or_topics_that_are_gone_are_refused(live: Live) -> None:
    live.archive(live.rows())
    with pytest.raises(WrongUsage, match="none of 0 archived topics"):
        compare_live(live.store, LAYOUT, live.cluster, selection=Selection.of(["no"]), sample=WHOLE)
    oracle.delete_topic(live.bootstrap, live.topic)
    with pytest.raises(WrongUsage, match="none of 1 archived topics"):
        live.compare()
    other = MemoryStore()
    identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "other", "created": 1}
    other.put_if_absent(LAYOUT.identity, json.dumps(identity).encode())
    with pytest.raises(RefusedForSafety, match="holds cluster other"):
        compare_live(other, LAYOUT, live.cluster, selection=Selection.of([".*"]), sample=WHOLE)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "--brokers is missing"),
        (["--brokers", "b", "--whole", "--sample", "5%"], "not both"),
        (["--brokers", "b", "--sample", "0%"], "is no sample"),
        (["--run-id", "r"], "needs --to-brokers"),
        (["--brokers", "b", "--to-brokers", "b"], "needs --run-id"),
        (["--run-id", "r", "--to-brokers", "b", "--topics", "x"], "leave out --topics"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--archive", f"file://{tmp_path}", *flags]) == 2
    assert told in capsys.readouterr().err
