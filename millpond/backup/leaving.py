"""What a backup that is stopped stores before it leaves: only what the next start may not be able to read again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from millpond.backup.background import Background
from millpond.backup.confirm import Seen, belongs, look
from millpond.backup.partition import PartitionBackup
from millpond.errors import MillpondError, TryAgain
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place

_LOG = logging.getLogger(__name__)
# The client itself waits for brokers longer than a process that was told to stop has time to store anything.
_ANSWER_WITHIN_S = 4.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What is to be stored before the end.

    Attributes:
        partitions: All of it.
        last_copies: Those of them whose records Kafka surely has no more.
    """

    partitions: list[PartitionBackup]
    last_copies: list[PartitionBackup]

    def left(self) -> list[PartitionBackup]:
        return [partition for partition in self.partitions if partition.closed]

    def only_here(self) -> list[PartitionBackup]:
        return [partition for partition in self.last_copies if partition.closed]

    def raise_for_left(self) -> None:
        """Says what was not stored, unless Kafka surely has it for the next start.

        Raises:
            TryAgain: The store did not answer or refused.
            MillpondError: There was no time.
        """
        failed = [p.closed[0].failed for p in self.left() if p.closed[0].failed]
        if lost := self.only_here():
            raise MillpondError(
                f"Kafka has no more what was read of {', '.join(map(_told, lost))}, and it is not stored",
                hint=failed[0].error.hint if failed else "give it more time to end (ECS: stopTimeout)",
            )
        if failed:
            error = failed[0].error
            raise TryAgain(f"{len(failed)} partitions are not stored to where they were read: {error}", hint=error.hint)


def _told(partition: PartitionBackup) -> str:
    return f"{partition.partition} from offset {partition.closed[0].first} to {partition.closed[-1].last}"


def not_surely_in_kafka(cluster: Cluster, everything: Sequence[PartitionBackup], now: float) -> Kept:
    """Closes the windows that the next start may not be able to read again.

    Their topics are gone or were made again; or the log starts so near that retention may overtake; or, where the
    brokers do not answer, all.
    """
    asking = Background(1, "last look")
    try:
        seen, there, starts = asking.submit(_last_look, cluster, everything, now).result(_ANSWER_WITHIN_S)
    except (MillpondError, TimeoutError) as error:
        reason = error.args[0] if error.args else f"not within {_ANSWER_WITHIN_S:.0f} s"
        _LOG.warning("storing all that was read, because the brokers do not answer: %s", reason)
        for partition in everything:
            close_and_confirm(partition, now)
        return Kept(list(everything), [])
    finally:
        asking.shutdown()
    over = [partition for partition in everything if partition not in there]
    for partition in over:
        partition.close(now)
        if belongs(partition, seen) and partition.place[0] not in seen.refused:
            close_and_confirm(partition, now)
    near = [p for p in there if p.stored < p.position and _is_near(starts.get(p.place), p.stored, p.position)]
    for partition in near:
        partition.close(now)
    # What is on its way to the store is waited for, too.
    on_its_way = [p for p in there if p not in near and p.closed and p.closed[0].confirmed]
    return Kept([*over, *near, *on_its_way], [p for p in over if p.place[0] not in seen.refused])


def _last_look(
    cluster: Cluster, everything: Sequence[PartitionBackup], now: float
) -> tuple[Seen, list[PartitionBackup], dict[Place, int]]:
    """What the cluster says of the topics, the partitions whose topics are the same, and where their logs start."""
    seen = look(cluster, {p.place: p.partition.incarnation.topic_id for p in everything}, now)
    there = [p for p in everything if seen.ids.get(p.place[0]) == p.partition.incarnation.topic_id]
    return seen, there, cluster.log_starts((p.place for p in there), of_some=True)


def close_and_confirm(partition: PartitionBackup, now: float) -> None:
    """For the store as it is: nobody can be asked whether its topic is still the same."""
    partition.close(now)
    if not partition.judged:
        for closed in partition.closed:
            closed.confirmed = True


def _is_near(log_start: int | None, first: int, end: int) -> bool:
    """Whether a range lies in the oldest tenth of the log, which retention takes first; or nobody knows."""
    return log_start is None or first - log_start < (end - log_start) / 10
