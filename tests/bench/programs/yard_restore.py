"""The yardstick of a restore: BOOTSTRAP TOPIC BUCKET PREFIX COMPRESSION. One process that reads the backup yardstick's
objects ahead in a thread, decodes and produces. No plan, no resume, no offset map, no proof."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench.programs.clients import Output, keys, s3, tell
from tests.bench.programs.yard_backup import HEADER
from tests.bench.programs.yard_decode import decode, number_at

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def objects(client: Any, bucket: str, prefix: str) -> Iterator[tuple[int, bytes]]:
    """Partition and content of each object, the next one read ahead."""

    def get(key: str) -> tuple[int, bytes]:
        return int(key.split("/")[-2]), client.get_object(Bucket=bucket, Key=key)["Body"].read()

    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for key in keys(client, bucket, f"{prefix}/"):
            ready, ahead = ahead, pool.submit(get, key)
            if ready:
                yield ready.result()
        if ahead:
            yield ahead.result()


def main(bootstrap: str, topic: str, bucket: str, prefix: str, compression: str) -> None:
    client, output, count = s3(), Output(bootstrap, compression), 0
    gc.freeze()
    gc.disable()
    produce, poll = output.produce, output.poll
    for partition, content in objects(client, bucket, prefix):
        at, view = len(HEADER), memoryview(content)
        while at < len(content):
            records, at = number_at(content, at)
            size, at = number_at(content, at)
            for _, stamp, key, value, headers in decode(zstd.decompress(view[at : at + size]), records):
                while True:
                    try:
                        produce(topic, value, key, partition, None, None, stamp, headers)
                        break
                    except BufferError:
                        poll(0.005)
            at += size + 16
            count += records
            poll(0)
    output.finish()
    tell(records=count)


if __name__ == "__main__":
    main(*sys.argv[1:])
