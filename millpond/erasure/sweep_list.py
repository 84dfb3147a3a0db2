"""The list of a window's parts: swept after them, so that it states them as they are now.

Salts and digests of a part that was rewritten must not stay in the list: together with the records that everybody may
know they would confirm a guess about the one that was erased. Older versions of the list go for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from millpond.archive.documents import Json
from millpond.archive.facts import WindowFacts
from millpond.archive.keys import Layout
from millpond.archive.parts import PartsDocument, document_of, part_keys, read_document
from millpond.archive.window import open_window
from millpond.erasure.match import Tally
from millpond.erasure.rewrite import Expected
from millpond.erasure.sweep_state import DAMAGED, REFUSED, ROUNDS, UNEXPLAINED, Sweep
from millpond.erasure.versions import versions_of, with_content
from millpond.errors import DamagedArchive, TryAgain, WrongUsage
from millpond.storage.contract import AlreadyThere, Changed, NoSuchObject, ObjectInfo, ObjectVersion, StorageError

SweepPart = Callable[[Sweep, int, Json], Json]


@dataclass(slots=True)
class _List:
    """One line of the plan while it is worked on.

    Attributes:
        digests: Of the parts that were looked at, as their sweeps left them, by key.
    """

    sweep: Sweep
    key: str
    expected: Expected
    digests: dict[str, str]
    exceptions: list[Json] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return self.sweep.run.layout

    def versions(self) -> list[ObjectVersion]:
        return versions_of(self.sweep.run.store, self.key)

    def left_alone(self, kind: str, version: str, **more: str) -> None:
        self.exceptions.append({"kind": kind, "version": version, **more})

    def read(self, info: ObjectInfo) -> PartsDocument:
        expected = self.expected
        store, name = self.sweep.run.store, expected.name
        return read_document(store, self.layout, expected.partition, name, info, expected.archive_id)


def sweep_list(sweep: Sweep, content: Json, expected: Expected, tally: Tally, sweep_part: SweepPart) -> Json:
    """Does the line of a list of parts, and those of its parts that have no result yet; returns its result.

    Raises:
        TryAgain: The key, or that of a part, kept changing.
        MillpondError: The store refused something other than a delete.
    """
    digests = {part["key"]: _part_result(sweep, part, sweep_part)["digest"] for part in content["parts"]}
    listed = _List(sweep, content["key"], expected, digests)
    for rounds in range(1, ROUNDS + 1):
        listed.exceptions.clear()
        try:
            versions = _round(listed)
        except (Changed, NoSuchObject, AlreadyThere):
            continue  # somebody replaced or deleted it meanwhile: look again
        if versions is not None:
            return _result(listed, content, versions, tally, rounds)
    raise TryAgain(f"{listed.key} changed in each of {ROUNDS} rounds of redaction", hint="is another run redacting it?")


def _part_result(sweep: Sweep, part: Json, sweep_part: SweepPart) -> Json:
    """Another worker may have the part's line: then both do it, which does no harm."""
    line = part["line"]
    if (found := sweep.run.result(line)) is None:
        found = sweep_part(sweep, line, part)
        sweep.run.write_result(line, found)
    return found


def _round(listed: _List) -> list[ObjectVersion] | None:
    """Replaces and purges once; the versions that remain, or None where the key is not at rest."""
    versions = listed.versions()
    content = with_content(versions)
    if not content:
        return versions
    newest = content[0].info
    try:
        document = listed.read(newest)
        changed = _changed(listed, document)
    except DamagedArchive:  # its text may quote what somebody else wrote
        listed.left_alone(DAMAGED, newest.version)
        for version in content[1:]:
            listed.left_alone(UNEXPLAINED, version.info.version)
        return versions
    if changed is not None:
        newest, document = _replace(listed, newest, changed, hidden=versions[0].marker), changed
        versions = listed.versions()
    _purge(listed, newest, document, versions)
    return _at_rest(listed, newest, listed.versions())


