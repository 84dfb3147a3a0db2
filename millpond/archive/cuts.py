"""Cuts: how far all topics reached at one moment, and where all groups stood then, under a name that is given once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from millpond.archive.documents import Json, parse_object
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.storage.contract import AlreadyThere, NoSuchObject, ObjectInfo, ObjectStore, read

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}"
_NAME = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class CutEnd:
    """How far one partition reached.

    Attributes:
        offset: The last stable offset: everything before it belongs to the cut.
        leader_epoch: The leader's when it was read, -1 if unknown. Records of a higher one were written later.
    """

    partition: int
    offset: int
    leader_epoch: int


@dataclass(frozen=True, slots=True)
class CutTopic:
    """One life of a topic in a cut.

    Attributes:
        topic_id: 22 URL-safe base64 characters.
        partitions: In order. Those that could not be read are absent.
    """

    topic: str
    topic_id: str
    partitions: tuple[CutEnd, ...]


@dataclass(frozen=True, slots=True)
class CutFailure:
    """What could not be read; everything else of the cut counts.

    Attributes:
        part: topic or end.
        code: Kafka's name of the error, or the client's, which begins with an underscore.
        partition: -1 where it is about the whole topic.
    """

    part: str
    code: str
    topic: str
    partition: int = -1


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut holds.

    Attributes:
        at: Epoch ms, after the last end was read.
        groups: Key of the snapshot of groups below the archive's prefix; it was taken before the first end was read.
        topics: By name.
    """

    name: str
    at: int
    archive_id: str
    cluster_id: str
    groups: str
    topics: tuple[CutTopic, ...]
    failed: tuple[CutFailure, ...] = ()

    def ends(self) -> Mapping[PartitionId, CutEnd]:
        """The end of each partition that was read."""
        return {
            PartitionId(Incarnation(topic.topic, topic.topic_id), end.partition): end
            for topic in self.topics
            for end in topic.partitions
        }


def refuse_taken(store: ObjectStore, layout: Layout, name: str) -> None:
    """`RefusedForSafety` where a cut has this name, `WrongUsage` where none can have it."""
    if store.head(_key(layout, name)) is not None:
        raise _taken(name)


def write_cut(store: ObjectStore, layout: Layout, cut: Cut) -> str:
    """Writes the cut and returns its key. `RefusedForSafety` where another has the name."""
    key, body = _key(layout, cut.name), json.dumps(asdict(cut), indent=1).encode()
    try:
        store.put_if_absent(key, body)
    except AlreadyThere as error:
        if read(store, key) != body:  # else this very call stored it, and the answer was lost
            raise _taken(cut.name) from error
    return key


def read_cut(store: ObjectStore, layout: Layout, name: str) -> Cut:
    """The cut of this name.

    Raises:
        WrongUsage: There is none.
        DamagedArchive: Its object is not what was written.
    """
    key = _key(layout, name)
    try:
        content = read(store, key)
    except NoSuchObject as error:
        raise WrongUsage(f"there is no cut {name}", hint="`millpond cut --list` lists them") from error
    cut = _parsed(content, key)
    if cut.name != name:
        raise DamagedArchive(f"{key} is the cut {cut.name}", hint="its object was copied or renamed")
    return cut


def cut_names(store: ObjectStore, layout: Layout) -> Iterator[str]:
    """Names of all cuts, in alphabetical order. What is no cut is passed over."""
    root = layout.under("cuts/")
    for entry in store.list(root):
        name = entry.key.removeprefix(root).removesuffix(".json") if isinstance(entry, ObjectInfo) else ""
        if _NAME.fullmatch(name) and isinstance(entry, ObjectInfo) and entry.key == layout.cut(name):
            yield name


def _key(layout: Layout, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise WrongUsage(
            f"{name[:100]!r} cannot be the name of a cut",
            hint="at most 80 letters, digits, dots, dashes and underscores; a letter or digit first",
        )
    return layout.cut(name)


def _taken(name: str) -> RefusedForSafety:
    return RefusedForSafety(f"there is a cut {name} already", hint="a cut never changes: choose another name")


def _parsed(content: bytes, key: str) -> Cut:
    document = parse_object(content, key)
    try:
        return Cut(
            name=_text(document, "name"),
            at=_number(document, "at"),
            archive_id=_text(document, "archive_id"),
            cluster_id=_text(document, "cluster_id"),
            groups=_text(document, "groups"),
            topics=tuple(map(_topic, document["topics"])),
            failed=tuple(map(_failure, document["failed"])),
        )
    except (KeyError, TypeError) as error:
        raise DamagedArchive(f"{key} is not a cut: a name is missing or has another type") from error


def _topic(found: Json) -> CutTopic:
    ends = (
        CutEnd(_number(end, "partition"), _number(end, "offset"), _number(end, "leader_epoch"))
        for end in found["partitions"]
    )
    return CutTopic(_text(found, "topic"), _text(found, "topic_id"), tuple(ends))


def _failure(found: Json) -> CutFailure:
    return CutFailure(_text(found, "part"), _text(found, "code"), _text(found, "topic"), _number(found, "partition"))


def _text(found: Json, name: str) -> str:
    if not isinstance(found[name], str):
        raise TypeError(name)
    return str(found[name])


def _number(found: Json, name: str) -> int:
    if type(found[name]) is not int:
        raise TypeError(name)
    return int(found[name])
