"""One definition, two renderings: Prometheus' own parser and the rules of the embedded metric format read them back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from millpond.backup.metrics import METRICS, PREFIX
from millpond.backup.status import BackupStatus, Gone, GoneTopic, PartitionState, PartitionStatus, together
from millpond.telemetry.emf import EmfLines
from millpond.telemetry.metric import Combined, Kind, Reading
from millpond.telemetry.process import PROCESS
from millpond.telemetry.prometheus import PrometheusPage
from tests.unit.telemetry.statuses import BUSY, NOW, WELL, counted, status

DEFINED = {measure.metric.cloudwatch: measure.metric for measure in (*METRICS, *PROCESS)}
# Specification: Embedded metric format, the pattern of Unit, as far as it is used here.
UNITS = {"Seconds", "Bytes", "Count"}


def read(found: BackupStatus, at_ms: int = NOW) -> list[Reading]:
    return [measure.read(found, at_ms) for measure in METRICS]


def scraped(found: BackupStatus, at_ms: int = NOW) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name and values of labels, as Prometheus reads them."""
    page, _ = PrometheusPage(lambda: read(found, at_ms)).render()
    return parsed(page.decode())


def parsed(page: str) -> dict[str, dict[tuple[str, ...], float]]:
    samples: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = tuple(
                sample.labels[name] for name in ("topic", "partition", "reason", "kind") if name in sample.labels
            )
            assert labels not in samples[sample.name], "a series twice"
            samples[sample.name][labels] = sample.value
    return samples


def emitted(found: BackupStatus, lines: EmfLines | None = None, at_ms: int = NOW) -> dict[str, Any]:
    text = (lines or EmfLines("shop")).line(read(found, at_ms), at_ms)
    assert "\n" not in text
    document = json.loads(text)
    follows_the_specification(document, len(text))
    return document  # type: ignore[no-any-return]


