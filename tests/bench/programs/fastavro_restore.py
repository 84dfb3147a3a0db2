"""The straightforward restore: BOOTSTRAP TOPIC BUCKET PREFIX. fastavro.reader, then produce() record by record."""

from __future__ import annotations

import io
import sys

from fastavro import reader

from tests.bench.programs.clients import Output, keys, s3, tell


def main(bootstrap: str, topic: str, bucket: str, prefix: str) -> None:
    client, output, count = s3(), Output(bootstrap), 0
    for key in keys(client, bucket, f"{prefix}/"):
        partition = int(key.rsplit("/", 1)[1].removesuffix(".avro"))
        for record in reader(io.BytesIO(client.get_object(Bucket=bucket, Key=key)["Body"].read())):
            headers = [(header["key"].decode(), header["value"]) for header in record["headers"]]
            while True:
                try:
                    output.produce(
                        topic,
                        value=record["value"],
                        key=record["key"],
                        partition=partition,
                        timestamp=record["timestamp"],
                        headers=headers,
                    )
                    break
                except BufferError:
                    output.poll(0.01)
            output.poll(0)
            count += 1
    output.finish()
    tell(records=count)


if __name__ == "__main__":
    main(*sys.argv[1:])
