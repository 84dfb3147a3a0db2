"""The open window of a partition. The consumer's thread encodes; one writer thread compresses, hashes and spools."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import Message

from millpond.archive.codecs import Codec
from millpond.archive.digest import new_salt
from millpond.archive.encode import encode_messages
from millpond.archive.schema import TimestampType
from millpond.archive.window import WindowSpool

JITTER = 0.2
_BLOCKS_AHEAD = 32


class BlockWriter:
    """Compresses and spools blocks in the order they come, on one thread. Callers wait when it falls behind."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="blocks")
        self._slots = threading.BoundedSemaphore(_BLOCKS_AHEAD)

    def submit(self, spool: WindowSpool, count: int, encoded: bytes) -> Future[None]:
        self._slots.acquire()
        future = self._pool.submit(spool.add, count, encoded)
        future.add_done_callback(lambda _: self._slots.release())
        return future

    def run(self, action: Callable[[], None]) -> None:
        """Something to do behind all blocks submitted before it."""
        self._pool.submit(action)

    def close(self) -> None:
        self._pool.shutdown()


class OpenWindow:
    """Records of one partition that share a leader epoch and a timestamp type, from one position on.

    Attributes:
        first: The position it started at.
        opened_at: Monotonic seconds.
    """

    def __init__(
        self,
        path: Path,
        writer: BlockWriter,
        *,
        codec: Codec,
        block_bytes: int,
        first: int,
        epoch: int,
        timestamp_type: TimestampType,
        opened_at: float,
    ) -> None:
        self.first, self.epoch, self.timestamp_type, self.opened_at = first, epoch, timestamp_type, opened_at
        self.count, self.min_timestamp, self.max_timestamp = 0, 0, 0
        self.jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # spreads closing times; no secret
        self.spool = WindowSpool(path, codec=codec, salt=new_salt(), timestamp_type=timestamp_type)
        self._writer, self._block_bytes = writer, block_bytes
        self._parts: list[bytes] = []
        self._part_bytes, self._part_count = 0, 0
        self._blocks: list[Future[None]] = []

    @property
    def stored_bytes(self) -> int:
        """Compressed bytes so far; blocks under way are not in it."""
        return self.spool.stored_bytes

    def append(self, messages: Sequence[Message], stamps: Sequence[int]) -> None:
        """Records in offset order, with their timestamps (ms)."""
        low, high = min(stamps), max(stamps)
        if self.count:
            low, high = min(low, self.min_timestamp), max(high, self.max_timestamp)
        self.min_timestamp, self.max_timestamp = low, high
        self.count += len(messages)
        encoded = encode_messages(messages, stamps=stamps)
        self._parts.append(encoded)
        self._part_bytes += len(encoded)
        self._part_count += len(messages)
        if self._part_bytes >= self._block_bytes:
            self.cut_block()

    def cut_block(self) -> None:
        """Hands what was appended since the last cut to the writer."""
        if not self._part_count:
            return
        self._blocks = [block for block in self._blocks if not (block.done() and block.exception() is None)]
        self._blocks.append(self._writer.submit(self.spool, self._part_count, b"".join(self._parts)))
        self._parts, self._part_bytes, self._part_count = [], 0, 0

    def wait_written(self) -> None:
        """Until every block is spooled; raises what a block's writing raised, such as a full disk."""
        for block in self._blocks:
            block.result()
        self._blocks = []

    def discard(self) -> None:
        """Forgets the window; Kafka or the store has its records. Blocks under way are dropped with it."""
        for block in self._blocks:
            block.cancel()
        self._writer.run(self.spool.discard)
