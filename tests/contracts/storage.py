"""What every object store promises, as tests. Subclass it, give it a `store` fixture, say whether it has versions."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from millpond.errors import WrongUsage
from millpond.storage.contract import AlreadyThere, Changed, NoSuchObject, ObjectInfo, ObjectStore, read

FACTS = {"millpond.first": "0", "millpond.topic": "orders", "empty": ""}

ODD_KEYS = [
    "topics/Orders/x.avro",
    "topics/orders/x.avro",
    "topics/ORDERS/x.avro",
    "topics/a b+c&d<e>%41%/x~y!z.avro",
    "topics/übung/日本.avro",
    "topics/.hidden/.x",
    "topics/orders/J5kQ2vX8Rk6m3yWzB1cD0A/0/w.avro",
    "topics/" + "t" * 249 + "/" + "t" * 249 + "-0-0000000000000000000-0000000000000000009-e0-t1-2.avro",
    "topics/" + "T" * 249 + "/" + "T" * 249 + "-0-0000000000000000000-0000000000000000009-e0-t1-2.avro",
    "k=v/'\"*?|:,;@()[]{}#$^.avro",
]

BAD_KEYS = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "a\0b",
    "k" * 1025,
    "ü" * 513,
    "\ud800",
]

BAD_METADATA = [{"Upper": "x"}, {"a": "ü"}, {"a": "x\n"}, {"a": " x"}, {"a b": "x"}, {"": "x"}, {"a": "x" * 2048}]


class StorageContract:
    versioned: bool

    def test_what_was_put_comes_back_with_its_facts(self, store: ObjectStore) -> None:
        put = store.put_if_absent("a/b.avro", b"content", FACTS)
        assert (put.key, put.size_bytes, put.metadata) == ("a/b.avro", 7, FACTS)
        head = store.head("a/b.avro")
        assert head is not None
        assert (head.key, head.size_bytes, head.metadata) == ("a/b.avro", 7, FACTS)
        assert (head.etag, head.version) == (put.etag, put.version)
        assert head.modified_ms > 1_700_000_000_000
        assert read(store, "a/b.avro") == b"content"

    def test_nothing_is_a_content_too(self, store: ObjectStore) -> None:
        store.put_if_absent("a", b"")
        assert read(store, "a") == b""
        with store.open("a", start=0, length=5) as stream:
            assert stream.read() == b""

    @pytest.mark.parametrize("size", [10, 3_000_000])
    def test_a_stream_is_stored_from_its_start_wherever_it_stands(self, store: ObjectStore, size: int) -> None:
        body = io.BytesIO(bytes(range(256)) * (size // 256 + 1))
        body.seek(5)
        assert store.put_if_absent("a", body).size_bytes == len(body.getvalue())
        assert read(store, "a") == body.getvalue()

    def test_a_missing_object_is_none_to_head_and_an_error_to_open(self, store: ObjectStore) -> None:
        store.put_if_absent("folder/a", b"x")
        for key in ("missing", "folder", "folder/a/below", "folder/missing"):
            assert store.head(key) is None
            with pytest.raises(NoSuchObject):
                store.open(key)

    @pytest.mark.parametrize(
        ("start", "length"), [(0, None), (3, None), (0, 4), (3, 4), (9, 1), (9, 9), (10, 1), (99, None), (0, 0), (4, 0)]
    )
    def test_a_part_is_read_as_from_a_file(self, store: ObjectStore, start: int, length: int | None) -> None:
        store.put_if_absent("a", b"0123456789")
        with store.open("a", start=start, length=length) as stream:
            assert stream.read() == b"0123456789"[start : None if length is None else start + length]

    def test_reading_nothing_of_a_missing_object_is_an_error(self, store: ObjectStore) -> None:
        with pytest.raises(NoSuchObject):
            store.open("missing", length=0)

    def test_a_span_before_the_start_is_a_mistake_of_the_caller(self, store: ObjectStore) -> None:
        with pytest.raises(ValueError, match="-1"):
            store.open("a", start=-1)

    def test_a_stream_gives_as_many_bytes_as_it_is_asked_for(self, store: ObjectStore) -> None:
        content = bytes(range(256)) * 4000
        store.put_if_absent("a", content)
        with store.open("a") as stream:
            assert stream.read(7) == content[:7]
            assert stream.read(700_000) == content[7:700_007]
            assert io.BufferedReader(stream).read(10) == content[700_007:700_017]  # type: ignore[type-var]

    def test_a_taken_key_stays_as_it_is(self, store: ObjectStore) -> None:
        first = store.put_if_absent("a", b"first", FACTS)
        with pytest.raises(AlreadyThere):
            store.put_if_absent("a", b"second")
        assert read(store, "a", etag=first.etag) == b"first"
        head = store.head("a")
        assert head is not None
        assert head.metadata == FACTS

    def test_a_replacement_needs_the_etag_of_what_is_there(self, store: ObjectStore) -> None:
        first = store.put_if_absent("a", b"first", {"n": "1"})
        second = store.put_if_match("a", b"secnd", first.etag, {"n": "2"})
        assert second.etag != first.etag
        with pytest.raises(Changed):
            store.put_if_match("a", b"third", first.etag)
        head = store.head("a")
        assert head is not None
        assert (head.etag, head.metadata) == (second.etag, {"n": "2"})
        assert read(store, "a") == b"secnd"

    def test_a_replacement_without_an_etag_is_a_mistake_of_the_caller(self, store: ObjectStore) -> None:
        store.put_if_absent("a", b"x")
        with pytest.raises(ValueError, match="etag"):
            store.put_if_match("a", b"y", "")
        assert read(store, "a") == b"x"

    def test_nothing_cannot_be_replaced(self, store: ObjectStore) -> None:
        etag = store.put_if_absent("a", b"x").etag
        with pytest.raises(NoSuchObject):
            store.put_if_match("b", b"y", etag)
        assert store.head("b") is None

    def test_a_pinned_read_of_replaced_content_is_an_error(self, store: ObjectStore) -> None:
        first = store.put_if_absent("a", b"first")
        store.put_if_match("a", b"second", first.etag)
        with pytest.raises(Changed):
            store.open("a", etag=first.etag)

    def test_an_open_stream_goes_on_with_the_content_it_began(self, store: ObjectStore) -> None:
        first = store.put_if_absent("a", b"first")
        with store.open("a") as stream:
            store.put_if_match("a", b"second", first.etag)
            assert stream.read() == b"first"

    def test_versions_are_read_and_removed_one_by_one(self, store: ObjectStore) -> None:
        first = store.put_if_absent("a", b"first", {"n": "1"})
        second = store.put_if_match("a", b"second", first.etag, {"n": "2"})
        store.put_if_absent("ab", b"other")
        listed = [(v.info.key, v.info.version, v.latest, v.marker) for v in store.list_versions("a")]
        if not self.versioned:
            assert listed == [("a", "", True, False), ("ab", "", True, False)]
            return
        other = store.head("ab")
        assert other is not None
        assert listed == [
            ("a", second.version, True, False),
            ("a", first.version, False, False),
            ("ab", other.version, True, False),
        ]
        head = store.head("a", version=first.version)
        assert head is not None
        assert (head.etag, head.version, head.metadata) == (first.etag, first.version, {"n": "1"})
        assert read(store, "a", version=first.version, etag=first.etag) == b"first"
        store.delete_version("a", first.version)
        store.delete_version("a", first.version)
        assert store.head("a", version=first.version) is None
        with pytest.raises(NoSuchObject):
            store.open("a", version=first.version)
        assert read(store, "a") == b"second"

    def test_removing_the_newest_version_never_leaves_a_marker(self, store: ObjectStore) -> None:
        for version in (store.put_if_absent("a/b", b"x").version, store.put_if_absent("a/c", b"x").version):
            store.delete_version("a/b", version)
            store.delete_version("a/c", version)
        assert list(store.list_versions("")) == []
        assert list(store.list("", delimiter="/")) == []
        store.put_if_absent("a/b", b"again")
        assert read(store, "a/b") == b"again"

    def test_removing_what_is_not_there_is_no_error(self, store: ObjectStore) -> None:
        store.delete_version("missing", "")
        store.put_if_absent("a", b"x")
        store.delete_version("a/below", "")
        if self.versioned:
            store.delete_version("a", "")
        assert read(store, "a") == b"x"

    def test_listings_are_in_byte_order_with_the_facts_that_s3_gives(self, store: ObjectStore) -> None:
        keys = ["a-b", "a/b", "a/b-c", "a.b", "a0", "B", "a/c/d", "a/c.d", "ü", "z"]
        puts = {key: store.put_if_absent(key, key.encode(), FACTS) for key in keys}
        listed = list(store.list(""))
        assert [info.key for info in infos(listed)] == sorted(keys, key=str.encode)
        for info in infos(listed):
            assert (info.etag, info.size_bytes) == (puts[info.key].etag, len(info.key.encode()))
            assert (info.version, dict(info.metadata)) == ("", {})
            assert info.modified_ms > 1_700_000_000_000

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_keys_are_kept_as_they_are(self, store: ObjectStore, key: str) -> None:
        for other in ODD_KEYS:
            store.put_if_absent(other, other.encode(), {"n": "1"})
        assert read(store, key) == key.encode()
        assert [info.key for info in infos(list(store.list(key)))] == [key]
        folder = key.rpartition("/")[0] + "/"
        assert key in [info.key for info in infos(list(store.list(folder)))]
        assert sorted(ODD_KEYS, key=str.encode) == [v.info.key for v in store.list_versions("")]

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_keys_that_some_store_cannot_hold_are_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(WrongUsage):
            store.put_if_absent(key, b"x")
        with pytest.raises((WrongUsage, NoSuchObject)):
            store.put_if_match(key, b"x", "etag")
        assert list(store.list("")) == []

    @pytest.mark.parametrize("metadata", BAD_METADATA, ids=str)
    def test_metadata_that_would_come_back_changed_is_refused(
        self, store: ObjectStore, metadata: dict[str, str]
    ) -> None:
        with pytest.raises(WrongUsage):
            store.put_if_absent("a", b"x", metadata)
        assert store.head("a") is None

    def test_two_kilobytes_of_metadata_fit(self, store: ObjectStore) -> None:
        metadata = {"a": "x" * 1000, "b": "y" * 1046}
        store.put_if_absent("k", b"x", metadata)
        head = store.head("k")
        assert head is not None
        assert head.metadata == metadata

    @pytest.mark.parametrize("round_", range(5))
    def test_of_eight_that_put_one_wins(self, store: ObjectStore, round_: int) -> None:
        def put(n: int) -> None:
            store.put_if_absent("a/b", bytes([n]) * (1000 + n), {"n": str(n)})

        winner = one_wins(put, AlreadyThere)
        assert read(store, "a/b") == bytes([winner]) * (1000 + winner)
        head = store.head("a/b")
        assert head is not None
        assert head.metadata == {"n": str(winner)}

    @pytest.mark.parametrize("round_", range(5))
    def test_of_eight_that_replace_one_wins(self, store: ObjectStore, round_: int) -> None:
        etag = store.put_if_absent("a/b", b"old").etag

        def replace(n: int) -> None:
            store.put_if_match("a/b", bytes([n]) * 1000, etag, {"n": str(n)})

        winner = one_wins(replace, Changed)
        assert read(store, "a/b") == bytes([winner]) * 1000
        head = store.head("a/b")
        assert head is not None
        assert head.metadata == {"n": str(winner)}

    def test_a_reader_beside_a_writer_sees_metadata_and_content_of_one_write(self, store: ObjectStore) -> None:
        info = store.put_if_absent("a", b"0", {"n": "0"})
        stop = threading.Event()

        def look() -> int:
            seen = 0
            while not stop.is_set():
                head = store.head("a")
                assert head is not None
                assert head.metadata == {"n": str(head.size_bytes - 1)}
                seen += 1
            return seen

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(look) for _ in range(2)]
            for n in range(1, 30):
                info = store.put_if_match("a", b"0" * (n + 1), info.etag, {"n": str(n)})
            stop.set()
            assert all(reader.result() for reader in readers)


def infos(listed: list[ObjectInfo | str]) -> list[ObjectInfo]:
    return [one for one in listed if isinstance(one, ObjectInfo)]


def one_wins(put: Callable[[int], None], lost: type[Exception], writers: int = 8) -> int:
    """The number of the only writer that was not told that it lost."""
    ready = threading.Barrier(writers)

    def run(n: int) -> bool:
        ready.wait()
        try:
            put(n)
        except lost:
            return False
        return True

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(run, range(writers)))
    assert won.count(True) == 1
    return won.index(True)
