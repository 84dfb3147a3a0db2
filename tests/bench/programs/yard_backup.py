"""The yardstick of a backup: BOOTSTRAP TOPIC BUCKET PREFIX. One process that reads, encodes by tables, compresses with
zstd 1 in blocks of 256 KiB and puts 64 MiB at a time. No commits, no digests, no resume, no limit on memory."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any

from confluent_kafka import Message

from millpond.archive.schema import SCHEMA_JSON
from tests.bench.programs.clients import batches, s3, tell
from tests.bench.programs.yard_encode import encode, long

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES, OBJECT_BYTES = 256 << 10, 64 << 20
SYNC = bytes(range(16))


def text(content: bytes) -> bytes:
    return long(len(content)) + content


PAIRS = ((b"avro.schema", SCHEMA_JSON), (b"avro.codec", b"zstandard"))
HEADER = b"Obj\x01\x04" + b"".join(text(name) + text(content) for name, content in PAIRS) + b"\0" + SYNC


class Out:
    """One partition: the open block and the object that it goes to."""

    def __init__(self, upload: Any, name: str) -> None:
        self._upload, self._name, self._number = upload, name, 0
        self._parts: list[bytes] = []
        self._count, self._size, self._object, self._stored = 0, 0, [HEADER], 0

    def add(self, count: int, encoded: bytes) -> None:
        self._parts.append(encoded)
        self._count += count
        self._size += len(encoded)
        if self._size >= BLOCK_BYTES:
            self.cut()

    def cut(self) -> None:
        if self._count:
            data = zstd.compress(b"".join(self._parts), level=1)
            self._object += [long(self._count), long(len(data)), data, SYNC]
            self._stored += len(data)
        self._parts, self._count, self._size = [], 0, 0
        if self._stored >= OBJECT_BYTES:
            self.put()

    def put(self) -> None:
        if self._stored:
            self._upload(f"{self._name}/{self._number:05d}.avro", b"".join(self._object))
        self._object, self._stored, self._number = [HEADER], 0, self._number + 1


def main(bootstrap: str, topic: str, bucket: str, prefix: str) -> None:
    client, outs, count = s3(), {}, 0
    puts: list[Future[Any]] = []
    gc.freeze()
    gc.disable()
    with ThreadPoolExecutor(2) as pool:

        def upload(key: str, body: bytes) -> None:
            puts.append(pool.submit(client.put_object, Bucket=bucket, Key=key, Body=body))

        for messages in batches(bootstrap, topic):
            for number, run in groupby(messages, Message.partition):
                together = list(run)
                if number not in outs:
                    outs[number] = Out(upload, f"{prefix}/{number:05d}")
                outs[number].add(len(together), encode(together))
                count += len(together)
        for out in outs.values():
            out.cut()
            out.put()
        for put in puts:
            put.result()
    tell(records=count)


if __name__ == "__main__":
    main(*sys.argv[1:])
