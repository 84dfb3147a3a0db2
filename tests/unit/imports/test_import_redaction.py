"""Imported windows are ordinary ones: a redaction works on them, and an import brings nothing back."""

from __future__ import annotations

from millpond.storage.memory import MemoryStore
from tests.unit.erasure.archive_builder import Pond, request
from tests.unit.imports.foreign import Import, keep_file, keep_key, keep_store, row

ORDERS = ("orders", 0)


def test_records_that_were_redacted_do_not_come_back_with_the_next_import() -> None:
    rows = [row(offset, b"%d" % offset, key=b"anna" if offset % 3 == 1 else b"ben") for offset in range(30)]
    store, source = MemoryStore(), keep_store(rows[:20])
    into = Import(store, window_bytes=300)
    into(source, "kafka-data-keep", cluster_id="source")
    receipt = Pond(store).run(request("anna"))
    assert receipt["objects"]["dropped"] == 7
    bens = [found for found in rows if found[2] == b"ben"]
    assert into.rows()[ORDERS] == [found for found in bens if found[0] < 20]
    source.put_if_absent(keep_key(20), keep_file(bens[13:]))
    assert into(source, "kafka-data-keep", cluster_id="source")["problems"] == []
    assert into.rows()[ORDERS] == bens
