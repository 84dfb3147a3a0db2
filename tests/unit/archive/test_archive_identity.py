from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from millpond.archive.identity import Identity, open_or_create, read_identity
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety, WrongUsage
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT

CLUSTER = "Lh3mTqR9SbC0kYdWvXw2Pg"
GOOD = {"format": 1, "archive_id": "9f3c51d07ab2e846", "cluster_id": CLUSTER, "created": 5, "continues": ""}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def put(store: MemoryStore, content: bytes | dict[str, Any]) -> None:
    store.put_if_absent(LAYOUT.identity, content if isinstance(content, bytes) else json.dumps(content).encode())


def test_an_archive_is_made_once_and_found_ever_after(store: MemoryStore) -> None:
    made = open_or_create(store, LAYOUT, cluster_id=CLUSTER, now_ms=5)
    assert open_or_create(store, LAYOUT, cluster_id=CLUSTER, now_ms=99) == made == read_identity(store, LAYOUT)
    assert json.loads(read(store, LAYOUT.identity)) == GOOD | {"archive_id": made.archive_id}
    assert len(list(store.list_versions(""))) == 1


def test_two_archives_have_two_ids(store: MemoryStore) -> None:
    other = open_or_create(MemoryStore(), LAYOUT, cluster_id=CLUSTER, now_ms=5)
    assert open_or_create(store, LAYOUT, cluster_id=CLUSTER, now_ms=5).archive_id != other.archive_id


def test_workers_that_start_together_agree_on_one_identity(store: MemoryStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda now: open_or_create(store, LAYOUT, cluster_id=CLUSTER, now_ms=now), range(100))
        assert len(set(found)) == 1


class Late(MemoryStore):
    """Another worker writes just after we looked."""

    def head(self, key: str, *, version: str = "") -> None:
        if not self._keys:
            put(self, GOOD | {"cluster_id": self.rival})
        return

    rival = CLUSTER


def test_who_comes_second_takes_the_identity_of_the_first() -> None:
    assert open_or_create(Late(), LAYOUT, cluster_id=CLUSTER, now_ms=9) == Identity(**GOOD)  # type: ignore[arg-type]


def test_another_cluster_is_refused_even_in_a_race(store: MemoryStore) -> None:
    put(store, GOOD)
    late = Late()
    late.rival = "x8Gf2yWbQ3mC0vN5rT1kLQ"
    for there, cluster_id in ((store, "x8Gf2yWbQ3mC0vN5rT1kLQ"), (late, CLUSTER)):
        with pytest.raises(RefusedForSafety, match=CLUSTER) as caught:
            open_or_create(there, LAYOUT, cluster_id=cluster_id, now_ms=5)
        assert caught.value.exit_code == 4
        assert "new prefix" in caught.value.hint


def test_no_archive_is_wrong_usage(store: MemoryStore) -> None:
    with pytest.raises(WrongUsage, match="no archive") as caught:
        read_identity(store, LAYOUT)
    assert (caught.value.exit_code, bool(caught.value.hint)) == (2, True)


def test_names_that_are_not_known_are_ignored(store: MemoryStore) -> None:
    """They once made an archive of a later release unreadable."""
    put(store, GOOD | {"made_by": "millpond 9"})
    assert read_identity(store, LAYOUT) == Identity(**GOOD)  # type: ignore[arg-type]


def test_continues_may_be_absent_or_name_an_earlier_archive(store: MemoryStore) -> None:
    put(store, {name: content for name, content in GOOD.items() if name != "continues"})
    assert read_identity(store, LAYOUT).continues == ""
    other = MemoryStore()
    put(other, GOOD | {"continues": "0123"})
    assert read_identity(other, LAYOUT).continues == "0123"


@pytest.mark.parametrize("more", [{}, {"shards": 4}, {"cluster_id": None}])
def test_a_newer_format_is_refused_with_advice_whatever_else_it_holds(store: MemoryStore, more: dict[str, Any]) -> None:
    put(store, GOOD | {"format": 2} | more)
    for call in (read_identity, lambda s, lay: open_or_create(s, lay, cluster_id=CLUSTER, now_ms=1)):
        with pytest.raises(WrongUsage, match="format 2") as caught:
            call(store, LAYOUT)
        assert caught.value.exit_code == 2
        assert "upgrade" in caught.value.hint


BROKEN: list[bytes | dict[str, Any]] = [b"", b"{", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b"{}"]
BROKEN += [{name: content for name, content in GOOD.items() if name != gone} for gone in GOOD if gone != "continues"]
BROKEN += [GOOD | {"format": wrong} for wrong in (0, -1, "1", 1.0, True, None, [1], "two")]
BROKEN += [GOOD | {"archive_id": 5}, GOOD | {"cluster_id": None}, GOOD | {"created": "x"}, GOOD | {"continues": None}]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_damaged_identity_is_damage(store: MemoryStore, content: bytes | dict[str, Any]) -> None:
    put(store, content)
    with pytest.raises(DamagedArchive) as caught:
        read_identity(store, LAYOUT)
    assert caught.value.exit_code == 3


def test_a_flipped_bit_is_an_error_of_ours_or_another_value(store: MemoryStore) -> None:
    data = json.dumps(GOOD).encode()
    for at in range(len(data)):
        for bit in range(8):
            flipped = MemoryStore()
            put(flipped, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            try:
                read_identity(flipped, LAYOUT)
            except MillpondError:
                continue
