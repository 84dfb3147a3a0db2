"""Times, names and limits of the verbs that take and show snapshots."""

from __future__ import annotations

import pytest

from millpond.errors import WrongUsage
from millpond.settings.cluster import ClusterSnapshotSettings, SnapshotSettings
from millpond.settings.groups import GroupsListSettings, GroupsShowSettings, GroupsSnapshotSettings
from millpond.settings.times import moment_of

ARCHIVE = ["--archive", "file:///a"]
BOTH = [*ARCHIVE, "--brokers", "a:1"]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("1767225660000", 1767225660000),
        ("2026-01-01T00:01:00Z", 1767225660000),
        ("2026-01-01T01:01:00+01:00", 1767225660000),
        ("2026-01-01T00:01:00.250", 1767225660250),
        ("2026-01-01", 1767225600000),
    ],
)
def test_times_are_rfc_3339_or_milliseconds(text: str, ms: int) -> None:
    assert moment_of(text, "--at") == ms
    assert GroupsShowSettings.from_flags([*ARCHIVE, "--at", text]).until_ms == ms


@pytest.mark.parametrize("text", ["yesterday", "-1", "2026-13-01", "1" * 16])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(WrongUsage, match=r"--at .* is no time"):
        moment_of(text, "--at")


def test_without_a_time_the_newest_is_meant() -> None:
    assert GroupsListSettings.from_flags(ARCHIVE).until_ms is None


def test_groups_are_lists_of_expressions() -> None:
    settings = GroupsSnapshotSettings.from_flags([*BOTH, "--groups", "a.*, b", "--exclude-groups", "c"])
    assert (settings.include, settings.exclude) == (("a.*", "b"), ("c",))
    assert GroupsSnapshotSettings.from_flags(BOTH).include == ()


def test_without_topics_nobody_knows_what_is_covered() -> None:
    assert ClusterSnapshotSettings.from_flags(BOTH).selection() is None
    chosen = ClusterSnapshotSettings.from_flags([*BOTH, "--topics", "a.*", "--exclude-topics", "ab"]).selection()
    assert chosen is not None and chosen.match(["aa", "ab", "b"]) == ["aa"]


def test_the_function_is_told_all_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"ARCHIVE": "file:///a", "BROKERS": "a:1", "TOPICS": "t", "EXCLUDE_TOPICS": "", "GROUPS": ""}
    for name, content in told.items():
        monkeypatch.setenv(f"MILLPOND_{name}", content)
    settings = SnapshotSettings.from_environment()
    assert settings.include == () and settings.selection() is not None
