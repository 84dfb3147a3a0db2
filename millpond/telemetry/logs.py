"""Log lines, as text for people or as JSON for machines. They name topics, partitions, offsets; never content."""

from __future__ import annotations

import json
import logging
import sys
import time

from millpond.errors import without_values

_EXPECTED = "enable.gapless.guarantee is experimental"
"""librdkafka says so of every producer; the property is used on purpose."""

_FIELDS = ("topic", "partition", "first", "last")
"""What a call may tell with `extra`: the place, and its offsets, both inclusive. Nothing else gets into a line."""


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": _at(record),
            "level": record.levelname,
            "logger": record.name,
            "message": without_values(record.getMessage()),
            **{name: getattr(record, name) for name in _FIELDS if hasattr(record, name)},
        }
        if record.exc_info:
            line["trace"] = without_values(self.formatException(record.exc_info))
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Time (UTC), level and message. What follows on lines of its own, a hint or a trace, is indented: a line that
    begins with a time begins a record."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        message = without_values(message)
        return f"{_at(record)} {record.levelname:<7} " + "\n  ".join(message.splitlines())


def _at(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def start_logging(level: str, form: str) -> None:
    """Sends log lines to standard error; `form` is text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(lambda record: _EXPECTED not in record.getMessage())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("millpond").setLevel(level)
