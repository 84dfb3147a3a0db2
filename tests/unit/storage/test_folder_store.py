from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from millpond.errors import WrongUsage
from millpond.storage import folder, folder_disk
from millpond.storage.contract import AlreadyThere, NoSuchObject, ObjectStore, StorageError, read
from millpond.storage.folder import FolderStore
from tests.contracts.listing import delimiters, expected, key_sets, listed, prefixes
from tests.contracts.storage import ODD_KEYS, StorageContract


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


class TestFolderStore(StorageContract):
    versioned = False


class Crash(Exception):
    """Stands for a power cut."""


@settings(max_examples=60, deadline=None)
@given(key_sets, prefixes, prefixes, delimiters)
@example(["0"], "0", "0", "")  # the key that is both prefix and start
def test_listings_are_those_of_a_sorted_list(keys: list[str], prefix: str, after: str, delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = FolderStore(root)
        for key in keys:
            store.put_if_absent(key, b"")
        assert listed(store, prefix, after, delimiter) == expected(keys, prefix, after, delimiter)


def test_content_is_a_plain_file_where_people_look_for_it(store: FolderStore) -> None:
    store.put_if_absent("topics/orders/no-id-1/0/orders-0-1.avro", b"Obj\x01", {"n": "1"})
    assert (store.root / "topics/orders/no-id-1/0/orders-0-1.avro").read_bytes() == b"Obj\x01"


def test_no_two_files_differ_only_in_case_and_none_has_a_long_name(store: FolderStore) -> None:
    for key in ODD_KEYS:
        store.put_if_absent(key, b"")
    paths = [path.relative_to(store.root) for path in store.root.rglob("*")]
    assert len({str(path).lower() for path in paths}) == len(paths)
    assert all(len(path.name.encode()) <= 210 and path.name.isascii() for path in paths)


def test_a_topic_id_is_hex_on_disk(store: FolderStore) -> None:
    store.put_if_absent("topics/a/J5kQ2vX8Rk6m3yWzB1cD0A/x", b"")
    assert (store.root / "topics/a/+279910daf5fc464ea6df25b3075703d0/x").exists()


def test_what_a_put_needs_on_the_way_is_gone_afterwards(store: FolderStore) -> None:
    info = store.put_if_absent("a/b", b"x", {"n": "1"})
    store.put_if_match("a/b", b"y", info.etag)
    with pytest.raises(AlreadyThere):
        store.put_if_absent("a/b", b"z")
    assert [path for path in (store.root / ".millpond").rglob("*") if path.is_file()] == []
    store.delete_version("a/b", "")
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_leftovers_of_killed_puts_go_after_a_day_and_not_before(store: FolderStore) -> None:
    store.put_if_absent("a", b"x")
    old, young = store.root / ".millpond/new/old", store.root / ".millpond/new/young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    FolderStore(store.root).put_if_absent("b", b"x")
    assert (old.exists(), young.exists()) == (False, True)


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Every step that others can see, of which the one with this number does not happen and nothing after it."""
    seen: list[str] = []

    def crashing(what: str, real: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object) -> object:
            seen.append(what)
            if len(seen) == step:
                raise Crash(what)
            return real(*arguments)

        return run

    monkeypatch.setattr(Path, "rename", crashing("rename", Path.rename))
    monkeypatch.setattr(Path, "hardlink_to", crashing("link", Path.hardlink_to))
    real_sync = folder_disk.sync_folder
    for module in (folder, folder_disk):
        monkeypatch.setattr(module, "sync_folder", crashing("sync", real_sync))
    return seen


@pytest.mark.parametrize("step", range(1, 6))
def test_a_crash_in_a_put_leaves_nothing_or_all_of_it(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    store.put_if_absent("a/other", b"other")
    with monkeypatch.context() as patch:
        steps = crash_at(patch, step)
        try:
            store.put_if_absent("a/b", b"content", {"n": "1"})
        except Crash:
            pass
        else:
            assert step > len(steps), "every step must have its crash"
    again = FolderStore(store.root)
    head = again.head("a/b")
    if head is None:
        assert listed(again, "", "", "") == ["a/other"]
        again.put_if_absent("a/b", b"CONTENT", {"n": "2"})
        assert read(again, "a/b") == b"CONTENT"
    else:
        assert (read(again, "a/b"), head.metadata) == (b"content", {"n": "1"})
        with pytest.raises(AlreadyThere):
            again.put_if_absent("a/b", b"CONTENT")


@pytest.mark.parametrize("step", range(1, 8))
@pytest.mark.parametrize("copied", [False, True])
def test_a_crash_in_a_replacement_leaves_the_old_or_the_new_object(
    store: FolderStore,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    copied: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    old = store.put_if_absent("a/b", b"old", {"n": "old"})
    with monkeypatch.context() as patch:
        steps = crash_at(patch, step)
        try:
            store.put_if_match("a/b", b"newer", old.etag, {"n": "newer"})
        except Crash:
            pass
        else:
            assert step > len(steps)
    root = store.root
    if copied:  # times change, so etags do
        root = tmp_path_factory.mktemp("copy") / "archive"
        shutil.copytree(store.root, root, copy_function=shutil.copyfile)
    again = FolderStore(root)
    head = again.head("a/b")
    assert head is not None
    assert head.metadata == {"n": read(again, "a/b").decode()}
    again.put_if_match("a/b", b"last", head.etag, {"n": "last"})
    last = again.head("a/b")
    assert last is not None
    assert last.metadata == {"n": "last"}


def put_in_a_process(root: Path, n: int, ready: object, results: object) -> None:
    store: ObjectStore = FolderStore(root)
    ready.wait()  # type: ignore[attr-defined]
    try:
        store.put_if_absent("a/b", bytes([n]) * 100_000, {"n": str(n)})
        results.put(n)  # type: ignore[attr-defined]
    except AlreadyThere:
        results.put(None)  # type: ignore[attr-defined]


def test_of_four_processes_that_put_one_wins(store: FolderStore) -> None:
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(4), context.Queue()
    workers = [
        context.Process(target=put_in_a_process, args=(store.root, n, ready, results), daemon=True) for n in range(4)
    ]
    for worker in workers:
        worker.start()
    winners = [n for n in (results.get(timeout=60) for _ in workers) if n is not None]
    for worker in workers:
        worker.join()
    head = store.head("a/b")
    assert head is not None
    assert len(winners) == 1
    assert head.metadata == {"n": str(winners[0])}
    assert read(store, "a/b") == bytes(winners) * 100_000


def test_contents_of_one_length_within_one_tick_have_different_etags(store: FolderStore) -> None:
    info = store.put_if_absent("a", b"0")
    seen = {info.etag}
    for n in range(50):
        info = store.put_if_match("a", str(n % 10).encode(), info.etag)
        seen.add(info.etag)
    assert len(seen) == 51


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "missing")
    calls: list[Callable[[], object]] = [
        lambda: store.put_if_absent("a", b"x"),
        lambda: store.put_if_match("a", b"x", "etag"),
        lambda: store.open("a"),
        lambda: store.head("a"),
        lambda: list(store.list("")),
        lambda: list(store.list_versions("")),
        lambda: store.delete_version("a", ""),
    ]
    for call in calls:
        with pytest.raises(WrongUsage, match="no folder"):
            call()
    assert not store.root.exists()


@pytest.mark.parametrize("key", ["a", "a/b/c"])
def test_a_key_that_continues_another_is_refused(store: FolderStore, key: str) -> None:
    store.put_if_absent("a/b", b"x")
    with pytest.raises(WrongUsage, match="continue another"):
        store.put_if_absent(key, b"y")
    assert listed(store, "", "", "") == ["a/b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_wrong_usage(store: FolderStore) -> None:
    store.root.chmod(0o500)
    try:
        with pytest.raises(WrongUsage, match="Permission denied"):
            store.put_if_absent("a", b"x")
    finally:
        store.root.chmod(0o700)


@pytest.mark.parametrize("key", ["../a", "/etc/passwd", "a/../../b", "a\0", "a//b"])
def test_no_key_leads_out_of_the_folder(store: FolderStore, key: str) -> None:
    for call in (store.head, store.open, lambda key: store.delete_version(key, "")):
        with pytest.raises(WrongUsage):
            call(key)
    assert listed(store, key, "", "") == listed(store, "../", "", "") == []


def test_a_file_that_millpond_did_not_name_is_reported_not_ignored(store: FolderStore) -> None:
    store.put_if_absent("a", b"x")
    (store.root / "README.TXT").write_text("x")
    with pytest.raises(StorageError, match=r"README\.TXT"):
        list(store.list(""))


def test_damaged_metadata_is_an_error_that_names_the_file(store: FolderStore) -> None:
    store.put_if_absent("a", b"x", {"n": "1"})
    (store.root / ".a.json").write_text("{")
    with pytest.raises(StorageError, match=r"\.a\.json"):
        store.head("a")
    assert read(store, "a") == b"x"


def test_a_plain_file_without_metadata_is_an_object(store: FolderStore) -> None:
    (store.root / "a.avro").write_bytes(b"x")
    head = store.head("a.avro")
    assert head is not None
    assert (head.size_bytes, dict(head.metadata)) == (1, {})


def test_a_large_folder_is_not_read_to_name_it(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        store.put_if_absent(f"topics/a/{n}", b"")
        store.put_if_absent(f"topics/b/{n}", b"")
    real = os.scandir
    read_folders: list[str] = []

    def watched(path: Path) -> object:
        read_folders.append(path.name)
        return real(path)

    monkeypatch.setattr(os, "scandir", watched)
    assert listed(store, "topics/b/1", "", "") == ["topics/b/1"]
    assert read_folders == ["b"]


def test_a_missing_version_is_no_object(store: FolderStore) -> None:
    store.put_if_absent("a", b"x")
    assert store.head("a", version="v1") is None
    with pytest.raises(NoSuchObject):
        store.open("a", version="v1")
    store.delete_version("a", "v1")
    assert read(store, "a") == b"x"
