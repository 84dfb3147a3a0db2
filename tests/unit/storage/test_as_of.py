"""A store as it stood at a moment is what somebody would have seen who looked at that moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.errors import WrongUsage
from millpond.storage.as_of import AsOf
from millpond.storage.contract import NoSuchObject, ObjectInfo, ObjectStore, read
from millpond.storage.memory import MemoryStore

KEYS = ["a", "b/1", "b/2", "b/c/1", "d"]
steps = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["put", "delete"])), max_size=25)


def contents(store: ObjectStore, prefix: str = "") -> dict[str, bytes]:
    return {entry.key: read(store, entry.key) for entry in store.list(prefix) if isinstance(entry, ObjectInfo)}


@given(steps, st.integers(-1, 25))
def test_it_is_what_was_there_then(done: list[tuple[str, str]], at: int) -> None:
    now = 0
    store = MemoryStore(clock_ms=lambda: now * 1000)
    seen: list[tuple[dict[str, bytes], list[str]]] = []
    for now, (key, what) in enumerate(done):  # the clock reads it
        head = store.head(key)
        if what == "delete":
            store.delete(key)
        elif head is None:
            store.put_if_absent(key, b"%d" % now)
        else:
            store.put_if_match(key, b"%d" % now, head.etag)
        rolled = [e if isinstance(e, str) else e.key for e in store.list("", delimiter="/")]
        seen.append((contents(store), rolled))
    expected, rolled = seen[min(at, len(seen) - 1)] if seen and at >= 0 else ({}, [])
    view = AsOf(store, at * 1000)
    assert contents(view) == expected
    assert [e if isinstance(e, str) else e.key for e in view.list("", delimiter="/")] == rolled
    assert contents(view, "b/") == {key: body for key, body in expected.items() if key.startswith("b/")}
    for key in KEYS:
        head = view.head(key)
        assert (head is not None) == (key in expected)
        if head is None:
            with pytest.raises(NoSuchObject):
                view.open(key)
        else:
            assert read(view, key, version=head.version) == expected[key]


def test_the_second_of_the_moment_belongs_to_it() -> None:
    now = 5999
    store = MemoryStore(clock_ms=lambda: now)
    store.put_if_absent("a", b"")
    now = 6000
    store.put_if_absent("b", b"")
    assert list(contents(AsOf(store, 5000))) == ["a"]
    assert list(contents(AsOf(store, 5999))) == ["a"]
    assert list(contents(AsOf(store, 6000))) == ["a", "b"]


def test_what_it_gives_can_be_read_when_it_was_overwritten_meanwhile() -> None:
    store = MemoryStore(clock_ms=lambda: 0)
    old = store.put_if_absent("a", b"old")
    view = AsOf(store, 0)
    (info,) = view.list("a")
    assert isinstance(info, ObjectInfo) and info.version == old.version
    store.delete("a")
    assert read(view, "a", version=info.version) == b"old"


def test_the_past_cannot_be_changed() -> None:
    store = MemoryStore()
    info = store.put_if_absent("a", b"old")
    view = AsOf(store, 10**14)
    with pytest.raises(WrongUsage, match="cannot write b"):
        view.put_if_absent("b", b"")
    with pytest.raises(WrongUsage, match="cannot write a"):
        view.put_if_match("a", b"", info.etag)
    with pytest.raises(WrongUsage, match="cannot write a"):
        view.delete_version("a", info.version)
    assert contents(store) == {"a": b"old"}
