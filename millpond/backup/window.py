"""The open window of a partition. The consumer's thread encodes; one writer thread compresses, hashes and spools."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from millpond.archive.codecs import Codec
from millpond.archive.digest import new_salt
from millpond.archive.schema import TimestampType
from millpond.archive.window import WindowSpool

JITTER = 0.2
_BLOCKS_AHEAD = 32


class BlockWriter:
    """Compresses and spools blocks in the order they come, on one thread. Callers wait when it falls behind.

    Attributes:
        failed: Whether a block could not be written since this was last set to False, as on a full disk.
    """

    def __init__(self, block_bytes: int = 256 << 10) -> None:
        self.failed = False
        self._most_ahead = _BLOCKS_AHEAD * block_bytes
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="blocks")
        self._room = threading.Condition()
        self._ahead = 0

    def submit(self, spool: WindowSpool, count: int, encoded: bytes) -> Future[None]:
        size = len(encoded)
        with self._room:
            self._room.wait_for(lambda: self._ahead == 0 or self._ahead + size <= self._most_ahead)
            self._ahead += size
        future = self._pool.submit(spool.add, count, encoded)
        future.add_done_callback(lambda done: self._done(done, size))
        return future

    def _done(self, future: Future[None], size: int) -> None:
        if not future.cancelled() and future.exception() is not None:
            self.failed = True
        with self._room:
            self._ahead -= size
            self._room.notify()

    def run(self, action: Callable[[], None]) -> None:
        """Something to do behind all blocks submitted before it."""
        self._pool.submit(action)

    def close(self) -> None:
        self._pool.shutdown()


class OpenBlocks:
    """All open windows of a process together.

    Attributes:
        size_bytes: Encoded and not yet handed to the writer.
        records, encoded_bytes: Appended since the start.
    """

    def __init__(self) -> None:
        self.size_bytes = self.records = self.encoded_bytes = 0

    def grow(self, records: int, size_bytes: int) -> None:
        self.records += records
        self.encoded_bytes += size_bytes
        self.size_bytes += size_bytes


class OpenWindow:
    """Records of one partition that share a leader epoch and a timestamp type, from one position on; maybe none.

    Attributes:
        first: The position it started at.
        opened_at: Monotonic seconds.
        open_bytes: Of its open block, encoded.
    """

    def __init__(
        self,
        path: Path,
        writer: BlockWriter,
        blocks: OpenBlocks,
        *,
        codec: Codec,
        block_bytes: int,
        first: int,
        epoch: int,
        timestamp_type: TimestampType,
        opened_at: float,
    ) -> None:
        self.first, self.epoch, self.timestamp_type, self.opened_at = first, epoch, timestamp_type, opened_at
        self.count, self.min_timestamp, self.max_timestamp = 0, -1, -1
        self.jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # spreads closing times; no secret
        self.spool = WindowSpool(path, codec=codec, salt=new_salt(), timestamp_type=timestamp_type)
        self.open_bytes = 0
        self._writer, self._all, self._block_bytes = writer, blocks, block_bytes
        self._parts: list[bytes] = []
        self._part_count = 0
        self._written: list[Future[None]] = []

    @property
    def stored_bytes(self) -> int:
        """Compressed bytes so far; blocks under way are not in it."""
        return self.spool.stored_bytes

    @property
    def size_bytes(self) -> int:
        """Encoded bytes so far, before compression."""
        return self.spool.size_bytes + self.open_bytes

    def append(self, encoded: bytes, stamps: Sequence[int]) -> None:
        """Records in offset order in their canonical encoding, with their timestamps (ms)."""
        low, high = min(stamps), max(stamps)
        if self.count:
            low, high = min(low, self.min_timestamp), max(high, self.max_timestamp)
        self.min_timestamp, self.max_timestamp = low, high
        self.count += len(stamps)
        self._parts.append(encoded)
        self.open_bytes += len(encoded)
        self._all.grow(len(stamps), len(encoded))
        self._part_count += len(stamps)
        if self.open_bytes >= self._block_bytes:
            self.cut_block()

    def cut_block(self) -> None:
        """Hands what was appended since the last cut to the writer."""
        if not self._part_count:
            return
        self._written = [block for block in self._written if not (block.done() and block.exception() is None)]
        self._written.append(self._writer.submit(self.spool, self._part_count, b"".join(self._parts)))
        self._forget_open()

    def _forget_open(self) -> None:
        self._all.size_bytes -= self.open_bytes
        self._parts, self.open_bytes, self._part_count = [], 0, 0

    def wait_written(self) -> None:
        """Until every block is spooled; raises what a block's writing raised, such as a full disk."""
        for block in self._written:
            block.result()
        self._written = []

    @property
    def broken(self) -> OSError | None:
        """Why a block could not be spooled."""
        ended = (block.exception() for block in self._written if block.done() and not block.cancelled())
        return next((error for error in ended if isinstance(error, OSError)), None)

    def discard(self) -> None:
        """Forgets the window; Kafka or the store has its records. Blocks under way are dropped with it."""
        self._forget_open()
        for block in self._written:
            block.cancel()
        self._writer.run(self.spool.discard)
