"""What a reader of a foreign format gives: files of partitions, what is known of their gaps, and commits of groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from millpond.groups.values import Group
from millpond.records import Row

ABORT, COMMIT, ABORTED = "abort", "commit", "aborted_record"


class NoRecord(NamedTuple):
    """An offset that was read and holds no record: the end of a transaction, or a record that was aborted.

    Attributes:
        what: `abort`, `commit` or `aborted_record`.
    """

    offset: int
    what: str


Item: TypeAlias = Row | NoRecord


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a partition.

    Attributes:
        key: Below the folder that is imported.
        first: Offset of its first item.
        read: All items, in rising offset order, none below `first`. It raises `DamagedArchive` where the file is not
            what its name and checksums say, before an item is given that they do not vouch for.
    """

    key: str
    first: int
    read: Callable[[], Iterator[Item]]


@dataclass(frozen=True, slots=True)
class KnownGap:
    """Offsets, both inclusive, that the backup says it did not get.

    Attributes:
        code: Why, in its own words.
        retention: Whether the words mean that Kafka had removed them.
    """

    first: int
    last: int
    code: str
    retention: bool


@dataclass(frozen=True, slots=True)
class SourcePartition:
    """All that the backup holds of one partition, in no order."""

    topic: str
    partition: int
    files: tuple[SourceFile, ...]
    gaps: tuple[KnownGap, ...] = ()


@dataclass(frozen=True, slots=True)
class Commits:
    """Where consumer groups stood.

    Attributes:
        key: Of the file that tells.
        read: When that was, epoch ms, and the groups; the topics have no ids. Raises `DamagedArchive`.
    """

    key: str
    read: Callable[[], tuple[int, tuple[Group, ...]]]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was not imported, and why.

    Attributes:
        object: Key of the file it lies in, or "".
    """

    object: str
    reason: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A foreign backup, listed and not read yet.

    Attributes:
        format: Its name on the command line.
        name: What tells it from other backups of this format; topic ids come from it.
        cluster_id: Of the source cluster, "" where the backup does not say.
        lost: What its format does not keep: codes and sentences.
        ignored: Keys that are nothing of this format.
        problems: Files that look like this format's and cannot be placed.
    """

    format: str
    name: str
    cluster_id: str
    partitions: tuple[SourcePartition, ...]
    commits: Commits | None
    lost: dict[str, str]
    ignored: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
