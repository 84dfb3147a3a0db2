"""`millpond import`: a backup that another tool made, to an archive."""

from __future__ import annotations

import json
from collections.abc import Iterator

from millpond.archive.documents import Json
from millpond.backup.spool import SpoolFolder
from millpond.cli.outcome import Outcome, progress
from millpond.clock import now_ms
from millpond.errors import DamagedArchive
from millpond.imports.run import import_backup
from millpond.imports.write import Target
from millpond.settings.imports import ImportSettings
from millpond.settings.parts import spool_folder

Settings = ImportSettings


def run(settings: ImportSettings) -> Outcome:
    store, layout = settings.open_archive()
    with spool_folder(settings.spool) as folder:
        spool = SpoolFolder(folder)
        try:
            backup = settings.backup(folder)
            target = Target(store, layout, "", spool.new_path, now_ms, settings.window_bytes, dry_run=settings.dry_run)
            with progress("records read") as told:
                report = import_backup(backup, target, settings.request(), told)
        finally:
            spool.close()
    return Outcome(report, "\n".join(_lines(report)), DamagedArchive.exit_code if report["problems"] else 0)


def _lines(report: Json) -> Iterator[str]:
    held = f", {report['held']} were there before" if report["held"] else ""
    written = "would be written" if report["dry_run"] else "written"
    yield f"{report['records']} records in {report['windows']} windows {written}{held}; source {report['source_id']}"
    for topic in report["topics"]:
        yield f"{topic['topic']} ({topic['topic_id']})"
        yield from map(_partition, topic["partitions"])
    if groups := report["groups"]:
        kept = "kept" if groups["written"] else "not written"
        yield f"{groups['groups']} consumer groups with {groups['offsets']} offsets: {kept} ({groups['key']})"
    yield f"what {report['format']} does not keep:"
    yield from (f"  {told}" for told in report["lost"].values())
    for key in report["ignored"]:
        yield f"ignored: {key if key.isprintable() else json.dumps(key)}"
    for problem in report["problems"]:
        yield f"PROBLEM: {problem['object'] + ': ' if problem['object'] else ''}{problem['problem']}"


def _partition(found: Json) -> str:
    markers = "".join(f", {count} {reason} markers" for reason, count in found["markers"].items())
    left_out = found["left_out"]
    ends = left_out.get("abort", 0) + left_out.get("commit", 0)
    told = f", {ends} ends of transactions left out ({left_out.get('abort', 0)} aborts)" if ends else ""
    dropped = f", {left_out['aborted_record']} records taken for aborted" if "aborted_record" in left_out else ""
    return (
        f"  partition {found['partition']}: {found['records']} records in {found['windows']} windows, "
        f"up to offset {found['position'] - 1}{markers}{told}{dropped}{', STOPPED' if found['stopped'] else ''}"
    )
