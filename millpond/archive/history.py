"""Objects that are kept by time, one folder a day: the newest are found without listing what is older."""

from __future__ import annotations

import re
from collections.abc import Iterator

from millpond.archive.keys import utc_day
from millpond.storage.contract import ObjectInfo, ObjectStore

_LEVELS = (re.compile(r"[0-9]{4}/"), re.compile(r"[0-9]{2}/"), re.compile(r"[0-9]{2}/"))
_LAST_MS = 253_402_300_799_999
"""The end of the year 9999, which thirteen digits reach."""


def newest_first(
    store: ObjectStore, root: str, ending: str, *, until_ms: int = _LAST_MS
) -> Iterator[tuple[int, ObjectInfo]]:
    """Moments and objects of `<root><year>/<month>/<day>/<ms>.<ending>`, none after `until_ms`, newest first.

    Args:
        root: Key of the folder, ending in a slash.
    """
    name = re.compile(rf"([0-9]{{13}})\.{re.escape(ending)}")
    for day in _days(store, root, utc_day(min(until_ms, _LAST_MS)) + "/"):
        found = [entry for entry in store.list(root + day) if isinstance(entry, ObjectInfo)]
        for info in reversed(found):
            match = name.fullmatch(info.key.removeprefix(root + day))
            if match and int(match[1]) <= until_ms:
                yield int(match[1]), info


def _days(store: ObjectStore, root: str, last: str, above: str = "", level: int = 0) -> Iterator[str]:
    """Folders of days, newest first, none after `last`."""
    if level == len(_LEVELS):
        yield above
        return
    entries = store.list(root + above, delimiter="/")
    parts = [entry.removeprefix(root + above) for entry in entries if isinstance(entry, str)]
    for part in reversed([part for part in parts if _LEVELS[level].fullmatch(part)]):
        folder = above + part
        if folder <= last[: len(folder)]:
            yield from _days(store, root, last, folder, level + 1)
