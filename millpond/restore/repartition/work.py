"""The topics of a worker's share whose records go to other partitions, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.archive.runs import Run
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster
from millpond.restore.repartition.topic import TopicRestore
from millpond.restore.writing.attempt import prepared_target, set_aside
from millpond.restore.writing.source import Source
from millpond.restore.writing.tally import Tally
from millpond.restore.writing.terms import Terms

_LOG = logging.getLogger(__name__)


def is_topic_line(line: Json) -> bool:
    """Whether the line of a plan is a whole topic's, whose records go to other partitions."""
    return "sources" in line


@dataclass(frozen=True, slots=True)
class TopicsWork:
    """What all topics have in common."""

    run: Run
    source: Source
    cluster: Cluster
    terms: Terms
    tally: Tally

    def restore(self, lines: Iterable[tuple[int, Json]]) -> list[MillpondError]:
        """Restores the topics of these lines, told with their numbers. One that fails is set aside; the others go on.

        Returns:
            What went wrong, one error for each line that failed.
        """
        failed: list[MillpondError] = []
        for number, line in lines:
            with set_aside(self.run, number, line["target"], self.tally, failed):
                self.run.write_result(number, self._restore(line))
                self.tally.done()
                _LOG.info("restored %s", line["target"])
        return failed

    def _restore(self, line: Json) -> Json:
        prepared = prepared_target(self.run, line["target"], self.cluster.describe([line["target"]]))
        base = {int(number): at for number, at in prepared["base"].items()}
        return TopicRestore(self.run, self.source, self.cluster, line, base, self.terms, self.tally).restore()
