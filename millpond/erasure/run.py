"""A redact run after its plan: the units of work, and the reckoning that ends in a receipt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from millpond.archive.documents import Json
from millpond.archive.identity import read_identity
from millpond.archive.keys import Layout, PartitionObject
from millpond.archive.names import WindowName
from millpond.archive.runs import Run
from millpond.erasure.plan import SEARCHED, partition_end
from millpond.erasure.policy import load_policy
from millpond.erasure.receipt import find_receipt, receipt_of, write_receipt
from millpond.erasure.secret import ErasureSecret
from millpond.erasure.sweep import Sweep, is_left, sweep_key
from millpond.erasure.sweeps import Sweeps, redact_run
from millpond.erasure.versions import versions_by_key, with_content
from millpond.errors import MillpondError, RefusedForSafety, WrongUsage
from millpond.storage.contract import ObjectInfo, ObjectStore, ObjectVersion

NAMED = 10
"""Lines without result that an error names."""


def redact_unit(
    store: ObjectStore,
    layout: Layout,
    secret: ErasureSecret,
    *,
    run_id: str,
    unit: int,
    units: int,
    spool: Path,
    now_ms: Callable[[], int],
) -> int:
    """Does the lines of one of `units` workers that have no result yet; any number of times, also at once with others.

    Args:
        spool: An existing folder on a local disk; takes one window at a time.

    Returns:
        How many lines failed. Why is in the run's failures; the same call tries them again.

    Raises:
        WrongUsage: There is no such plan or spool, or the secret is not the one the plan was made with.
    """
    if not spool.is_dir():
        raise WrongUsage(f"the spool {spool} is no folder")
    run = redact_run(store, layout, run_id)
    archive_id = read_identity(store, layout).archive_id
    sweep = Sweep(run, archive_id, Sweeps(store, layout, secret, archive_id), spool, now_ms)
    sweep.sweeps.check(run_id)
    failures = 0
    for line, content in list(run.lines(unit=unit, units=units)):  # read at once: the stream would idle for hours
        if run.result(line) is None:
            failures += not _done(sweep, line, content)
    return failures


def _done(sweep: Sweep, line: int, content: Json) -> bool:
    try:
        result = sweep_key(sweep, line, content)
    except MillpondError as error:
        reason = str(error)
    except OSError as error:  # the stores translate theirs
        reason = f"cannot spool to {sweep.spool}: {error.strerror}"
    else:
        sweep.run.write_result(line, result)
        return True
    sweep.run.write_failure(line, sweep.now_ms(), reason)
    return False


def reconcile_redaction(store: ObjectStore, layout: Layout, *, run_id: str, now_ms: int) -> Json:
    """Checks that the archive is what the results say, and writes the receipt, or finds it.

    Raises:
        MillpondError: Lines without a result.
        RefusedForSafety: An object in scope is not planned, or not as its result left it; or the request has a receipt
            of another run.
    """
    run = redact_run(store, layout, run_id)
    document = run.plan()
    if (receipt := find_receipt(store, layout, document["request"]["request_id"])) is None:
        results = _all_results(run, document["lines"])
        later = _confirmed(store, layout, document, results)
        policy = load_policy(store, layout, document["request"]["policy"])
        receipt = write_receipt(store, layout, receipt_of(document, policy, layout, results, later, now_ms))
    if receipt["run_id"] != run_id:
        raise RefusedForSafety(f"the request of redact run {run_id} has its receipt from run {receipt['run_id']}")
    return receipt


def _all_results(run: Run, lines: int) -> list[Json]:
    results = dict(run.results())
    missing = [line for line in range(lines) if line not in results]
    if missing:
        reasons = {line: failure["reason"] for line, failure in run.failures()}  # in order of time: the last one stays
        named = "\n".join(f"line {line}: {reasons.get(line, 'not tried to its end')}" for line in missing[:NAMED])
        raise MillpondError(
            f"{len(missing)} of {lines} lines of redact run {run.run_id} have no result\n{named}",
            hint="run the units again; they go on where they stopped",
        )
    return [results[line] for line in range(lines)]


def _confirmed(store: ObjectStore, layout: Layout, document: Json, results: list[Json]) -> dict[str, int]:
    """Holds a fresh listing against the results; returns how many windows by topic came behind the plan's ends."""
    planned = {result["key"]: result for result in results}
    later: dict[str, int] = {}
    for key, versions, what in _searched_windows(store, layout, document):
        if key in planned:
            _refuse_if_changed(store, planned[key], versions)
        elif what.name.first >= partition_end(document["ends"], what.partition):
            later[what.partition.topic] = later.get(what.partition.topic, 0) + 1
        else:
            raise RefusedForSafety(
                f"{key} was written after redact run {document['run_id']} was planned, into what it covers",
                hint="plan the request again under a new run id",
            )
    return later


def _searched_windows(
    store: ObjectStore, layout: Layout, document: Json
) -> Iterator[tuple[str, list[ObjectVersion], PartitionObject]]:
    topics = {topic for topic, scope in document["topics"].items() if scope["class"] == SEARCHED}
    for key, versions in versions_by_key(store, layout.topics):
        what, content = layout.parse(key), with_content(versions)
        if not isinstance(what, PartitionObject) or not isinstance(what.name, WindowName):
            continue
        if content and what.partition.topic in topics:
            yield key, content, what


def _refuse_if_changed(store: ObjectStore, result: Json, content: list[ObjectVersion]) -> None:
    """One version, the one of the result, and below it only what the result left alone."""
    left = {exception["version"] for exception in result["exceptions"] if is_left(exception)}
    newest, older = content[0].info, content[1:]
    if not _is(store, newest, result) or any(version.info.version not in left for version in older):
        raise RefusedForSafety(
            f"{result['key']} is not as its redaction left it", hint="plan the request again under a new run id"
        )


def _is(store: ObjectStore, info: ObjectInfo, result: Json) -> bool:
    if info.version or not result["digest"]:
        return bool(info.version == result["version"])
    found = store.head(info.key)  # a store without versions: the digest tells
    return found is not None and found.metadata.get("millpond-digest") == result["digest"]
