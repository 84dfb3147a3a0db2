"""Plans whose records go to other partitions, and what functions that place records may ask for."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest

from millpond.archive.runs import Run
from millpond.restore.planning.plan import KIND
from millpond.restore.repartition.keys import decoded
from tests.unit.builders import LAYOUT
from tests.unit.restore.planned_archive import Archive

SCHEMA = {"type": "record", "name": "K", "fields": [{"name": "id", "type": "long"}, {"name": "c", "type": "string"}]}


@pytest.fixture
def archive() -> Archive:
    found = Archive()
    for number in range(3):
        for first in range(0, 100, 10):
            found.add("orders", number, first)
    found.add("small", 0)
    return found


def lines(archive: Archive) -> list[dict[str, Any]]:
    return [line for _, line in Run(archive, LAYOUT, KIND, "r").lines(whole=False)]


def test_a_topic_whose_records_go_elsewhere_is_one_line_with_all_its_partitions(archive: Archive) -> None:
    plan = archive.plan("orders", repartition={"partitions": 5}, since=7)
    (line,) = lines(archive)
    assert [(source["partition"], len(source["objects"])) for source in line["sources"]] == [(n, 10) for n in range(3)]
    assert (line["repartition"], line["archived_partitions"], line["since"]) == ("murmur2", 3, 7)
    assert "partition" not in line
    assert (plan["lines"], plan["units"], plan["objects"]) == (1, 1, 30)
    assert (plan["topics"][0]["partitions"], plan["topics"][0]["target_partitions"]) == (3, 5)


def test_a_topic_that_keeps_its_number_of_partitions_has_a_line_for_each(archive: Archive) -> None:
    archive.plan(repartition={"partitions": 3})
    assert [(line["topic"], "sources" in line) for line in lines(archive)] == [
        *[("orders", False)] * 3,
        ("small", True),
    ]


def test_where_the_target_tells_the_number_every_topic_is_one_line(archive: Archive) -> None:
    plan = archive.plan(repartition=True)
    assert [("sources" in line, line["topic"]) for line in lines(archive)] == [(True, "orders"), (True, "small")]
    assert {topic["target_partitions"] for topic in plan["topics"]} == {None}


def test_bytes_and_the_estimate_count_every_object(archive: Archive) -> None:
    plain = archive.plan("orders", run_id="plain")
    plan = archive.plan("orders", repartition={"partitions": 5})
    assert plan["bytes"] == plain["bytes"]
    assert plan["offsets"] == plain["offsets"]


def test_partitions_that_were_not_asked_for_are_not_said_to_stay_empty(archive: Archive) -> None:
    plan = archive.plan("orders", partitions=["1"], repartition={"partitions": 2})
    assert not [warning for warning in plan["warnings"] if "stay empty" in warning]
    assert [warning for warning in plan["warnings"] if "2 partitions of orders were not asked for" in warning]


def test_a_long_list_of_objects_is_a_document_beside_the_plan(archive: Archive) -> None:
    for first in range(100, 700, 10):
        archive.add("orders", 1, first)
    archive.plan("orders", repartition={"partitions": 2})
    (line,) = lines(archive)
    run = Run(archive, LAYOUT, KIND, "r")
    assert "objects" not in line["sources"][1]
    assert len(run.whole_line(line["sources"][1])["objects"]) == 70


# -- keys


def avro(datum: object) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(SCHEMA), datum)
    return stream.getvalue()


@pytest.mark.parametrize("frame", [b"", b"\0\0\0\0\x07", b"\xc3\x01" + b"f" * 8])
def test_avro_keys_are_read_bare_and_in_both_frames(frame: bytes) -> None:
    assert decoded(frame + avro({"id": 5, "c": "x"}), SCHEMA) == {"id": 5, "c": "x"}


def test_json_keys_are_read_without_a_schema() -> None:
    assert decoded(json.dumps({"a": ["größe", 1]}).encode()) == {"a": ["größe", 1]}


@pytest.mark.parametrize(("key", "schema"), [(b"secret", None), (b"\xff", None), (b"secret", SCHEMA), (b"", SCHEMA)])
def test_what_is_no_such_key_says_so_without_telling_it(key: bytes, schema: object) -> None:
    with pytest.raises(ValueError, match="the key is not") as refused:
        decoded(key, schema)
    assert "secret" not in str(refused.value)
