"""A try of one line of the plan: its target must be the one that was prepared, and what goes wrong is set aside."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from millpond.archive.documents import Json
from millpond.archive.runs import Run
from millpond.clock import now_ms
from millpond.errors import MillpondError, RefusedForSafety
from millpond.kafka.admin import TopicDescription
from millpond.restore.writing.tally import Tally

_LOG = logging.getLogger(__name__)


def prepared_target(run: Run, topic: str, there: Mapping[str, TopicDescription]) -> Json:
    """What was there before this run. `RefusedForSafety` where the topic is not the one that was prepared."""
    prepared = run.find("prepared", f"{topic}.json")
    if prepared is None:
        raise RefusedForSafety(f"target topic {topic} was not prepared", hint="prepare the run first")
    found = there.get(topic)
    if found is None or found.topic_id != prepared["topic_id"]:
        raise RefusedForSafety(
            f"target topic {topic} was deleted or made again since this run prepared it",
            hint="restore again with a new --run-id",
        )
    return prepared


@contextmanager
def set_aside(run: Run, number: int, target: str, tally: Tally, failed: list[MillpondError]) -> Iterator[None]:
    """Adds what goes wrong inside the block to `failed`, named after the target, and to the run.

    Args:
        number: Of the line.
        target: What it writes to, for people.
    """
    try:
        yield
    except MillpondError as error:
        reason = str(error.args[0])
        _LOG.error("cannot restore %s: %s", target, reason)
        run.write_failure(number, now_ms(), reason, object_key=error.object_key)
        failed.append(type(error)(f"cannot restore {target}: {reason}", hint=error.hint, object_key=error.object_key))
        tally.failed()
