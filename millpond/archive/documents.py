"""The JSON documents of an archive, read back. One that is no longer what was written is damage, never a crash."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from millpond.errors import DamagedArchive

Json: TypeAlias = dict[str, Any]


def parse(content: bytes | str, what: str) -> Any:
    """Any JSON value. `what` names the document in the `DamagedArchive` that is raised if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedArchive(f"{what} is not JSON: {error}") from error


def parse_object(content: bytes | str, what: str) -> Json:
    """The same for a document whose outermost value is an object."""
    found = parse(content, what)
    if not isinstance(found, dict):
        raise DamagedArchive(f"{what} is not a JSON object")
    return found
