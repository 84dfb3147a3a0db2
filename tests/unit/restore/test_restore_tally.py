from __future__ import annotations

import json

from millpond.restore.writing.metrics import METRICS
from millpond.restore.writing.tally import Tally, UnitStatus
from millpond.telemetry.emf import EmfLines
from tests.unit.builders import make_rows


def test_what_a_worker_has_done_is_told_after_every_step() -> None:
    told: list[UnitStatus] = []
    counts: list[int] = []
    tally = Tally(2, counts.append, told.append)
    tally.records([(0, 1, b"key", b"value", ()), (1, 1, None, None, ((b"h", b"12"),))])
    tally.done()
    tally.failed()
    assert counts == [2]
    assert told == [
        UnitStatus(2),
        UnitStatus(2, 2, 11),
        UnitStatus(2, 2, 11, 1),
        UnitStatus(2, 2, 11, 1, 1),
    ]


def test_without_an_observer_records_are_counted_only() -> None:
    counts: list[int] = []
    tally = Tally(0, counts.append)
    tally.records(make_rows(0, 7))
    tally.done()
    assert counts == [7]


def test_cloudwatch_is_told_sums_and_each_line_names_its_worker() -> None:
    lines = EmfLines("prod")
    readings = [measure.read(UnitStatus(3, 10, 900, 1, 0), 5) for measure in METRICS]
    line = json.loads(lines.line(readings, 5))
    assert (line["RestoredRecords"], line["RestoredBytes"]) == (10, 900)
    assert (line["RestoredPartitions"], line["FailedPartitions"]) == (1, 0)
    assert line["RestoredRecordsByUnit"] == {"3": 10}
    again = json.loads(lines.line([measure.read(UnitStatus(3, 12, 950, 1, 2), 6) for measure in METRICS], 6))
    assert (again["RestoredRecords"], again["FailedPartitions"]) == (2, 2)
