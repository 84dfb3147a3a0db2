"""What runs in one round, in which order, and on what. Neighbours in this list are what is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_PROGRAMS = "tests.bench.programs"
# What is compared at the end has a limit of its own, however much was restored: no cost of a record.
_UNCOMPARED = ("--compare", "none")
_ZSTD = ("--to-kafka", "compression.type=zstd")


@dataclass(frozen=True, slots=True)
class Round:
    """Where one round of one set happens.

    Attributes:
        topic: The source.
        target: A topic that one restore may write to.
        tag: Part of every prefix in the bucket.
    """

    bootstrap: str
    topic: str
    target: str
    bucket: str
    tag: str

    def prefix(self, whose: str) -> str:
        return f"{whose}-{self.tag}"


Command = Callable[[Round], list[str]]


@dataclass(frozen=True, slots=True)
class Program:
    """One thing that is measured.

    Attributes:
        name: Stable, for JSON and for targets.
        stores: The prefix that it fills, for the stored size.
        wait_s: Seconds that it waits at its end whatever the number of records.
        target: Whether it writes to a target topic; "own" where it makes the topic itself.
        only: Sets that it runs on.
    """

    name: str
    title: str
    command: Command
    stores: str = ""
    wait_s: float = 0
    target: str = ""
    only: str = "ABC"


def _module(name: str, *words: str) -> list[str]:
    return [f"{_PROGRAMS}.{name}", *words]


def _source(name: str, whose: str) -> Command:
    return lambda at: _module(name, at.bootstrap, at.topic, at.bucket, at.prefix(whose))


def _target(name: str, whose: str, *more: str) -> Command:
    return lambda at: _module(name, at.bootstrap, at.target, at.bucket, at.prefix(whose), *more)


def _backup(at: Round) -> list[str]:
    archive = f"s3://{at.bucket}/{at.prefix('millpond')}"
    return ["millpond.cli.main", "backup", "--once", "--json", "--archive", archive, "--brokers", at.bootstrap,
            "--topics", at.topic]  # fmt: skip


def _restore(module: list[str], *more: str) -> Command:
    def command(at: Round) -> list[str]:
        archive = f"s3://{at.bucket}/{at.prefix('millpond')}"
        return [*module, "--json", "--archive", archive, "--to-brokers", at.bootstrap, "--topics", at.topic,
                "--rename", f"{at.topic}={at.target}", "--run-id", at.target, *more]  # fmt: skip

    return command


def _scan(who: str, place: str) -> Command:
    return lambda at: _module("scans", who, place, at.bucket, at.prefix("millpond"))


_MILLPOND = ["millpond.cli.main", "restore"]
_UNPROVEN = [f"{_PROGRAMS}.restore_unproven"]

LINEUP = (
    Program("consume", "nothing else", lambda at: _module("consume", at.bootstrap, at.topic)),
    Program("backup.fastavro", "deflate", _source("fastavro_backup", "fastavro"), stores="fastavro"),
    Program("backup.yardstick", "zstd", _source("yard_backup", "yard"), stores="yard"),
    Program("backup.millpond", "zstd", _backup, stores="millpond", wait_s=5),
    Program("restore.fastavro", "from deflate", _target("fastavro_restore", "fastavro"), target="made"),
    Program("restore.yardstick", "uncompressed", _target("yard_restore", "yard", "none"), target="made"),
    Program("restore.millpond", "uncompressed", _restore(_MILLPOND, *_UNCOMPARED), target="own"),
    Program("restore.unproven", "millpond, no proof", _restore(_UNPROVEN, *_UNCOMPARED), target="own"),
    Program("restore.yardstick.zstd", "to zstd", _target("yard_restore", "yard", "zstd"), target="made"),
    Program("restore.millpond.zstd", "to zstd", _restore(_MILLPOND, *_UNCOMPARED, *_ZSTD), target="own"),
    Program("scan.fastavro", "key", _scan("fastavro", "key")),
    Program("scan.millpond", "key", _scan("millpond", "key")),
    Program("scan.fastavro.json", "value", _scan("fastavro", "value"), only="A"),
    Program("scan.millpond.json", "value", _scan("millpond", "value"), only="A"),
)