def follows_the_specification(document: dict[str, Any], length: int) -> None:
    """Every MUST of the embedded metric format that can be checked on one document."""
    assert length <= 256 * 1024
    assert isinstance(document["_aws"]["Timestamp"], int)
    assert len(document["_aws"]["CloudWatchMetrics"]) == 1
    for directive in document["_aws"]["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert re.fullmatch(r".{1,255}", directive["Namespace"])
        assert directive["Dimensions"] and 0 < len(directive["Metrics"]) <= 100
        for names in directive["Dimensions"]:
            assert len(names) <= 9
            assert all(isinstance(document[name], str) and 1 <= len(document[name]) <= 1024 for name in names)
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert len(names) == len(set(names))
        for metric in directive["Metrics"]:
            assert set(metric) <= {"Name", "Unit"} and 1 <= len(metric["Name"]) <= 255
            assert metric["Unit"] in UNITS
            assert isinstance(document[metric["Name"]], int | float) and not isinstance(document[metric["Name"]], bool)


# -- the definition


def test_names_are_unique_and_tell_kind_and_unit() -> None:
    metrics = list(DEFINED.values())
    assert len({metric.name for metric in metrics}) == len(METRICS) + len(PROCESS) == len(metrics)
    for metric in metrics:
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        unit = {"Seconds": "seconds", "Bytes": "bytes"}.get(metric.unit)
        assert unit is None or unit in metric.name


def test_the_documentation_lists_exactly_these_metrics() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    section = text.split("## Watching it")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)` \| `(\w+)` \| (\w+), (\w+) \| ([^|]*) \|", section, re.M)
    assert {(name, shown, statistic, unit) for name, shown, statistic, unit, _ in rows} == {
        (metric.name, metric.cloudwatch, metric.combined.value, metric.unit.value) for metric in DEFINED.values()
    }
    labels = {name: tuple(re.findall(r"`(\w+)`", told.split(";")[0])) for name, _, _, _, told in rows}
    assert labels == {metric.name: metric.labels for metric in DEFINED.values()}


# -- Prometheus


def test_prometheus_reads_each_partition() -> None:
    found = scraped(BUSY)
    assert found[PREFIX + "lag_offsets"] == {("orders", "0"): 3, ("orders", "1"): 4, ("prices", "0"): 0}
    ages = found[PREFIX + "recovery_point_age_seconds"]
    assert ages == {("orders", "0"): 30, ("orders", "1"): 0, ("prices", "0"): 0}
    assert found[PREFIX + "partition_stopped"] == {("orders", "0"): 0, ("orders", "1"): 1, ("prices", "0"): 0}


def test_prometheus_reads_counters_with_their_reasons() -> None:
    found = scraped(BUSY)
    assert found[PREFIX + "records_total"] == {(): 10}
    assert found[PREFIX + "gaps_total"] == {("empty",): 2, ("retention",): 1}
    assert found[PREFIX + "events_total"] == {("truncated",): 1}
    assert found[PREFIX + "topic_errors_total"] == {("orders",): 4}


def test_every_metric_is_on_the_page_with_its_kind_and_help() -> None:
    page, _ = PrometheusPage(lambda: read(BUSY)).render()
    families = {family.name: family for family in text_string_to_metric_families(page.decode())}
    for metric in (measure.metric for measure in METRICS):
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind.value, metric.help)


def test_ages_grow_while_the_status_stays_the_same() -> None:
    found = scraped(status(uploads_failing_since_ms=NOW - 1_000), NOW + 120_000)
    assert found[PREFIX + "status_age_seconds"] == {(): 120}
    assert found[PREFIX + "brokers_silent_seconds"] == {(): 120}
    assert found[PREFIX + "uploads_failing_seconds"] == {(): 121}
    assert found[PREFIX + "recovery_point_age_seconds"][("orders", "0")] == 150


def test_before_anything_is_stored_the_age_counts_from_the_start() -> None:
    assert scraped(WELL)[PREFIX + "stored_age_seconds"] == {(): 5}
    assert scraped(status(stored_ms=0))[PREFIX + "stored_age_seconds"] == {(): 90}


def test_a_partition_that_is_not_read_is_as_old_as_what_the_archive_holds_of_it() -> None:
    states = (PartitionState.FINDING, PartitionState.STOPPED, PartitionState.LOST)
    partitions = tuple(
        PartitionStatus("orders", number, state, unstored_since_ms=NOW - 7_000, state_since_ms=NOW - 4_000)
        for number, state in enumerate(states)
    )
    found = scraped(status(partitions=partitions), NOW + 1_000)
    assert found[PREFIX + "recovery_point_age_seconds"] == {("orders", "0"): 8, ("orders", "1"): 8, ("orders", "2"): 8}
    assert found[PREFIX + "longest_search_seconds"] == {(): 5}
    assert found[PREFIX + "partitions"] == {(): 2}, "one that is lost is not held"


def test_topics_that_went_are_counted_by_why() -> None:
    gone = (GoneTopic("a", Gone.DELETED, NOW), GoneTopic("b", Gone.REFUSED, NOW), GoneTopic("c", Gone.REFUSED, NOW))
    found = scraped(together([status(gone=gone), status(gone=gone[:2])]))
    assert (found[PREFIX + "topics_refused"], found[PREFIX + "topics_deleted"]) == ({(): 2}, {(): 1})


def test_the_age_of_snapshots_is_that_of_the_newest_of_any_worker() -> None:
    both = together([status(snapshots_ms={}), status(snapshots_ms={"groups": NOW - 90_000}), BUSY])
    assert scraped(both)[PREFIX + "snapshot_age_seconds"] == {("groups",): 20, ("cluster",): 40}
    assert emitted(both)["SnapshotAge"] == 40


def test_a_partition_that_two_workers_name_is_one_series() -> None:
    moving = together([BUSY, status(partitions=(PartitionStatus("orders", 0, PartitionState.FINDING),))])
    found = scraped(moving)
    assert found[PREFIX + "lag_offsets"][("orders", "0")] == 3
    assert found[PREFIX + "partitions"] == {(): 4}


def test_names_of_topics_are_escaped() -> None:
    odd = PartitionStatus('a"b\\c\nd', 0, PartitionState.READING, 1, 1, 3)
    assert scraped(status(partitions=(odd,)))[PREFIX + "lag_offsets"] == {('a"b\\c\nd', "0"): 2}


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    page, content_type = PrometheusPage(lambda: read(BUSY)).render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(page.decode())} >= {PREFIX + "records", PREFIX + "lag_offsets"}


def test_pages_share_no_registry() -> None:
    one, other = (PrometheusPage(lambda found=found: read(found)) for found in (BUSY, counted(records=99)))
    assert parsed(one.render()[0].decode())[PREFIX + "records_total"] == {(): 10}
    assert parsed(other.render()[0].decode())[PREFIX + "records_total"] == {(): 99}
    assert PREFIX.encode() not in prometheus_client.generate_latest()


# -- CloudWatch


def test_cloudwatch_gets_one_value_for_each_metric_under_the_name_of_the_deployment() -> None:
    found = emitted(BUSY)
    directive = found["_aws"]["CloudWatchMetrics"][0]
    assert (directive["Namespace"], directive["Dimensions"], found["Deployment"]) == (
        "Millpond",
        [["Deployment"]],
        "shop",
    )
    assert found["_aws"]["Timestamp"] == NOW
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        measure.metric.cloudwatch: measure.metric.unit.value for measure in METRICS
    }


def test_cloudwatch_gets_the_sum_of_lags_the_worst_age_and_the_number_of_stopped_partitions() -> None:
    found = emitted(status(uploads_failing_since_ms=NOW - 61_500))
    assert (found["Lag"], found["RecoveryPointAge"], found["StoppedPartitions"], found["Partitions"]) == (7, 30, 1, 3)
    assert found["UploadsFailing"] == 61.5


def test_a_backup_that_is_well_tells_zeros_and_leaves_nothing_out() -> None:
    found = emitted(WELL)
    assert len(found["_aws"]["CloudWatchMetrics"][0]["Metrics"]) == len(METRICS)
    assert (found["Lag"], found["Gaps"], found["UploadsFailing"], found["StoppedPartitions"]) == (0, 0, 0, 0)


def test_counters_tell_what_was_added_since_the_line_before() -> None:
    lines = EmfLines("shop")
    first = emitted(BUSY, lines)
    more = counted(records=25, gaps={"empty": 2, "retention": 4}, topic_errors={"orders": 4, "prices": 1})
    second = emitted(more, lines)
    assert (first["Records"], second["Records"]) == (10, 15)
    assert (first["Gaps"], second["Gaps"]) == (3, 3)
    assert second["GapsByReason"] == {"retention": 3}
    assert second["TopicErrorsByTopic"] == {"prices": 1}
    assert (second["Lag"], second["Objects"]) == (7, 0)


def test_a_counter_that_fell_began_anew() -> None:
    lines = EmfLines("shop")
    emitted(BUSY, lines)
    assert emitted(counted(records=4), lines)["Records"] == 4


def test_the_deltas_of_many_lines_are_the_counter() -> None:
    lines = EmfLines("shop")
    seconds = [0.1, 0.35, 0.7, 7.25]
    told = [emitted(counted(upload_seconds=value), lines)["UploadTime"] for value in seconds]
    assert sum(told) == pytest.approx(seconds[-1])


def test_a_thousand_failing_topics_are_no_thousand_members_of_a_line() -> None:
    found = emitted(counted(topic_errors={f"t{number}": number for number in range(1, 1001)}))
    assert found["TopicErrors"] == 500_500
    assert len(found["TopicErrorsByTopic"]) == 20 and found["TopicErrorsByTopic"]["t1000"] == 1000


def test_the_line_is_what_aws_lambda_powertools_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POWERTOOLS_SERVICE_NAME", raising=False)
    provider = AmazonCloudWatchEMFProvider(namespace="Millpond", default_dimensions={"Deployment": "shop"})
    for reading in read(BUSY):
        provider.add_metric(reading.metric.cloudwatch, reading.metric.unit.value, reading.one)
    theirs: dict[str, Any] = dict(provider.serialize_metric_set())
    ours = emitted(BUSY)
    assert ours["_aws"]["CloudWatchMetrics"] == theirs["_aws"]["CloudWatchMetrics"]
    names = [metric["Name"] for metric in theirs["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    assert {name: [ours[name]] for name in names} == {name: theirs[name] for name in names}


def test_both_tell_the_same_numbers() -> None:
    found = status(uploads_failing_since_ms=NOW - 2_000)
    pages, line = scraped(found), emitted(found)
    for metric in (measure.metric for measure in METRICS):
        values = pages[metric.name].values()
        one = max(values) if metric.combined is Combined.MAX else sum(values)
        assert line[metric.cloudwatch] == pytest.approx(one), metric.name


# -- the process


def of_process(*pids: int) -> dict[str, float]:
    return {reading.metric.name: reading.one for reading in (one.read(lambda: pids, NOW) for one in PROCESS)}


def test_cpu_and_memory_of_the_process_are_the_kernels() -> None:
    found = of_process(os.getpid())
    spent = os.times().user + os.times().system
    assert found["process_cpu_seconds_total"] == pytest.approx(spent, abs=0.5)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert found["process_resident_memory_bytes"] == pytest.approx(resident, rel=0.2)


def test_workers_are_counted_and_one_that_ended_is_not() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", "held = bytearray(b'x' * (64 << 20)); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout and worker.stdout.readline()
    both, alone = of_process(os.getpid(), worker.pid), of_process(os.getpid())
    worker.communicate(b"\n")
    assert both["process_resident_memory_bytes"] - alone["process_resident_memory_bytes"] >= 64 << 20
    after = of_process(os.getpid(), worker.pid)
    assert after["process_resident_memory_bytes"] == pytest.approx(alone["process_resident_memory_bytes"], rel=0.2)
