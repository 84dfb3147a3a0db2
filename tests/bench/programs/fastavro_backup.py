"""The straightforward backup: BOOTSTRAP TOPIC BUCKET PREFIX. Dicts to fastavro with its default deflate, one file for
each partition, put at the end."""

from __future__ import annotations

import io
import sys
from typing import Any

from confluent_kafka import Message
from fastavro import parse_schema
from fastavro.write import Writer

from millpond.archive.schema import SCHEMA
from tests.bench.programs.clients import batches, s3, tell


def record(message: Message) -> dict[str, Any]:
    return {
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "key": message.key(),
        "value": message.value(),
        "headers": [{"key": name.encode(), "value": content} for name, content in message.headers() or ()],
    }


def main(bootstrap: str, topic: str, bucket: str, prefix: str) -> None:
    schema, files, writers, count = parse_schema(SCHEMA), {}, {}, 0
    for messages in batches(bootstrap, topic):
        for message in messages:
            number = message.partition()
            if number not in writers:
                files[number] = io.BytesIO()
                writers[number] = Writer(files[number], schema, codec="deflate")
            writers[number].write(record(message))
            count += 1
    client = s3()
    for number, writer in writers.items():
        writer.flush()
        files[number].seek(0)
        client.put_object(Bucket=bucket, Key=f"{prefix}/{number:05d}.avro", Body=files[number])
    tell(records=count)


if __name__ == "__main__":
    main(*sys.argv[1:])