def _changed(listed: _List, document: PartsDocument) -> PartsDocument | None:
    """The list of the parts as they are now; None where the one that is there states them so.

    Raises:
        DamagedArchive: A part is not there, or has no header of one.
    """
    keys = part_keys(listed.layout, listed.expected.partition, document)
    stated = dict(zip(keys, (part.digest for part in document.parts), strict=True))
    if all(listed.digests.get(key, "") in ("", digest) for key, digest in stated.items()):
        return None
    found = [(part.key, _facts(listed, key)) for part, key in zip(document.parts, keys, strict=True)]
    return document_of(document.facts, document.partition_by, found)


def _facts(listed: _List, key: str) -> WindowFacts:
    try:
        with listed.sweep.run.store.open(key) as stream:
            return open_window(stream).facts
    except NoSuchObject:
        raise DamagedArchive("a part that it lists is missing") from None
    except DamagedArchive:  # its text may quote a header, which somebody else may have written
        raise DamagedArchive("a part that it lists has no header of one") from None


def _replace(listed: _List, old: ObjectInfo, document: PartsDocument, *, hidden: bool) -> ObjectInfo:
    store, metadata = listed.sweep.run.store, document.facts.to_object_metadata()
    if hidden:  # under a delete marker there is no etag to match
        return store.put_if_absent(listed.key, document.body(), metadata)
    return store.put_if_match(listed.key, document.body(), old.etag, metadata)


def _purge(listed: _List, newest: ObjectInfo, document: PartsDocument, versions: list[ObjectVersion]) -> None:
    """Deletes older lists of the same parts. Markers on top of the newest stay."""
    names = [version.info.version for version in versions]
    if newest.version not in names:
        return
    for version in versions[names.index(newest.version) + 1 :]:
        if version.marker or _lists_the_same(listed, version.info, document):
            _delete(listed, version.info)
        else:
            listed.left_alone(UNEXPLAINED, version.info.version)


def _lists_the_same(listed: _List, info: ObjectInfo, newest: PartsDocument) -> bool:
    try:
        older = listed.read(info)
    except DamagedArchive:
        return False
    return [part.key for part in older.parts] == [part.key for part in newest.parts]


def _delete(listed: _List, info: ObjectInfo) -> None:
    try:
        listed.sweep.run.store.delete_version(listed.key, info.version)
    except (StorageError, WrongUsage) as error:  # a lock or a missing permission; a store that is busy is TryAgain
        listed.left_alone(REFUSED, info.version, reason=str(error.args[0]))


def _at_rest(listed: _List, newest: ObjectInfo, versions: list[ObjectVersion]) -> list[ObjectVersion] | None:
    """The versions if only the list and what was left alone remain."""
    left = {exception["version"] for exception in listed.exceptions}
    content = with_content(versions)
    if not content or (content[0].info.version, content[0].info.etag) != (newest.version, newest.etag):
        return None
    return versions if all(version.info.version in left for version in content[1:]) else None


def _result(listed: _List, content: Json, versions: list[ObjectVersion], tally: Tally, rounds: int) -> Json:
    """In the form of a window's result; the records are counted with the parts."""
    there = with_content(versions)
    newest = there[0].info if there else ObjectInfo(listed.key, 0, "")
    found = listed.sweep.run.store.head(listed.key) if there and not newest.version else None
    remaining = {version.info.version or "null" for version in versions}
    planned = {version or "null" for version in content["versions"]}
    return {
        "key": listed.key,
        "version": newest.version,
        "digest": found.metadata.get("millpond-digest", "") if found else "",
        "records_in": 0,
        "dropped": 0,
        "tombstoned": 0,
        "masked": 0,
        "undecodable": 0,
        "absent": 0,
        "places": [asdict(count) for count in tally.places],
        "rounds": rounds,
        "versions_purged": len(planned - remaining),
        "hidden": bool(versions) and versions[0].marker,
        "exceptions": listed.exceptions,
    }
