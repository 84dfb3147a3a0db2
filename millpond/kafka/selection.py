"""Topics chosen by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from millpond.errors import WrongUsage

INTERNAL = ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which topics: anchored regular expressions, any of `include` and none of `exclude`. Internal ones never."""

    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, include: Iterable[str], exclude: Iterable[str] = ()) -> Selection:
        """Raises `WrongUsage` for what is no regular expression."""
        return cls(tuple(map(_compiled, include)), tuple(map(_compiled, exclude)))

    def match(self, topics: Iterable[str]) -> list[str]:
        """The chosen ones: in the order of the expressions, alphabetical within one, each at its first match."""
        left = sorted(name for name in topics if name not in INTERNAL and not _any(self.exclude, name))
        chosen: dict[str, None] = {}
        for pattern in self.include:
            chosen |= dict.fromkeys(name for name in left if pattern.fullmatch(name))
        return list(chosen)


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise WrongUsage(
            f"{expression!r} is not a regular expression: {error}",
            hint="expressions match whole topic names, as in orders.*",
        ) from error


def _any(patterns: Iterable[re.Pattern[str]], name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in patterns)
