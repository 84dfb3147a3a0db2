"""Log lines can be taken apart again, in both formats."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from millpond.errors import TryAgain
from millpond.telemetry.logs import start_logging

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (DEBUG|INFO|WARNING|ERROR) +(.+)")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("millpond")
    handlers, level, own_level = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    own.setLevel(own_level)


def speak() -> None:
    log = logging.getLogger("millpond.backup.upload")
    log.debug("not asked for")
    log.info(
        "stored %s offsets %d to %d",
        "orders-3",
        10,
        19,
        extra={"topic": "orders", "partition": 3, "first": 10, "last": 19},
    )
    log.error("%s", TryAgain("cannot list", hint="wait"))
    try:
        {}[7]
    except KeyError:
        log.exception("broken")
    logging.getLogger("boto3").info("chatter")


def test_json_lines_are_json_and_name_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json")
    speak()
    stored, failed, broken = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stored.pop("at"))
    assert stored == {
        "level": "INFO",
        "logger": "millpond.backup.upload",
        "message": "stored orders-3 offsets 10 to 19",
        "topic": "orders",
        "partition": 3,
        "first": 10,
        "last": 19,
    }
    assert failed["message"] == "cannot list\nhint: wait" and "topic" not in failed
    assert "KeyError: 7" in broken["trace"]


def test_text_lines_begin_with_time_and_level_and_what_belongs_to_them_is_indented(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_logging("INFO", "text")
    speak()
    lines = capsys.readouterr().err.splitlines()
    begun = [LINE.fullmatch(line) for line in lines if not line.startswith("  ")]
    assert all(begun)
    assert [(found[2], found[3]) for found in begun if found] == [
        ("INFO", "stored orders-3 offsets 10 to 19"),
        ("ERROR", "cannot list"),
        ("ERROR", "broken"),
    ]
    assert "  hint: wait" in lines


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_but_the_place_gets_into_a_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", form)
    logging.getLogger("millpond").info("read", extra={"topic": "orders", "key": "ada@example.org"})
    said = capsys.readouterr().err
    assert "read" in said and "ada" not in said


def test_the_level_is_that_of_the_project_alone(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("DEBUG", "json")
    speak()
    said = capsys.readouterr().err
    assert "not asked for" in said and "chatter" not in said
