"""The report of a restore as one page that needs nothing else: no script, no request, light and dark, on paper too.

What stands in it was chosen by people (names of groups, reasons): the template engine escapes all of it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from millpond.archive.documents import Json
from millpond.restore.reporting.page_view import view_of

_UNKNOWN = "-"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def page_of(report: Json) -> str:
    """The page of a report document."""
    return _environment().get_template("report.html").render(report=report, view=view_of(report))


@cache
def _environment() -> Environment:
    loader = PackageLoader("millpond.restore.reporting", "templates")
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"number": number, "size": size, "duration": duration, "moment": moment, "words": words}
    return found


def number(value: float | None) -> str:
    """With separators; a dash for what is not known."""
    return _UNKNOWN if value is None else f"{value:,.0f}"


def size(value: int | None) -> str:
    """Bytes in the unit that reads best."""
    if value is None:
        return _UNKNOWN
    left, at = float(value), 0
    while left >= 1024 and at < len(_UNITS) - 1:
        left, at = left / 1024, at + 1
    return f"{left:.0f} {_UNITS[at]}" if at == 0 or left >= 100 else f"{left:.1f} {_UNITS[at]}"


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds, as far as they count."""
    if seconds is None:
        return _UNKNOWN
    if 0 < seconds < 0.05:
        return "under 0.1 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = ((hours, "h"), (minutes, "min"), (rest if hours == 0 else 0, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def moment(ms: int | None) -> str:
    """A time for people, UTC; milliseconds where no calendar reaches."""
    if ms is None:
        return _UNKNOWN
    if not 0 <= ms < 253_402_300_800_000:
        return f"{ms} ms"
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def words(code: str) -> str:
    """A code as words."""
    return code.replace("_", " ").replace("-", " ")
