"""Which partition of the target takes a record.

A record goes where its key says: by Java's hash, or by a function of the user's. One without a key keeps its partition,
modulo the number of target partitions. Where source and target have equally many partitions, all records keep theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from millpond.errors import WrongUsage
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.repartition.murmur2 import partition_of
from millpond.restore.repartition.user_function import Misplaced, load_function

MURMUR2 = "murmur2"
_REMEMBERED = 1 << 12
"""Keys come again; the places of so many are kept in memory."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Places the records of one topic.

    Attributes:
        by: What decides, as the request names it, or "".
        partitions: Of the target topic.
    """

    by: str
    partitions: int
    _of_key: Callable[[bytes], int] | None

    @classmethod
    def of(cls, by: str, archived: int, partitions: int) -> Placing:
        """`WrongUsage` where the user's function cannot be loaded.

        Args:
            by: `murmur2` or `module:function`.
            archived: Partitions of the archived topic.
        """
        if archived == partitions:
            return cls("", partitions, None)
        if by == MURMUR2:
            return cls(by, partitions, lru_cache(_REMEMBERED)(partial(_by_murmur2, partitions)))
        return cls(by, partitions, lru_cache(_REMEMBERED)(load_function(by, partitions)))

    def split(self, source: Place, rows: list[Row]) -> Mapping[int, list[Row]]:
        """Records of one archived partition by target partition, each in the order of `rows`.

        Raises:
            WrongUsage: The user's function does not tell a partition for one of them.
        """
        if self._of_key is None:
            return {source[1]: rows}
        of_key, keyless = self._of_key, source[1] % self.partitions
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for row in rows:
            key = row[2]
            try:
                found[keyless if key is None else of_key(key)].append(row)
            except Misplaced as error:
                raise WrongUsage(
                    "{} {} for the record of {}-{} at offset {}".format(self.by, error, *source, row[0]),
                    hint="delete the target topic, mend the function and restore again with a new --run-id",
                ) from None
        return found


def _by_murmur2(partitions: int, key: bytes) -> int:
    return partition_of(key, partitions)
