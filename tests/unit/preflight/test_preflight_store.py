"""The probes of stores, buckets and disks."""

from __future__ import annotations

import os
from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from millpond.archive.keys import Layout
from millpond.errors import WrongUsage
from millpond.findings import Finding, State
from millpond.preflight import disk
from millpond.preflight.bucket import lifecycle
from millpond.preflight.disk import spool_finding
from millpond.preflight.run import archive_finding
from millpond.preflight.store import store_findings
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo, StorageError
from millpond.storage.folder import FolderStore
from millpond.storage.memory import MemoryStore

LAYOUT = Layout("kafka")
TOPICS = LAYOUT.topics
PROBE = "kafka/runs/check/probe/probe.json"


def states(findings: list[Finding]) -> dict[str, State]:
    return {finding.probe: finding.state for finding in findings}


def keys(store: Any) -> list[str]:
    return [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_a_good_store_passes_again_and_again_and_keeps_one_object(kind: str, tmp_path: Path) -> None:
    store = MemoryStore() if kind == "memory" else FolderStore(tmp_path)
    for _ in range(3):
        found = states(store_findings(store, LAYOUT))
        assert found == dict.fromkeys(("store put", "store get", "store conditional put"), State.OK)
    assert keys(store) == [PROBE]


class Careless(MemoryStore):
    """Takes every put."""

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        head = self.head(key)
        return self.put_if_match(key, body, head.etag) if head else super().put_if_absent(key, body, metadata)


def test_a_store_that_overwrites_fails() -> None:
    found = states(store_findings(Careless(), LAYOUT))
    assert found["store conditional put"] is State.FAILED


class Refusing(MemoryStore):
    """Refuses one call."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self.call = call

    def put_if_absent(self, *arguments: Any, **more: Any) -> ObjectInfo:
        if self.call == "put":
            raise WrongUsage("cannot put it", hint="grant it")
        return super().put_if_absent(*arguments, **more)

    def open(self, *arguments: Any, **more: Any) -> Any:
        if self.call == "open":
            raise StorageError("cannot open it")
        return super().open(*arguments, **more)


def test_a_store_that_refuses_puts_is_not_asked_for_more() -> None:
    (finding,) = store_findings(Refusing("put"), LAYOUT)
    assert (finding.probe, finding.state) == ("store put", State.FAILED)
    assert (finding.text, finding.hint) == ("cannot put it", "grant it")


def test_a_store_that_refuses_gets_fails() -> None:
    found = states(store_findings(Refusing("open"), LAYOUT))
    assert found["store get"] is State.FAILED and found["store put"] is State.OK


@pytest.mark.parametrize("content", [b"{}", b"nonsense"])
def test_other_content_under_the_probes_name_fails(content: bytes) -> None:
    store = MemoryStore()
    store.put_if_absent(PROBE, content)
    assert states(store_findings(store, LAYOUT))["store get"] is State.FAILED


def test_an_archive_may_be_absent_but_not_damaged() -> None:
    store = MemoryStore()
    finding, identity = archive_finding(store, LAYOUT)
    assert (finding.state, identity) == (State.OK, None)
    store.put_if_absent(LAYOUT.identity, b"nonsense")
    finding, identity = archive_finding(store, LAYOUT)
    assert (finding.state, identity) == (State.FAILED, None)


def a_rule(**more: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}} | more


@pytest.mark.parametrize(
    "rule",
    [
        a_rule(),
        a_rule(Filter={"Prefix": "kafka/"}),
        a_rule(Filter={"Prefix": "kafka/topics/orders/"}),
        a_rule(Filter={"And": {"Prefix": "kafka/topics", "Tags": [{"Key": "a", "Value": "b"}]}}),
        a_rule(Filter={}, Prefix="ka"),
        a_rule(Filter={"Tag": {"Key": "a", "Value": "b"}}),
        a_rule(Expiration={"Date": "2030-01-01"}),
    ],
    ids=str,
)
def test_a_rule_that_removes_windows_fails(rule: dict[str, Any]) -> None:
    finding = lifecycle([a_rule(Filter={"Prefix": "other/"}), rule], TOPICS)
    assert finding.state is State.FAILED and finding.text.endswith(": r")


@pytest.mark.parametrize(
    "rule",
    [
        a_rule(Status="Disabled"),
        a_rule(Filter={"Prefix": "kafka/runs/"}),
        a_rule(Filter={"Prefix": "kafka2/"}),
        a_rule(Expiration={"ExpiredObjectDeleteMarker": True}),
        {"Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {"Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]},
    ],
    ids=str,
)
def test_a_rule_that_removes_no_window_passes(rule: dict[str, Any]) -> None:
    assert lifecycle([rule], TOPICS).state is State.OK


def test_a_rule_that_moves_windows_out_of_reach_is_a_warning() -> None:
    rule = {"Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]}
    assert lifecycle([rule], TOPICS).state is State.WARNING


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "state"), [(3 * 1000 - 1, State.FAILED), (3 * 1000 * 4 - 1, State.WARNING), (3 * 1000 * 4, State.OK)]
)
def test_the_spool_needs_room_for_the_open_windows(
    free: int, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(free, 0, free))
    assert spool_finding(tmp_path, partitions=4, max_bytes=1000).state is state


def test_a_spool_folder_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    assert spool_finding(tmp_path / "a" / "b", partitions=0, max_bytes=1).state is State.OK
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert spool_finding(tmp_path / "file", partitions=1, max_bytes=1).state is State.FAILED


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_spool_that_may_not_be_written_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert spool_finding(tmp_path / "spool", partitions=1, max_bytes=1).state is State.FAILED
    tmp_path.chmod(0o700)
