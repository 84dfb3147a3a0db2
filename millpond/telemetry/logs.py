"""Log lines, as text for people or as JSON for machines. They name topics, partitions, offsets; never content."""

from __future__ import annotations

import json
import logging
import sys
import time

_EXPECTED = "enable.gapless.guarantee is experimental"
"""librdkafka says so of every producer; the property is used on purpose."""


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def start_logging(level: str, form: str) -> None:
    """Sends log lines to standard error; `form` is text or json."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    handler.addFilter(lambda record: _EXPECTED not in record.getMessage())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("millpond").setLevel(level)
