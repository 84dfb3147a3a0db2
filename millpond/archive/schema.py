"""The Avro schema of a window and the names of the timestamp types."""

from __future__ import annotations

import json
import re
from enum import Enum

from millpond.errors import DamagedArchive, WrongUsage

FORMAT_VERSION = 1

SCHEMA = {
    "type": "record",
    "name": "Record",
    "namespace": "millpond",
    "fields": [
        {"name": "offset", "type": "long"},
        {"name": "timestamp", "type": "long"},
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "value", "type": ["null", "bytes"]},
        {
            "name": "headers",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Header",
                    "fields": [{"name": "key", "type": "bytes"}, {"name": "value", "type": ["null", "bytes"]}],
                },
            },
        },
    ],
}
SCHEMA_JSON = json.dumps(SCHEMA, separators=(",", ":")).encode()


class TimestampType(Enum):
    """Who stamped a record. The values are what file metadata holds."""

    NONE = "none"
    CREATE_TIME = "create_time"
    LOG_APPEND_TIME = "log_append_time"

    @classmethod
    def from_kafka(cls, number: int) -> TimestampType:
        """Kafka's numbering: 0 not available, 1 CreateTime, 2 LogAppendTime."""
        return _BY_NUMBER[number]


def refuse_newer(version: int | str, what: str) -> None:
    """`WrongUsage` for a format that this version cannot read; it is asked before anything that a format may change."""
    number = str(version)
    if not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        raise DamagedArchive(f"{what} has no archive format", hint="it was not written by Millpond, or is damaged")
    if int(number) > FORMAT_VERSION:
        raise WrongUsage(
            f"{what} has archive format {number}, this version reads up to {FORMAT_VERSION}", hint="upgrade Millpond"
        )


_BY_NUMBER = (TimestampType.NONE, TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)
