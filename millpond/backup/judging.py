"""Records that may be of either life of their topic: decided in the background, settled on the consumer's thread."""

from __future__ import annotations

import logging
from concurrent.futures import Executor, Future

from millpond.backup.lives import Lives, Verdict
from millpond.backup.partition import PartitionBackup
from millpond.clock import now_ms
from millpond.errors import MillpondError

_LOG = logging.getLogger(__name__)


class Judging:
    """Verdicts under way."""

    def __init__(self, lives: Lives, pool: Executor) -> None:
        self._lives, self._pool = lives, pool
        self._under_way: list[tuple[PartitionBackup, Future[Verdict]]] = []

    def begin(self, partition: PartitionBackup) -> None:
        """Nothing more may be read into the partition from now on; the verdict is settled by a later `tick`."""
        unconfirmed = [closed for closed in partition.closed if not closed.confirmed]
        partition.judged = True
        future = self._pool.submit(self._lives.decide, partition.partition, unconfirmed, now_ms())
        self._under_way.append((partition, future))

    def tick(self) -> list[PartitionBackup]:
        """Settles what has been decided. What could not be decided is asked again by the next confirmation.

        Returns:
            Partitions whose records cannot be judged, because their spool is lost.
        """
        lost: list[PartitionBackup] = []
        for partition, future in [one for one in self._under_way if one[1].done()]:
            self._under_way.remove((partition, future))
            partition.judged = False
            try:
                verdict = future.result()
            except (OSError, ValueError) as error:  # its spool cannot be read, or is closed
                _LOG.error("%s is read again: its spool is lost: %s", partition.partition, error)
                lost.append(partition)
                continue
            except MillpondError as error:
                _LOG.warning("will look again which life of its topic %s is of: %s", partition.partition, error)
                continue
            _LOG.warning(
                "%s was made again: up to offset %d it is the old one's", partition.partition, verdict.border - 1
            )
            partition.keep_until(verdict.border, verdict.replacement)
        return lost

    @property
    def idle(self) -> bool:
        return not self._under_way
