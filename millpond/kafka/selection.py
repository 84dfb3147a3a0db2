"""Topics chosen by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from millpond.errors import WrongUsage

OWN = "__millpond"
"""Topics of Millpond's own runs begin with this; a backup leaves them out."""

INTERNAL = ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which topics: those that any expression of `include` matches and those in `names`, but for what any of `exclude`
    matches; never internal or own ones. Expressions are regular ones and match whole names."""

    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, include: Iterable[str], exclude: Iterable[str] = (), *, names: Iterable[str] = ()) -> Selection:
        """Raises `WrongUsage` for what is no regular expression."""
        return cls(tuple(map(_compiled, include)), tuple(map(_compiled, exclude)), tuple(names))

    def told(self) -> str:
        """What was asked for, for people."""
        return ", ".join((*(pattern.pattern for pattern in self.include), *self.names))

    def each(self) -> dict[str, Selection]:
        """One selection for each expression and each name, by what people call it."""
        by_expression = {one.pattern: Selection((one,), self.exclude) for one in self.include}
        return by_expression | {name: Selection((), self.exclude, (name,)) for name in self.names}

    def match(self, topics: Iterable[str]) -> list[str]:
        """The chosen ones: in the order of the expressions, alphabetical within one, then names; each at its first
        match."""
        left = sorted(name for name in topics if _is_data(name) and not _any(self.exclude, name))
        chosen: dict[str, None] = {}
        for pattern in self.include:
            chosen |= dict.fromkeys(name for name in left if pattern.fullmatch(name))
        there = set(left)
        return list(chosen | dict.fromkeys(name for name in self.names if name in there))


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise WrongUsage(
            f"{expression!r} is not a regular expression: {error}",
            hint="expressions match whole topic names, as in orders.*",
        ) from error


def _is_data(topic: str) -> bool:
    return topic not in INTERNAL and not topic.startswith(OWN)


def _any(patterns: Iterable[re.Pattern[str]], name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in patterns)
