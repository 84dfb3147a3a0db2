"""The end of a restore: every line has a result, the counts and digests agree, and a report says so."""

from __future__ import annotations

from collections.abc import Iterable

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.errors import DamagedArchive, MillpondError
from millpond.restore.plan import KIND
from millpond.storage.contract import ObjectStore

_NAMED = 5


def reconcile_restore(store: ObjectStore, layout: Layout, *, run_id: str, now_ms: int) -> Json:
    """Writes the report and returns it.

    Raises:
        MillpondError: Lines have no result; the message names some with the newest reason.
        DamagedArchive: A result contradicts itself.
    """
    run = Run(store, layout, KIND, run_id)
    plan = run.plan()
    results = dict(run.results())
    missing = [(number, line) for number, line in run.lines() if number not in results]
    if missing:
        raise MillpondError(
            f"{len(missing)} of {plan['lines']} partitions are not restored: {'; '.join(_reasons(run, missing))}",
            hint=f"mend the cause and start the same run again; what is restored stays: {run_id}",
        )
    for number, result in results.items():
        if result["digest_archive"] != result["digest_target"] or result["end"] - result["base"] != result["written"]:
            raise DamagedArchive(f"the result of line {number} ({result['target']}-{result['partition']}) is not whole")
    return run.write_once(_report(plan, list(results.values()), now_ms), "report.json")


def _reasons(run: Run, missing: list[tuple[int, Json]]) -> Iterable[str]:
    newest = dict(run.failures())
    for number, line in missing[:_NAMED]:
        reason = newest.get(number, {}).get("reason", "never tried")
        yield f"{line['target']}-{line['partition']}: {reason}"


def _report(plan: Json, results: list[Json], now_ms: int) -> Json:
    def total(field: str) -> int:
        return sum(result[field] for result in results)

    return {
        "kind": KIND,
        "run_id": plan["run_id"],
        "status": "done",
        "planned_at": plan["planned_at"],
        "finished_at": now_ms,
        "topics": plan["topics"],
        "read": total("read"),
        "suppressed": total("suppressed"),
        "written": total("written"),
        "known_deviations": {"timestamp_zero_became_now": total("stamp_zero")},
        "warnings": plan["warnings"],
        "partitions": sorted(results, key=lambda result: (result["target"], result["partition"])),
    }
