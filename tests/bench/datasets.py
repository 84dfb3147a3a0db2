"""The three sets of records."""

from __future__ import annotations

from dataclasses import dataclass

PARTITIONS = 12


@dataclass(frozen=True, slots=True)
class DataSet:
    """Records of one size.

    Attributes:
        share: How many there are for each record of set A.
    """

    name: str
    value_bytes: int
    share: float

    def records(self, of_a: int) -> int:
        return max(PARTITIONS, round(of_a * self.share))


SETS = {found.name: found for found in (DataSet("A", 1024, 1.0), DataSet("B", 100, 2.5), DataSet("C", 10 * 1024, 0.1))}
