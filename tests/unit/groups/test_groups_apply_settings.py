"""Which settings of `millpond groups apply` go together."""

from __future__ import annotations

import pytest

from millpond.errors import WrongUsage
from millpond.settings.groups_apply import GroupsApplySettings

BOTH = ["--archive", "file:///a", "--to-brokers", "a:1"]


@pytest.mark.parametrize("flags", [["--run-id", "r"], ["--same-offsets"], ["--run-id", "r", "--at-cut", "c"]])
def test_either_a_run_or_the_same_offsets(flags: list[str]) -> None:
    GroupsApplySettings.from_flags([*BOTH, *flags]).check()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "name the restore whose offsets count"),
        (["--run-id", "r", "--same-offsets"], "but not both"),
        (["--run-id", "r", "--at", "1", "--at-cut", "c"], "both name a snapshot"),
    ],
)
def test_what_contradicts_itself_is_refused(flags: list[str], reason: str) -> None:
    with pytest.raises(WrongUsage, match=reason):
        GroupsApplySettings.from_flags([*BOTH, *flags]).check()


def test_without_topics_to_leave_out_all_count() -> None:
    settings = GroupsApplySettings.from_flags([*BOTH, "--same-offsets", "--exclude-topics", "a.*,b"])
    assert settings.left_out().match(["a1", "b", "c"]) == ["a1", "b"]
    assert GroupsApplySettings.from_flags([*BOTH, "--same-offsets"]).left_out().match(["a"]) == []


def test_a_time_is_that_of_the_last_snapshot_that_counts() -> None:
    settings = GroupsApplySettings.from_flags([*BOTH, "--same-offsets", "--at", "2026-01-01T00:01:00Z"])
    assert settings.until_ms == 1767225660000
