"""Windows of one process, which share a spool folder, a writer and a limit on memory."""

from __future__ import annotations

from millpond.archive.schema import TimestampType
from millpond.backup.options import BackupOptions
from millpond.backup.spool import SpoolFolder
from millpond.backup.window import BlockWriter, OpenBlocks, OpenWindow


class Windows:
    """Opens them.

    Attributes:
        blocks: What is open of them in memory.
    """

    def __init__(self, spool: SpoolFolder, options: BackupOptions) -> None:
        self._spool, self._options = spool, options
        self.writer, self.blocks = BlockWriter(options.block_bytes), OpenBlocks()

    def open(self, first: int, epoch: int, kind: TimestampType, now: float) -> OpenWindow:
        """A window that begins with this offset."""
        return self._open(self.blocks, first, epoch, kind, now)

    def reopen(self, other: OpenWindow) -> OpenWindow:
        """An empty one like another. It is filled by another thread, so its blocks are counted for themselves."""
        return self._open(OpenBlocks(), other.first, other.epoch, other.timestamp_type, other.opened_at)

    def _open(self, blocks: OpenBlocks, first: int, epoch: int, kind: TimestampType, now: float) -> OpenWindow:
        return OpenWindow(
            self._spool.new_path(),
            self.writer,
            blocks,
            codec=self._options.codec,
            block_bytes=self._options.block_bytes,
            first=first,
            epoch=epoch,
            timestamp_type=kind,
            opened_at=now,
        )
