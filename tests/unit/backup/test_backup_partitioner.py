"""What the paths of records are made of, and that no identifier stands in them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.identity import open_or_create
from millpond.archive.names import _PATH
from millpond.backup.partitioner import Partitioner, partitioner_of
from millpond.backup.path_policies import REFRESH_MS, PathPolicies, load_policy_file
from millpond.backup.path_sources import load_key_schema, safe
from millpond.erasure.buckets import bucket_of, bucket_text
from millpond.erasure.policy import store_policy
from millpond.erasure.request import parse_policy
from millpond.erasure.secret import ErasureSecret, keyed_hash
from millpond.errors import WrongUsage
from millpond.records import Row
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT

SECRET = ErasureSecret({"k1": "0123456789abcdef" * 4})
MS = 1767312000000  # 2026-01-02T00:00:00Z


def row(
    key: bytes | None = b"k",
    value: bytes | None = b"{}",
    *,
    at: int = MS,
    headers: tuple[tuple[bytes, bytes | None], ...] = (),
) -> Row:
    return (7, at, key, value, headers)


def path(spec: str, record: Row, **more: Any) -> str:
    return Partitioner.of(spec, **more).paths("orders", 3).of(record)


@pytest.mark.parametrize(
    ("spec", "record", "expected"),
    [
        ("key", row(b"de"), "key=de"),
        ("key", row(None), "key=__none"),
        ("key", row(b"\xff"), "key=__unreadable"),
        ("key", row(b"a/b c"), "key=a%2Fb%20c"),
        ("key", row("größe".encode()), "key=gr%C3%B6%C3%9Fe"),
        ("key.country", row(b'{"country": "de"}'), "country=de"),
        ("key.country", row(b'{"country": null}'), "country=__none"),
        ("key.country", row(b"{}"), "country=__none"),
        ("key.country", row(b"de"), "country=__unreadable"),
        ("key.country", row(b'"de"'), "country=__unreadable"),
        ("key.a.b", row(b'{"a": {"b": 42.50}}'), "a.b=42.50"),
        ("key.a.b", row(b'{"a": null}'), "a.b=__none"),
        ("key.a", row(b'{"a": {"b": 1}}'), "a=__unreadable"),
        ("key.a", row(b'{"a": [1]}'), "a=__unreadable"),
        ("key.a", row(b'{"a": true}'), "a=true"),
        ("key.a", row(b"[" * 100_000), "a=__unreadable"),
        ("value.country", row(value=b'{"country": "fr"}'), "country=fr"),
        ("value.country", row(value=None), "country=__none"),
        ("header.tenant", row(headers=((b"tenant", b"t1"), (b"x", b"y"))), "tenant=t1"),
        ("header.tenant", row(), "tenant=__none"),
        ("header.tenant", row(headers=((b"tenant", None),)), "tenant=__none"),
        ("header.tenant", row(headers=((b"tenant", b"a"), (b"tenant", b"a"))), "tenant=a"),
        ("header.tenant", row(headers=((b"tenant", b"a"), (b"tenant", b"b"))), "tenant=__several"),
        ("timestamp.date", row(), "date=2026-01-02"),
        ("timestamp.date", row(at=MS - 1), "date=2026-01-01"),
        ("timestamp.month", row(), "month=2026-01"),
        ("timestamp.hour", row(at=MS + 3_600_000 * 5), "hour=2026-01-02T05"),
        ("timestamp.date", row(at=0), "date=1970-01-01"),
        ("timestamp.date", row(at=-1), "date=__none"),
        ("timestamp.date", row(at=2**62), "date=__unreadable"),
        ("partition", row(), "partition=3"),
        ("key.country,timestamp.date", row(b'{"country": "de"}'), "country=de/date=2026-01-02"),
        ("timestamp.date , key", row(b"x"), "date=2026-01-02/key=x"),
        ("key.id,value.id", row(b'{"id": 1}', b'{"id": 2}'), "key.id=1/value.id=2"),
    ],
)
def test_a_path_is_made_of_what_stands_at_the_sources(spec: str, record: Row, expected: str) -> None:
    assert path(spec, record) == expected


@pytest.mark.parametrize(
    "spec",
    [
        *("", ",", "key,", "keys", "key.", "value", "header", "header.", "timestamp", "timestamp.day", "offset"),
        *("key.a b", "key..a", "key,key", "partition.3", "key.a/b", "key.x=y", "key," * 4 + "partition"),
        "key." + "a" * 64,
        "key,value.a,header.b,timestamp.date,partition",
    ],
)
def test_what_is_no_source_is_wrong_usage_with_a_hint(spec: str) -> None:
    with pytest.raises(WrongUsage, match="cannot partition by") as caught:
        Partitioner.of(spec)
    assert caught.value.hint


@given(st.text())
def test_any_text_becomes_a_safe_and_short_part_of_a_key(text: str) -> None:
    part = safe(text)
    assert _PATH.fullmatch(f"name={part}") and len(part) <= 64


@pytest.mark.parametrize("text", ["", "x" * 65, "ü" * 11, "a\nb", "__none", "bucket-00", "hash-1", "\ud800"])
def test_long_odd_and_ambiguous_texts_are_hashed(text: str) -> None:
    assert safe(text).startswith("hash-") and safe(text) == safe(text)
    assert safe(text) != safe(text + "x")


@given(st.binary(max_size=40) | st.none(), st.binary(max_size=40) | st.none(), st.integers(-(2**63), 2**63 - 1))
def test_no_record_breaks_a_path(key: bytes | None, value: bytes | None, at: int) -> None:
    assert _PATH.fullmatch(path("key,value.a.b,header.x,timestamp.hour", row(key, value, at=at)))


# -- Avro keys


RECORD = {
    "type": "record",
    "name": "Key",
    "fields": [
        {"name": "country", "type": ["null", "string"]},
        {"name": "inner", "type": {"type": "record", "name": "Inner", "fields": [{"name": "id", "type": "long"}]}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ],
}


def avro(schema: Any, datum: Any, *, framed: bool = False) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), datum)
    return (b"\0\0\0\1\x07" if framed else b"") + stream.getvalue()


@pytest.fixture
def schema(tmp_path: Path) -> Any:
    file = tmp_path / "key.avsc"
    file.write_text(json.dumps(RECORD))
    return load_key_schema(file)


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("key.country", "country=de"),
        ("key.inner.id", "inner.id=42"),
        ("key.day", "day=1970-01-02"),
        ("key", "key=__unreadable"),
        ("key.inner", "inner=__unreadable"),
        ("key.none", "none=__none"),
    ],
)
def test_avro_keys_are_read_with_the_schema_given(schema: Any, spec: str, expected: str, framed: bool) -> None:
    key = avro(RECORD, {"country": "de", "inner": {"id": 42}, "day": 1}, framed=framed)
    assert path(spec, row(key), key_schema=schema) == expected


def test_a_null_in_an_avro_key_is_no_value(schema: Any) -> None:
    key = avro(RECORD, {"country": None, "inner": {"id": 42}, "day": 1})
    assert key[0] == 0  # looks framed, and is not
    assert path("key.country", row(key), key_schema=schema) == "country=__none"


def test_a_key_of_one_avro_string_is_its_text() -> None:
    schema = fastavro.parse_schema("string")
    assert path("key", row(avro("string", "de")), key_schema=schema) == "key=de"


@given(st.binary(max_size=60))
def test_keys_that_the_schema_does_not_fit_are_unreadable_or_read(key: bytes) -> None:
    schema = fastavro.parse_schema(RECORD | {"name": "Any"})
    assert _PATH.fullmatch(path("key.country", row(key), key_schema=schema))


def test_an_avro_key_with_something_behind_it_is_unreadable(schema: Any) -> None:
    key = avro(RECORD, {"country": "de", "inner": {"id": 42}, "day": 1}) + b"x"
    assert path("key.country", row(key), key_schema=schema) == "country=__unreadable"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"unknown.Type"', '{"type": "record"}', "7"])
def test_a_file_that_is_no_schema_is_wrong_usage(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key.avsc"
    file.write_text(content)
    with pytest.raises(WrongUsage, match="not an Avro schema"):
        load_key_schema(file)
    with pytest.raises(WrongUsage, match="cannot read the key schema"):
        load_key_schema(tmp_path / "absent")


def test_a_schema_is_taken_where_its_file_would_be_named(tmp_path: Path) -> None:
    text = ' {"type": "record", "name": "k", "doc": "a//b", "fields": [{"name": "id", "type": "long"}]}'
    (tmp_path / "key.avsc").write_text(text)
    assert load_key_schema(text) == load_key_schema(tmp_path / "key.avsc")
    with pytest.raises(WrongUsage, match=r"^the key schema is not an Avro schema"):
        load_key_schema('{"type": "secretive"}')


# -- places that erasure policies name


def policy(*places: dict[str, Any], topic: str = "orders") -> Any:
    return parse_policy(json.dumps({"topics": {topic: {"places": list(places), "action": "drop"}}}))


KEY = {"type": "customer_id", "at": "key", "format": "utf8"}
KEY_FIELD = {"type": "customer_id", "at": "key", "format": "json", "path": "customer.id"}
VALUE_FIELD = {"type": "customer_id", "at": "value", "format": "json", "path": "customer.id"}
Policies = Callable[..., PathPolicies]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def policies(store: MemoryStore) -> Policies:
    archive_id = open_or_create(store, LAYOUT, cluster_id="c", now_ms=1).archive_id
    return lambda *given, secret=SECRET, **more: PathPolicies(
        store, LAYOUT, archive_id, secret=secret, given=given, **more
    )


def bucket(store: MemoryStore, identifier: str) -> str:
    archive_id = open_or_create(store, LAYOUT, cluster_id="c", now_ms=1).archive_id
    return bucket_text(bucket_of(keyed_hash(SECRET.derived("k1", archive_id, "customer_id"), identifier.encode()), 256))


def test_a_place_that_a_policy_names_becomes_a_bucket(store: MemoryStore, policies: Policies) -> None:
    paths = Partitioner.of("key,timestamp.date").protected(policies(policy(KEY))).paths("orders", 0)
    assert paths.of(row(b"anna")) == f"key={bucket(store, 'anna')}/date=2026-01-02"
    assert paths.of(row(b"\xff")) == "key=__unreadable/date=2026-01-02"
    assert paths.of(row(None)) == "key=__none/date=2026-01-02"
    declared = paths.declared[0]["bucket"]
    assert declared["place"] == {"type": "customer_id", "at": "key", "format": "utf8", "path": None}
    assert (declared["buckets"], declared["key_id"]) == (256, "k1")
    assert "bucket" not in paths.declared[1]


def test_topics_that_no_policy_names_stay_in_clear(policies: Policies) -> None:
    partitioner = Partitioner.of("key").protected(policies(policy(KEY)))
    assert partitioner.paths("inventory", 0).of(row(b"anna")) == "key=anna"


@pytest.mark.parametrize(
    ("spec", "place", "exact"),
    [
        ("key", KEY, True),
        ("key.customer.id", KEY_FIELD, True),
        ("value.customer.id", VALUE_FIELD, True),
        ("key.customer", KEY, False),
        ("key", KEY_FIELD, False),
        ("key.customer", KEY_FIELD, False),
        ("key.customer.id.digits", KEY_FIELD, False),
        ("value.customer", VALUE_FIELD, False),
    ],
)
def test_whatever_tells_of_a_place_is_in_a_bucket(policies: Policies, spec: str, place: Any, exact: bool) -> None:
    paths = Partitioner.of(spec).protected(policies(policy(place))).paths("orders", 0)
    document = b'{"customer": "anna"}'
    for record in (row(b"anna", document), row(document, document), row(b'{"customer": {"id": {"digits": "anna"}}}')):
        assert "anna" not in paths.of(record)
    assert ("place" in paths.declared[0]["bucket"]) == exact


@pytest.mark.parametrize("spec", ["value.customer.id", "key.other", "timestamp.date", "partition", "header.customer"])
def test_other_places_stay_in_clear(policies: Policies, spec: str) -> None:
    paths = Partitioner.of(spec).protected(policies(policy(KEY_FIELD))).paths("orders", 0)
    assert "bucket" not in paths.declared[0]


def test_several_identifiers_exclude_nobody(policies: Policies) -> None:
    paths = Partitioner.of("value.customer.id").protected(policies(policy(VALUE_FIELD))).paths("orders", 0)
    both = b'{"customer": [{"id": "anna"}, {"id": "ben"}]}'
    assert paths.of(row(value=both)) == "customer.id=__several"
    assert paths.of(row(value=b'{"customer": [{"id": "anna"}, {}]}')) == "customer.id=__several"
    assert paths.of(row(value=b'{"customer": {"id": "anna", "id": "ben"}}')) == "customer.id=__several"
    assert paths.of(row(value=b'{"customer": [{"id": "anna"}, 5]}')) == "customer.id=__unreadable"


def test_policies_of_earlier_requests_count(store: MemoryStore, policies: Policies) -> None:
    store_policy(store, LAYOUT, policy(KEY))
    assert Partitioner.of("key").protected(policies()).paths("orders", 0).of(row(b"anna")) == (
        f"key={bucket(store, 'anna')}"
    )


def test_a_policy_that_comes_while_a_backup_runs_is_seen_within_a_minute(
    store: MemoryStore, policies: Policies
) -> None:
    now = [0]
    partitioner = Partitioner.of("key").protected(policies(clock_ms=lambda: now[0]))
    assert partitioner.paths("orders", 0).of(row(b"anna")) == "key=anna"
    store_policy(store, LAYOUT, policy(KEY))
    now[0] = REFRESH_MS
    assert "anna" not in partitioner.paths("orders", 0).of(row(b"anna"))


def test_without_a_secret_a_named_place_is_refused_before_anything_is_written(policies: Policies) -> None:
    with pytest.raises(WrongUsage, match="cannot partition orders by key") as caught:
        Partitioner.of("timestamp.date,key").protected(policies(policy(KEY), secret=None))
    assert "--erasure-secret" in caught.value.hint
    Partitioner.of("timestamp.date").protected(policies(policy(KEY), secret=None))


def test_a_policy_file_is_read_or_refused_without_its_content(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_bytes(policy(KEY).content())
    assert load_policy_file(file) == policy(KEY)
    file.write_text('{"topics": {"orders": {"places": ["anna"]}}}')
    with pytest.raises(WrongUsage) as caught:
        load_policy_file(file)
    assert "anna" not in str(caught.value)
    with pytest.raises(WrongUsage, match="cannot read the policy"):
        load_policy_file(tmp_path / "absent")


def test_a_policy_is_taken_where_its_file_would_be_named() -> None:
    assert load_policy_file(policy(KEY).content().decode()) == policy(KEY)
    with pytest.raises(WrongUsage) as caught:
        load_policy_file('{"topics": {"orders": {"places": ["anna"]}}}')
    assert "anna" not in str(caught.value)


def test_settings_make_a_protected_partitioner(store: MemoryStore, tmp_path: Path) -> None:
    archive_id = open_or_create(store, LAYOUT, cluster_id="c", now_ms=1).archive_id
    (tmp_path / "policy.json").write_bytes(policy(KEY).content())
    (tmp_path / "secret.json").write_text(json.dumps(SECRET.keys))
    told = {"erasure_policy": str(tmp_path / "policy.json"), "erasure_secret": str(tmp_path / "secret.json")}
    made = partitioner_of("key,partition", store, LAYOUT, archive_id, **told)
    assert made.paths("orders", 2).of(row(b"anna")) == f"key={bucket(store, 'anna')}/partition=2"
    with pytest.raises(WrongUsage, match="erasure policy"):
        partitioner_of("key", store, LAYOUT, archive_id, erasure_policy=told["erasure_policy"])
