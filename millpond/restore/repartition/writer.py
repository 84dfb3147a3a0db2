"""All partitions of a target topic within one producer session."""

from __future__ import annotations

from collections.abc import Mapping

from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.writing.claim import Claim
from millpond.restore.writing.session import Session
from millpond.restore.writing.target import refuse_other_ends
from millpond.restore.writing.throttle import Throttle


class TopicWriter:
    """Writes records to the partitions of a topic. Any delivery error ends it: what is written to each partition is a
    prefix of what was given for it.

    Attributes:
        ends: Of each partition, once everything is written.
    """

    def __init__(
        self,
        cluster: Cluster,
        session: Session,
        topic: str,
        ends: Mapping[int, int],
        throttle: Throttle,
        claim: Claim | None,
    ) -> None:
        self.topic, self.ends, self._throttle, self._claim = topic, dict(ends), throttle, claim
        self._cluster, self._session, self._begun = cluster, session, set[int]()

    def write(self, rows: Mapping[int, list[Row]]) -> None:
        """Hands over records, by partition; they are written once `settle` returns.

        The first record of each partition goes alone: where somebody else writes too, little is mixed with theirs.
        """
        first = {number: given[:1] for number, given in rows.items() if given and number not in self._begun}
        for number, given in first.items():
            self._send(number, given)
        if first:
            self.settle()
            self._begun |= first.keys()
        for number, given in rows.items():
            self._send(number, given[1:] if number in first else given)

    def settle(self) -> None:
        """Until everything is written; every partition's end must be where our count puts it.

        Raises:
            RefusedForSafety: Somebody else writes to the topic.
        """
        self._session.flush()
        refuse_other_ends(self._cluster, {place: self.ends[place[1]] for place in self._places()})

    def _places(self) -> list[Place]:
        return [(self.topic, number) for number in self.ends]

    def _send(self, number: int, rows: list[Row]) -> None:
        for portion in self._throttle.portions(rows, self._session.wait):
            if self._claim is not None and self._claim.check():
                self.settle()
            self._send_now(number, portion)

    def _send_now(self, number: int, rows: list[Row]) -> None:
        self._session.send((self.topic, number), rows)
        self.ends[number] += len(rows)
