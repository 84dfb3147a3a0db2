"""What may be typed for the verbs that look; flag beats environment beats file beats default."""

from __future__ import annotations

from pathlib import Path

import pytest

from millpond.archive.coverage import Span
from millpond.errors import WrongUsage
from millpond.inspect.choice import LAST_OFFSET
from millpond.settings.base import VerbSettings
from millpond.settings.cat import CatSettings
from millpond.settings.check import CheckSettings
from millpond.settings.info import InfoSettings
from millpond.settings.looks import offsets_of, partitions_of
from millpond.settings.ls import LsSettings

ARCHIVE = ["--archive", "file:///a"]
NEEDED: dict[type[VerbSettings], list[str]] = {
    InfoSettings: ARCHIVE,
    LsSettings: ARCHIVE,
    CatSettings: [*ARCHIVE, "--topic", "t", "--partition", "0"],
    CheckSettings: [*ARCHIVE, "--brokers", "b:1", "--topics", "t"],
}


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("", None),
        ("5-9", Span(5, 9)),
        ("5-5", Span(5, 5)),
        ("7", Span(7, 7)),
        ("7-", Span(7, LAST_OFFSET)),
        ("0-9223372036854775807", Span(0, LAST_OFFSET)),
    ],
)
def test_a_range_of_offsets_has_both_ends_in_it(text: str, span: Span | None) -> None:
    assert offsets_of(text) == span


@pytest.mark.parametrize("text", ["9-5", "-5", "a-b", "1-2-3", "1..2", " 1", "9223372036854775808", "-", "\u0661"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="is no range of offsets"):
        offsets_of(text)


def test_partitions_are_numbers_and_ranges() -> None:
    assert partitions_of("0,3, 8-11") == {0, 3, 8, 9, 10, 11}
    assert partitions_of("") == frozenset()


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1-999999999", "1,,x"])
def test_what_are_no_partitions_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="--partitions has"):
        partitions_of(text)


@pytest.mark.parametrize(
    ("verb", "flag", "values", "default"),
    [
        (InfoSettings, "topics", ("a", "b", "c"), ""),
        (InfoSettings, "partitions", (True, False, True), False),
        (InfoSettings, "count", (True, False, True), False),
        (LsSettings, "topics", ("a", "b", "c"), ""),
        (LsSettings, "incarnation", ("a", "b", "c"), ""),
        (LsSettings, "partitions", ("1", "2", "3"), ""),
        (LsSettings, "offsets", ("1", "2", "3"), ""),
        (LsSettings, "long", (True, False, True), False),
        (CatSettings, "incarnation", ("a", "b", "c"), ""),
        (CatSettings, "offsets", ("1", "2", "3"), ""),
        (CatSettings, "format", ("raw", "avro", "raw"), "jsonl"),
        (CatSettings, "delimiter", ("a", "b", "c"), "\\n"),
        (CatSettings, "limit", (1, 2, 3), None),
        (CheckSettings, "longest_stop_hours", (1.5, 2.0, 3.0), 24),
        (CheckSettings, "erasure_days", (1, 2, 3), 30),
    ],
)
def test_flag_beats_environment_beats_file_beats_default(
    verb: type[VerbSettings],
    flag: str,
    values: tuple[object, object, object],
    default: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(*more: str) -> object:
        return getattr(verb.from_flags([*NEEDED[verb], *more]), flag)

    by_flag, by_environment, by_file = values
    name = flag.replace("_", "-")
    file = tmp_path / "settings.toml"
    file.write_text(f"{name} = {str(by_file).lower() if not isinstance(by_file, str) else repr(by_file)}\n")
    flags = [f"--{name}" if by_flag is True else f"--{name}={by_flag}"]
    assert found() == default
    assert found("--config", str(file)) == by_file
    monkeypatch.setenv(f"MILLPOND_{flag.upper()}", str(by_environment))
    assert found("--config", str(file)) == by_environment
    assert found("--config", str(file), *flags) == by_flag


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--topic", "t"],
        ["--partition", "0"],
        ["--object", "k", "--topic", "t", "--partition", "0"],
        ["--object", "k", "--offsets", "1-2"],
        ["--topic", "t", "--partition", "0", "--format", "xml"],
        ["--topic", "t", "--partition", "-1"],
        ["--topic", "t", "--partition", "0", "--json", "--format", "raw"],
    ],
    ids=" ".join,
)
def test_cat_refuses_what_names_no_records_or_two_things(flags: list[str]) -> None:
    with pytest.raises(WrongUsage):
        CatSettings.from_flags([*ARCHIVE, *flags])


@pytest.mark.parametrize(("text", "meant"), [("\\n", b"\n"), ("\\0", b"\0"), ("\\t", b"\t"), ("ä", "ä".encode())])
def test_a_delimiter_may_be_written_with_an_escape(text: str, meant: bytes) -> None:
    settings = CatSettings.from_flags([*NEEDED[CatSettings], "--delimiter", text])
    assert settings.delimiter_bytes() == meant


def test_check_takes_the_settings_of_the_backup() -> None:
    settings = CheckSettings.from_flags([*NEEDED[CheckSettings], "--max-bytes", "2048", "--exclude-topics", "x"])
    assert (settings.max_bytes, settings.exclude_topics) == (2048, "x")


def test_a_property_that_the_client_does_not_know_is_named() -> None:
    settings = CheckSettings.from_flags([*NEEDED[CheckSettings], "--kafka", "no.such=1"])
    with pytest.raises(WrongUsage, match=r"no\.such"):
        settings.cluster()
