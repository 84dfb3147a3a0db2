"""One key: rewritten until it has one version and nothing in that matches.

Older versions are deleted only where they differ from the newest one by recorded redactions alone; an overwrite by
somebody else must not make a sweep destroy the good copy. What cannot be told so is left alone and reported.

A key under a delete marker: no tool of ours leaves one (`prune` removes versions), so it is an accident or an attack,
and its versions are what it would be repaired from. If its newest version matches, the redacted window is put on top,
which makes the key visible again: the other choices would keep the subject's records or destroy everyone else's. If it
does not, the marker stays where it is.

A rewritten object gets the store's default storage class and no tags: the contract of stores knows neither yet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from millpond.archive.documents import Json
from millpond.archive.facts import Redaction, WindowFacts
from millpond.archive.keys import Layout, PartitionObject
from millpond.archive.names import WindowName
from millpond.erasure.match import Matcher, PlaceCount, Tally
from millpond.erasure.rewrite import Expected, is_explained, rewritten, scan
from millpond.erasure.sweep_list import sweep_list
from millpond.erasure.sweep_state import DAMAGED, REFUSED, ROUNDS, UNEXPLAINED, UNEXPLAINED_ENTRY, Sweep
from millpond.erasure.versions import versions_of, with_content
from millpond.errors import DamagedArchive, TryAgain, WrongUsage
from millpond.storage.contract import AlreadyThere, Changed, NoSuchObject, ObjectInfo, ObjectVersion, StorageError

__all__ = ["DAMAGED", "REFUSED", "ROUNDS", "UNEXPLAINED", "UNEXPLAINED_ENTRY", "Sweep", "is_left", "sweep_key"]


@dataclass(slots=True)
class _Key:
    """One line of the plan while it is worked on."""

    sweep: Sweep
    line: int
    key: str
    planned: frozenset[str]
    expected: Expected
    matcher: Matcher
    exceptions: list[Json] = field(default_factory=list)

    def versions(self) -> list[ObjectVersion]:
        return versions_of(self.sweep.run.store, self.key)

    def left_alone(self, kind: str, version: str, **more: str) -> None:
        self.exceptions.append({"kind": kind, "version": version, **more})


@dataclass(frozen=True, slots=True)
class _Settled:
    """A key at rest: the window that is its newest content, and how it got there."""

    info: ObjectInfo
    facts: WindowFacts | None
    tally: Tally
    versions: list[ObjectVersion]


def sweep_key(sweep: Sweep, line: int, content: Json) -> Json:
    """Does a line of a plan and returns its result.

    Raises:
        TryAgain: The key kept changing.
        MillpondError: The store refused something other than a delete.
    """
    key = _key(sweep, line, content)
    if key.expected.name.parts:
        return sweep_list(sweep, content, key.expected, key.matcher.tally(), sweep_key)
    if content.get("skip"):
        return _skipped(key)
    for rounds in range(1, ROUNDS + 1):
        key.exceptions.clear()
        try:
            settled = _round(key)
        except (Changed, NoSuchObject, AlreadyThere):
            continue  # somebody replaced or deleted it meanwhile: look again
        if settled is not None:
            return _result(key, settled, rounds)
    raise TryAgain(f"{key.key} changed in each of {ROUNDS} rounds of redaction", hint="is another run redacting it?")


def is_left(exception: Json) -> bool:
    """Whether an exception of a result is a version that was left where it is."""
    return exception["kind"] in (UNEXPLAINED, REFUSED, DAMAGED)


def _key(sweep: Sweep, line: int, content: Json) -> _Key:
    layout: Layout = sweep.run.layout
    found = layout.parse(content["key"])
    if not isinstance(found, PartitionObject) or not isinstance(found.name, WindowName):
        raise DamagedArchive(f"line {line} of redact run {sweep.run.run_id} names no window")
    expected = Expected(sweep.archive_id, found.partition, found.name)
    matcher = sweep.sweeps.matcher(sweep.run.run_id, found.partition.topic)
    return _Key(sweep, line, content["key"], frozenset(content["versions"]), expected, matcher)


def _round(key: _Key) -> _Settled | None:
    """Scans, replaces and purges once; None where the key is not at rest afterwards."""
    store = key.sweep.run.store
    versions = key.versions()
    content = with_content(versions)
    if not content:
        return _Settled(ObjectInfo(key.key, 0, ""), None, key.matcher.tally(), versions)
    newest = content[0].info
    try:
        facts, tally = scan(store, newest, key.expected, key.matcher)
    except DamagedArchive:
        return _all_left_alone(key, versions)
    if tally.dropped:
        newest, facts = _replace(key, newest, tally, hidden=versions[0].marker)
        versions = key.versions()
    if not _is_newest(newest, versions):
        return None
    if len(with_content(versions)) == len(versions) == 1:
        return _Settled(newest, facts, tally, versions)
    _purge(key, newest, facts, versions)
    return _at_rest(key, _Settled(newest, facts, tally, key.versions()))


def _all_left_alone(key: _Key, versions: list[ObjectVersion]) -> _Settled:
    """The newest version is no intact window: whatever is below may be the good copy."""
    content = with_content(versions)
    key.left_alone(DAMAGED, content[0].info.version)
    for version in content[1:]:
        key.left_alone(UNEXPLAINED, version.info.version)
    return _Settled(content[0].info, None, key.matcher.tally(), versions)


def _replace(key: _Key, old: ObjectInfo, tally: Tally, *, hidden: bool) -> tuple[ObjectInfo, WindowFacts]:
    """Puts the window without its matches. `hidden`: under a delete marker, where there is no etag to match."""
    sweep, store = key.sweep, key.sweep.run.store
    entry = _noted(key, tally)
    with rewritten(store, old, key.expected, key.matcher, entry, sweep.spool) as (facts, spool):
        done, body = spool.finish(facts)
        if done.count != tally.records - tally.dropped:
            raise DamagedArchive(f"{key.key}: two readings of one version gave different records")
        metadata = done.to_object_metadata()
        if hidden:
            return store.put_if_absent(key.key, body, metadata), done
        return store.put_if_match(key.key, body, old.etag, metadata), done


def _noted(key: _Key, tally: Tally) -> Redaction:
    """The entry for the new header, and a note of the counts that the header has no room for: after a crash behind the
    put they could not be counted again. Of two notes in one millisecond the second moves on."""
    run, at = key.sweep.run, key.sweep.now_ms()
    note = {"dropped": tally.dropped, "matched": [count.matched for count in tally.places]}
    while run.write_once(note, *_note(key, at)) != note:
        at += 1
    return Redaction(run.run_id, tally.dropped, 0, 0, at)


def _note(key: _Key, at_ms: int) -> tuple[str, str]:
    return "scans", f"{key.line:07d}-{at_ms:013d}.json"


def _purge(key: _Key, newest: ObjectInfo, facts: WindowFacts, versions: list[ObjectVersion]) -> None:
    """Deletes what is older than the newest window and explained by it. Markers on top of it stay."""
    older = versions[[version.info.version for version in versions].index(newest.version) + 1 :]
    matchers = _matchers(key, facts) if with_content(older) else []
    for version in older:
        info = version.info
        if version.marker or is_explained(key.sweep.run.store, info, key.expected, facts, matchers):
            _delete(key, info)
        else:
            key.left_alone(UNEXPLAINED, info.version)


def _matchers(key: _Key, facts: WindowFacts) -> list[Matcher]:
    """Of this sweep and of every other that the window says it was redacted by."""
    others = dict.fromkeys(entry.sweep for entry in facts.redactions if entry.sweep != key.sweep.run.run_id)
    found = (key.sweep.sweeps.earlier_matcher(sweep, key.expected.partition.topic) for sweep in others)
    return [key.matcher, *(matcher for matcher in found if matcher is not None)]


def _delete(key: _Key, info: ObjectInfo) -> None:
    try:
        key.sweep.run.store.delete_version(key.key, info.version)
    except (StorageError, WrongUsage) as error:  # a lock or a missing permission; a store that is busy is TryAgain
        key.left_alone(REFUSED, info.version, reason=str(error.args[0]))


def _is_newest(info: ObjectInfo, versions: list[ObjectVersion]) -> bool:
    content = with_content(versions)
    return bool(content) and (content[0].info.version, content[0].info.etag) == (info.version, info.etag)


def _at_rest(key: _Key, settled: _Settled) -> _Settled | None:
    """The same if only the window and what was left alone remain."""
    left = {exception["version"] for exception in key.exceptions}
    remaining = with_content(settled.versions)
    only = all(version.info.version in left for version in remaining[1:])
    return settled if only and _is_newest(settled.info, settled.versions) else None


def _result(key: _Key, settled: _Settled, rounds: int) -> Json:
    tally, facts = settled.tally, settled.facts
    dropped = _dropped(key, facts, tally.places) if facts else 0
    places = [asdict(count) for count in tally.places]
    remaining = {_named(version.info.version) for version in settled.versions}
    return {
        "key": key.key,
        "version": settled.info.version,
        "digest": facts.digest if facts else "",
        "records_in": facts.count + dropped if facts else 0,
        "dropped": dropped,
        "tombstoned": 0,
        "masked": 0,
        "undecodable": tally.undecodable,
        "absent": tally.absent,
        "places": places,
        "rounds": rounds,
        "versions_purged": len({_named(version) for version in key.planned} - remaining),
        "hidden": bool(settled.versions) and settled.versions[0].marker,
        "exceptions": key.exceptions,
    }


def _skipped(key: _Key) -> Json:
    """Of a part that the plan found to hold no subject, by the bucket in its name: nobody looked at it."""
    (version,) = key.planned
    info = ObjectInfo(key.key, 0, "", version)
    return _result(key, _Settled(info, None, key.matcher.tally(), [ObjectVersion(info, latest=True)]), 0)


def _named(version: str) -> str:
    """S3 calls the version of an object from before versioning "null" once another is on top of it."""
    return version or "null"


def _dropped(key: _Key, facts: WindowFacts, places: list[PlaceCount]) -> int:
    """Records that this run took out of the window, now or in a try that died; sets `matched` of the places to them."""
    for count in places:
        count.matched = 0
    dropped = 0
    for entry in (entry for entry in facts.redactions if entry.sweep == key.sweep.run.run_id):
        note = key.sweep.run.find(*_note(key, entry.at))
        if note is None:
            key.left_alone(UNEXPLAINED_ENTRY, "")
            continue
        dropped += note["dropped"]
        for count, matched in zip(places, note["matched"], strict=True):
            count.matched += matched
    return dropped
