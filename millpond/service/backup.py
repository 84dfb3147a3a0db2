"""A backup as its settings ask for it: with signals, metrics and a spool, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from millpond.backup.flush import Flush
from millpond.backup.metrics import BACKUP
from millpond.backup.run import Watchers, run_backup
from millpond.kafka.places import Place
from millpond.service.workers import Workers
from millpond.settings.backup import BackupSettings
from millpond.settings.parts import spool_folder
from millpond.telemetry.observer import Telemetry
from millpond.telemetry.signals import call_on_usr1, stop_on_signals


@dataclass(slots=True)
class BackedUp:
    """What became of a run.

    Attributes:
        covered: The ends that are in the archive now (`once`).
        stopped: Whether a signal ended it.
        snapshots_failed: Why snapshots are not in the archive, by kind (`once`).
    """

    covered: Mapping[Place, int] = field(default_factory=dict)
    stopped: bool = False
    snapshots_failed: Mapping[str, str] = field(default_factory=dict)


def back_up(settings: BackupSettings, progress: Callable[[int, int], None]) -> BackedUp:
    """Runs until it is stopped by a signal or, with `once`, until all is there.

    Raises:
        MillpondError: As `run_backup`, or a worker failed.
    """
    stop, flush, done = stop_on_signals(), Flush(), BackedUp()
    call_on_usr1(flush.signal)
    told = settings.telemetry(long_running=not settings.once)

    def snapshots_failed(why: Mapping[str, str]) -> None:
        done.snapshots_failed = why

    if settings.workers > 1:
        with spool_folder(settings.spool) as spool:
            workers = Workers(settings, spool, progress, snapshots_failed)
            with Telemetry(told, BACKUP, flush=flush.ask, pids=workers.pids) as telemetry:
                done.covered = workers.run(stop, flush, telemetry.observe)
    else:
        with Telemetry(told, BACKUP, flush=flush.ask) as telemetry, spool_folder(settings.spool) as spool:
            store, layout = settings.open_archive()
            watchers = Watchers(progress, telemetry.observe, flush, snapshots_failed)
            done.covered = run_backup(store, layout, settings.cluster(), settings.options(spool), stop, watchers)
    done.stopped = stop.is_set()
    return done
