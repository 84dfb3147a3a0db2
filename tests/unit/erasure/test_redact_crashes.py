"""A redaction that dies behind any call of the store, and is started again, ends as if nothing had happened."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.erasure.run import redact_unit
from millpond.storage.memory import MemoryStore
from tests.unit.erasure.archive_builder import VALUE_PLACE, Pond, partition, request, row, searched
from tests.unit.erasure.fault_stores import Counting, Crash

TOPICS = {"orders": searched({"type": "customer_id", "at": "key", "format": "utf8"}, VALUE_PLACE)}


def prepared(store: MemoryStore) -> list[str]:
    """A hit with an older version, one under a delete marker, and a window without a hit."""
    pond = Pond(store)
    mine = [row(0, b"anna"), row(1, b"ben", b'{"customer":{"id":"anna"}}'), row(2, b"ben")]
    pond.write(mine, block=1)
    twice = pond.write(mine, block=1)
    hidden = pond.write(mine, of=partition(number=1))
    store.delete(hidden)
    return [twice, hidden, pond.write([row(0, b"ben")], of=partition(number=2))]


def whole_run(store: Any) -> dict[str, Any]:
    return Pond(store).run(request("anna", topics=TOPICS))


def state(store: MemoryStore, keys: list[str]) -> list[Any]:
    pond = Pond(store)
    return [[(pond.rows(key, info.version), info.key) for info in pond.versions(key)] for key in keys]


def calls_of_a_whole_run() -> int:
    store = MemoryStore()
    prepared(store)
    counting = Counting(store)
    whole_run(counting)
    return counting.calls


def stable(receipt: dict[str, Any]) -> dict[str, Any]:
    return {name: content for name, content in receipt.items() if name not in ("archive_id",)}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_that_dies_at_any_call_and_is_repeated_ends_in_the_same_state(after: bool) -> None:
    undisturbed = MemoryStore()
    keys = prepared(undisturbed)
    expected_receipt = stable(whole_run(undisturbed))
    expected = state(undisturbed, keys)
    assert [len(versions) for versions in expected] == [1, 1, 1]
    assert [len(rows) for ((rows, _),) in expected] == [1, 1, 1]
    for call in range(1, calls_of_a_whole_run() + 1):
        store = MemoryStore()
        prepared(store)
        with pytest.raises(Crash):
            whole_run(Counting(store, die_at=call, after=after))
        receipt = whole_run(store)
        assert state(store, keys) == expected, f"died at call {call}"
        assert stable(receipt) == expected_receipt, f"died at call {call}"


def test_a_run_that_dies_at_every_call_in_turn_comes_to_its_end() -> None:
    store = MemoryStore()
    keys = prepared(store)
    for call in range(1, 400):
        try:
            whole_run(Counting(store, die_at=call))
        except Crash:
            continue
        break
    assert [len(rows) for ((rows, _),) in state(store, keys)] == [1, 1, 1]


def test_a_killed_process_leaves_no_records_on_disk(tmp_path: Any) -> None:
    store = MemoryStore()
    prepared(store)
    Pond(store).plan(request("anna", topics=TOPICS))
    seen = []

    class Dies(Counting):
        def put_if_match(self, *_: Any, **__: Any) -> None:
            seen.extend(path for path in tmp_path.rglob("*") if path.is_file())
            raise Crash

    with pytest.raises(Crash):
        redact_unit(
            Dies(store),
            Pond(store).layout,
            Pond(store).secret,
            run_id="run-1",
            unit=0,
            units=1,
            spool=tmp_path,
            now_ms=lambda: 1,
        )
    assert seen == []
