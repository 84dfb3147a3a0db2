"""Which ranges of a partition are compared: all, or some that a seed decides, so that anyone can choose them again."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_SHARE = re.compile(r"(?P<number>[0-9]{1,3}(?:\.[0-9]{1,4})?)(?P<percent>%?)")


@dataclass(frozen=True, slots=True)
class Sample:
    """The first and the last range of each partition, and some of the others.

    Attributes:
        share: Of the others, 0 to 1; 1 is everything.
        most: Of the others at most so many, or None.
        seed: Decides which.
    """

    share: float = 1.0
    most: int | None = None
    seed: str = ""

    @classmethod
    def of(cls, text: str, seed: str) -> Sample:
        """`5%` of the ranges, or `20` ranges, of each partition. `ValueError` for anything else."""
        match = _SHARE.fullmatch(text)
        if match and match["percent"] and 0 < float(match["number"]) <= 100:
            return cls(float(match["number"]) / 100, None, seed)
        if match and not match["percent"] and "." not in match["number"] and int(match["number"]):
            return cls(1.0, max(0, int(match["number"]) - 2), seed)
        raise ValueError(f"{text[:40]!r} is no sample; write 5% or a number of ranges for each partition")

    @property
    def is_whole(self) -> bool:
        return self.share >= 1 and self.most is None

    def choose(self, count: int, about: str) -> list[int]:
        """Numbers below `count`, in order.

        Args:
            about: Names the partition, so that not all choose the same.
        """
        if self.is_whole or count <= 2:
            return list(range(count))
        wanted = max(1, round((count - 2) * self.share))
        others = min(wanted, count - 2 if self.most is None else self.most)
        chance = random.Random(f"{self.seed}:{about}")  # noqa: S311  # a choice, not a secret
        return [0, *sorted(chance.sample(range(1, count - 1), min(others, count - 2))), count - 1]


WHOLE = Sample()
