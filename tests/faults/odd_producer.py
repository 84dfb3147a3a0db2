"""Records that the Python client cannot make: header names that are any bytes, timestamps of 0.

The first go through the C interface of the librdkafka that the client's wheel holds, the others over the wire.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import confluent_kafka

from millpond.archive.encode import encode_long
from tests.integration.kafka_requests import produce_batch

# librdkafka's rd_kafka_vtype_t
_TOPIC, _PARTITION, _VALUE, _MSGFLAGS, _HEADERS, _END = 1, 3, 4, 7, 10, 0
_PRODUCER, _COPY = 0, 2


@cache
def _library() -> ctypes.CDLL:
    (found,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*.so*")
    library = ctypes.CDLL(str(found))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def produce_with_header(bootstrap: str, topic: str, names: Sequence[bytes], *, partition: int = 0) -> None:
    """One record for each name, with one header of that name; its value is the name, too."""
    library, error = _library(), ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    assert library.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap.encode(), error, 512) == 0, error.value
    assert library.rd_kafka_conf_set(conf, b"linger.ms", b"0", error, 512) == 0, error.value
    producer = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, conf, error, 512))
    assert producer, error.value
    try:
        for name in names:
            _send(library, producer, topic, partition, name)
        assert library.rd_kafka_flush(producer, 30_000) == 0
    finally:
        library.rd_kafka_destroy(producer)


def _send(library: ctypes.CDLL, producer: ctypes.c_void_p, topic: str, partition: int, name: bytes) -> None:
    headers = ctypes.c_void_p(library.rd_kafka_headers_new(1))
    size = ctypes.c_ssize_t(len(name))
    assert library.rd_kafka_header_add(headers, name, size, b"v", ctypes.c_ssize_t(1)) == 0
    number, end = ctypes.c_int, ctypes.c_int(_END)
    told = [
        *(number(_TOPIC), ctypes.c_char_p(topic.encode())),
        *(number(_PARTITION), ctypes.c_int32(partition)),
        *(number(_MSGFLAGS), number(_COPY)),
        *(number(_VALUE), ctypes.c_char_p(name), ctypes.c_size_t(len(name))),
        *(number(_HEADERS), headers),
    ]
    assert library.rd_kafka_producev(producer, *told, end) == 0


def produce_stamps(bootstrap: str, topic: str, stamps: Sequence[int]) -> None:
    """One record for each timestamp, 0 among them, in one batch; its value is the timestamp, too."""
    produce_batch(bootstrap, topic, record_batch([(stamp, b"%d" % stamp) for stamp in stamps]))


def record_batch(records: Sequence[tuple[int, bytes]]) -> bytes:
    """Timestamps and values, in Kafka's message format 2."""
    base, last = records[0][0], len(records) - 1
    body = b"".join(_record(number, stamp - base, value) for number, (stamp, value) in enumerate(records))
    latest = max(stamp for stamp, _ in records)
    facts = struct.pack(">hiqqqhii", 0, last, base, latest, -1, -1, -1, len(records)) + body
    return struct.pack(">qiibI", 0, 9 + len(facts), -1, 2, _crc32c(facts)) + facts


def _record(number: int, delta_ms: int, value: bytes) -> bytes:
    sized = encode_long(len(value)) + value
    content = b"\0" + encode_long(delta_ms) + encode_long(number) + encode_long(-1) + sized + encode_long(0)
    return encode_long(len(content)) + content


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
