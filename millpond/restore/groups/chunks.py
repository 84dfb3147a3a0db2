"""The offset map of a restored partition as a sequence that is read where somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from millpond.archive.documents import Json
from millpond.archive.runs import Run
from millpond.errors import DamagedArchive
from millpond.kafka.places import Place
from millpond.restore.groups.translate import Stretch
from millpond.restore.writing.offset_map import runs_in
from millpond.storage.contract import ObjectInfo


class Chunks(Sequence[Stretch]):
    """The chunks of a partition's offset map, by base; each is read when it is asked for."""

    def __init__(self, run: Run, place: Place) -> None:
        self._run = run
        prefix = run.key("offset-map", place[0], str(place[1]), "")
        self._folder = ("offset-map", place[0], str(place[1]))
        self._names = [info.key.removeprefix(prefix) for info in run.store.list(prefix) if isinstance(info, ObjectInfo)]
        self._read: dict[int, Stretch] = {}

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, number: int) -> Stretch: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Stretch]: ...
    def __getitem__(self, number: int | slice) -> Stretch | Sequence[Stretch]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if number not in self._read:
            name = self._names[number]
            self._read[number] = _stretch(self._run.find(*self._folder, name), self._run.key(*self._folder, name))
        return self._read[number]


def _stretch(found: Json | None, key: str) -> Stretch:
    try:
        runs = tuple((first, count) for first, count in runs_in((found or {})["source"]))
        if runs:
            return Stretch(int((found or {})["base"]), runs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedArchive(f"{key} is no chunk of an offset map") from error
    raise DamagedArchive(f"{key} is a chunk of an offset map without records")
