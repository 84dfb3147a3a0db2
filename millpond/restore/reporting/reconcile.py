"""What is proven of the records of a restore: every line has a result, and each result agrees with itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import RECONCILED, Run
from millpond.errors import DamagedArchive, MillpondError
from millpond.restore.planning.plan import KIND
from millpond.storage.contract import ObjectStore

_NAMED = 5


def reconcile_restore(store: ObjectStore, layout: Layout, *, run_id: str, now_ms: int) -> Json:
    """Writes down what is proven and returns it. May be repeated: what was written stays.

    Raises:
        MillpondError: Lines have no result; the message names some with the newest reason and the damaged object.
        DamagedArchive: A result contradicts itself.
    """
    run = Run(store, layout, KIND, run_id)
    if (found := run.find(RECONCILED)) is not None:
        return found
    plan = run.plan()
    results = dict(run.results())
    missing = [(number, line) for number, line in run.lines(whole=False) if number not in results]
    if missing:
        raise MillpondError(
            f"{len(missing)} of {plan['lines']} {_lines_of(plan)} are not restored: {'; '.join(_told(run, missing))}",
            hint=f"mend the cause and start the same run again; what is restored stays: {run_id}",
        )
    for number, result in results.items():
        _refuse_contradiction(number, result)
    return run.write_once(_document(plan, list(results.values()), now_ms), RECONCILED)


def unrestored(run: Run, missing: Iterable[tuple[int, Json]]) -> Iterator[Json]:
    """Each of these lines with the reason of its newest failure, and the object that was damaged where it names one."""
    newest = dict(run.failures())
    for number, line in missing:
        failure = newest.get(number, {})
        yield {
            "topic": line["topic"] if "topic" in line else line["target"],
            "target": line["target"],
            "partition": line.get("partition"),
            "reason": failure.get("reason", "never tried"),
            "object": failure.get("object") or None,
            "at": failure.get("at"),
        }


def place_of(line: Mapping[str, object]) -> str:
    """The target partition of a line or a result, or the target topic where one line is for all of its partitions."""
    number = line.get("partition")
    return str(line["target"]) if number is None else f"{line['target']}-{number}"


def _lines_of(plan: Json) -> str:
    """What a line is for; of topics that get another number of partitions, the whole topic."""
    return "topics and partitions" if plan["request"].get("repartition") else "partitions"


def _told(run: Run, missing: list[tuple[int, Json]]) -> Iterator[str]:
    for found in unrestored(run, missing[:_NAMED]):
        damaged = f" (object {found['object']})" if found["object"] and found["object"] not in found["reason"] else ""
        yield f"{place_of(found)}: {found['reason']}{damaged}"


def _refuse_contradiction(number: int, result: Json) -> None:
    """Of a line for a whole topic each partition is looked at, and the sum."""
    parts = result.get("partitions", [result])
    whole = all(part["end"] - part["base"] == part["written"] and _is_proven(part) for part in parts)
    if not whole or not _is_proven(result) or sum(part["written"] for part in parts) != result["written"]:
        raise DamagedArchive(f"the result of line {number} ({place_of(result)}) is not whole")


def _is_proven(result: Json) -> bool:
    return bool(result["digest_archive"]) and result["digest_archive"] == result["digest_target"]


def _document(plan: Json, results: list[Json], now_ms: int) -> Json:
    def total(field: str) -> int:
        return sum(result.get(field, 0) for result in results)

    started = [result["started_at"] for result in results if result.get("started_at")]
    finished = [result["finished_at"] for result in results if result.get("finished_at")]
    return {
        "kind": KIND,
        "run_id": plan["run_id"],
        "status": "done",
        "planned_at": plan["planned_at"],
        "started_at": min(started, default=None),
        "work_finished_at": max(finished, default=None),
        "reconciled_at": now_ms,
        "worker_seconds": round(sum(result.get("seconds", 0.0) for result in results), 3),
        "read": total("read"),
        "filtered": total("filtered"),
        "suppressed": total("suppressed"),
        "written": total("written"),
        "objects": total("objects"),
        "known_deviations": {"timestamp_zero_became_now": total("stamp_zero")},
        "warnings": plan["warnings"],
        "partitions": sorted(_partitions(results), key=lambda part: (part["target"], part["partition"])),
    }


def _partitions(results: Iterable[Json]) -> Iterator[Json]:
    for result in results:
        yield from result.get("partitions", [result])
