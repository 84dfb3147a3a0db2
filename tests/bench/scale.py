"""`python -m tests.bench.scale`: what grows with partitions and workers.

    assignment      positions of 100,000 partitions, each listing taking 50 ms
    memory          peak of a backup of 1,000 partitions with traffic
    workers         time of the records of set A with one and with two workers, to the archive and back

Prints a line for each. The first needs no network, the others a broker of their own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from local.kafka import KafkaCluster
from local.prepare import prepare_kafka
from millpond.archive.keys import Layout
from millpond.backup.findings import Findings
from millpond.backup.positions import StartFinder
from millpond.kafka.admin import Commit, LogEnd, TopicDescription
from millpond.kafka.places import Place
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.bench.measure import Cost, run
from tests.oracle import make_topic

TOPICS, PARTITIONS, AT_ONCE = 100, 1000, 2000
LISTING_S = 0.05


class SlowListings(MemoryStore):
    """An object store that takes its time to list, as S3 does."""

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        time.sleep(LISTING_S)
        return super().list(prefix, after=after, delimiter=delimiter)


class KnownCluster:
    """Answers at once what a cluster would be asked."""

    address = ClusterAddress("nobody:9092")

    def describe(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        return {name: TopicDescription(name, f"{name:A<22}"[:22], PARTITIONS, 3, internal=False) for name in topics}

    def group_commits(self, group_id: str) -> dict[Place, Commit]:
        return {}

    def log_starts(self, places: Iterable[Place], *, of_some: bool) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def log_ends(self, places: Iterable[Place]) -> dict[Place, LogEnd]:
        return dict.fromkeys(places, LogEnd(1000, 0))

    def settings_of(self, topics: Iterable[str]) -> Mapping[str, dict[str, str]]:
        return {}

    def offsets_at(self, times: Mapping[Place, int]) -> dict[Place, int]:
        return {}


def assignment() -> str:
    finder = StartFinder(Findings(SlowListings(), Layout("kafka")), KnownCluster(), "a", "g")  # type: ignore[arg-type]
    places = [(f"t{topic}", number) for topic in range(TOPICS) for number in range(PARTITIONS)]
    began, found = time.perf_counter(), 0
    for start in range(0, len(places), AT_ONCE):
        found += len(finder.find(places[start : start + AT_ONCE], 0))
    took = time.perf_counter() - began
    return f"assignment: {found} partitions in {took:.0f} s, listings of {1000 * LISTING_S:.0f} ms"


def fill(bootstrap: str, topics: Iterable[str], partitions: int, count: int, size: int) -> None:
    """So many records for each partition, of text that compresses to about a half."""
    settings: dict[str, Any] = {"bootstrap.servers": bootstrap, "linger.ms": 100, "queue.buffering.max.kbytes": 1 << 18}
    producer = Producer(settings)
    values = [json.dumps({"n": n, "text": hex(hash((n, "x")) ** 40)})[:size].ljust(size).encode() for n in range(500)]
    for number in range(count):
        for topic in topics:
            for partition in range(partitions):
                while True:
                    try:
                        producer.produce(topic, values[(number + partition) % 500], partition=partition)
                        break
                    except BufferError:
                        producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0


def backed_up(bootstrap: str, folder: str, topics: str, *flags: str) -> Cost:
    Path(folder, "archive").mkdir(exist_ok=True)
    words = ["millpond.cli.main", "backup", "--once", "--json", "--brokers", bootstrap, "--topics", topics]
    words += ["--archive", f"file://{folder}/archive", "--spool", f"{folder}/spool", "--snapshot-every", "0", *flags]
    return run(words, {})[0]


def restored(bootstrap: str, folder: str, topic: str, prefix: str, *flags: str) -> Cost:
    words = ["millpond.cli.main", "restore", "--json", "--to-brokers", bootstrap, "--topics", topic]
    words += ["--archive", f"file://{folder}/archive", "--prefix", prefix, "--compare", "none", *flags]
    return run(words, {})[0]


def memory(bootstrap: str) -> str:
    topics = [f"many-{number}" for number in range(10)]
    for topic in topics:
        make_topic(bootstrap, topic, 100)
    fill(bootstrap, topics, 100, 300, 1024)
    with tempfile.TemporaryDirectory() as folder:
        cost = backed_up(bootstrap, folder, "many-.*")
    return f"memory: {cost.peak_rss_bytes >> 20} MiB peak, 1,000 partitions of 300 KiB, {cost.wall_s:.1f} s"


def workers(bootstrap: str, records: int) -> Iterator[str]:
    make_topic(bootstrap, "one", 12)
    make_topic(bootstrap, "few", 12)
    fill(bootstrap, ["one"], 12, records // 12, 1024)
    fill(bootstrap, ["few"], 12, 1, 1024)
    there, back = [], []
    for count in ("1", "2"):
        with tempfile.TemporaryDirectory() as folder:
            start, whole = (backed_up(bootstrap, folder, topic, "--workers", count) for topic in ("few", "one"))
            there.append(whole.wall_s - start.wall_s)
            more = (f"{count}-", "--workers", count)
            start, whole = (restored(bootstrap, folder, topic, *more) for topic in ("few", "one"))
            back.append(whole.wall_s - start.wall_s)
    for name, told in (("workers", there), ("workers of a restore", back)):
        seconds = f"{told[0]:.1f} s with one, {told[1]:.1f} s with two"
        yield f"{name}: {records} records of 1 KiB in {seconds}, starts taken off: factor {told[0] / told[1]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale")
    parser.add_argument("--records", type=int, default=1_000_000, help="of the comparison of workers")
    wanted = parser.parse_args()
    print(assignment(), flush=True)
    prepare_kafka()
    with KafkaCluster(heap="1g", config={"log.retention.ms": -1}) as kafka:
        print(memory(kafka.bootstrap()), flush=True)
        for line in workers(kafka.bootstrap(), wanted.records):
            print(line, flush=True)


if __name__ == "__main__":
    main()
