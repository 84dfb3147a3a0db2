"""What must hold of an archive beside the lives of its topic, at any moment and once all is read."""

from __future__ import annotations

from millpond.backup.commits import CommitNote
from millpond.kafka.admin import Commit
from millpond.records import Record
from tests.unit.backup.model_archive import Reader, View, revived_without
from tests.unit.backup.model_log import Life


class Checks:
    """Remembers what was archived and what was taken away."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.lives: list[Life] = []
        self._kept: dict[str, dict[int, Record]] = {}
        self._deleted: dict[str, set[int]] = {}

    def begin(self, life: Life) -> None:
        self.lives.append(life)
        self._kept[life.topic_id], self._deleted[life.topic_id] = {}, set()

    def keys(self) -> list[str]:
        """Of all windows and markers whose loss a listing can show, those of a later life behind."""
        found = []
        for life in self.lives:
            folder = self._reader.view(life.topic_id).folder
            for key, first, last in self._names(life):
                marker = (first, last) if key.endswith(".gap") else None
                found += [] if revived_without(folder, key, marker) else [key]
        return found

    def _names(self, life: Life) -> list[tuple[str, int, int]]:
        listing = self._reader.listing(life.topic_id)
        windows = [(one.info.key, one.name.first, one.name.last) for one in listing.windows]
        gaps = [(self._reader.key_of(listing.partition, gap), gap.first, gap.last) for gap in listing.gaps]
        return sorted(windows + gaps)

    def lose(self, key: str) -> None:
        """The object is about to be deleted behind the backup's back."""
        for life in self.lives:
            for one, first, last in self._names(life):
                if one == key:
                    self._deleted[life.topic_id] |= set(range(first, last + 1))

    def lost(self) -> None:
        for life in self.lives:
            self._kept[life.topic_id] = self._reader.view(life.topic_id).records

    def events(self, kind: str) -> list[dict[str, object]]:
        """Of the present life."""
        return self._reader.events(self.lives[-1].topic_id, kind)

    def serials(self) -> dict[int, bytes | None]:
        """What is archived of the present life: the serial number at each offset."""
        records = self._reader.view(self.lives[-1].topic_id).records
        return {offset: record.headers[0][1] for offset, record in records.items()}

    # -- at any moment

    def hold(self) -> None:
        for life in self.lives:
            view = self._reader.view(life.topic_id)
            self._read_alike(life, view)
            self._of_this_life(life, view)
            self._nothing_lost(life, view)
            unexplained = set(view.folder.holes()) - self._deleted[life.topic_id]
            assert not unexplained, f"{life.topic_id}: nobody deleted {sorted(unexplained)}"

    def _read_alike(self, life: Life, view: View) -> None:
        """The product's listing and reading come to what the page says."""
        listing = self._reader.listing(life.topic_id)
        told = {o for span in listing.covered() for o in range(span.first, span.last + 1)}
        assert told == {offset for offset in range(view.folder.end) if view.folder.covers(offset)}
        restored = self._reader.restored(life.topic_id)
        assert restored == [view.records[offset] for offset in sorted(view.records)]

    def _of_this_life(self, life: Life, view: View) -> None:
        undecided = self._undecided(life)
        for held, records in view.windows:
            foreign = [r for r in records if (held.epoch, r) not in life.written and r.offset not in undecided]
            assert not foreign, f"{held.key} holds what was never in it: {foreign}"

    def _undecided(self, life: Life) -> set[int]:
        told = [one["undecided"] for one in self._reader.events(life.topic_id, "recreated") if "undecided" in one]
        return {o for first, last in told for o in range(first, last + 1)}

    def _nothing_lost(self, life: Life, view: View) -> None:
        """What is archived stays archived, as long as its branch lives and nobody deletes it."""
        kept = self._kept[life.topic_id]
        alive = {o: r for o, r in kept.items() if o in life.branch and life.branch[o].record == r}
        gone = {o for o, record in alive.items() if view.records.get(o) != record}
        assert not gone, f"{life.topic_id}: no longer read: {sorted(gone)}"
        self._kept[life.topic_id] = view.records

    def commit(self, commit: Commit) -> None:
        """Told before it counts: what it names is there, and the listing reaches as far."""
        told = CommitNote.parse(commit.metadata)
        end = self._reader.view(told.topic_id).folder.end
        assert commit.offset <= end, f"committed {commit.offset}, the archive ends at {end}"

    # -- once all is read

    def rest(self, life: Life) -> None:
        view, readable = self._reader.view(life.topic_id), life.readable()
        unread = {o for o, record in readable.items() if view.records.get(o) != record}
        assert not unread, f"not in the archive as Kafka has it: {sorted(unread)}"
        for offset, record in view.records.items():
            if offset not in readable:
                self._was_readable(life, view, record)
        self._each_is_explained(life, view)

    def _was_readable(self, life: Life, view: View, record: Record) -> None:
        """Why a record is archived that Kafka does not give."""
        entry = life.branch.get(record.offset)
        if entry is None or entry.record != record:
            epoch = max(held.epoch for held, found in view.windows if record in found)
            assert self._may_stand(life, epoch, record.offset), f"{record} is of a dead branch"
        else:
            assert life.compacted or record.offset < life.start, f"{record} should still be in Kafka"

    def _may_stand(self, life: Life, epoch: int, offset: int) -> bool:
        """A branch is dead only from the first window of the next one on, so of that nothing may be there to read, nor
        behind the point where they were seen to part be it only that there is no record."""
        assert life.parted is not None and life.parted <= offset
        if life.compacted or offset < life.start:
            return True
        points = [one["branch_point"] for one in self._reader.events(life.topic_id, "truncated")]
        told = min(points, default=offset + 1) <= offset  # type: ignore[type-var, operator]
        # While it fills a hole that ends where the log was cut, a writer has no reason to compare the two yet.
        assert told or self._deleted[life.topic_id], f"no event tells why {offset} is of a dead branch"
        parted = max((point for point in points if point <= offset), default=0)  # type: ignore[type-var, operator]
        behind = [entry for at, entry in life.log.items() if parted <= at < life.stable_end]  # type: ignore[operator]
        if self._deleted[life.topic_id]:  # with it the epochs that a range without records goes by
            behind = []
        return not any(entry.epoch > epoch for entry in (*life.visible(life.start, life.end), *behind))

    def _each_is_explained(self, life: Life, view: View) -> None:
        told = [span for one in self._reader.events(life.topic_id, "missing") for span in one["missing"]]  # type: ignore[attr-defined]
        missing = {o for first, last in told for o in range(first, last + 1)}
        for offset in range(life.stable_end):
            if offset in view.records:
                continue
            reasons = {"window"} if view.in_window(offset) else view.reasons(offset)
            if not reasons:
                assert offset < life.start and offset in missing, f"nothing explains {offset}"
            elif reasons == {"retention"}:
                assert offset < life.start, f"{offset} is said to be gone from Kafka"
            else:
                # What a new branch had there and retention took before anybody read it, nobody can know.
                unknown = life.parted is not None and life.parted <= offset < life.start
                lost = offset in life.branch and not life.compacted and not unknown
                assert not lost, f"{offset} was readable once, and {reasons} says that it was not"
