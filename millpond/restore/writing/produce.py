"""Records into a producer's queue. A hot path, compiled where the encoder is."""

from __future__ import annotations

from collections.abc import Callable

from millpond.archive.compiled import codec
from millpond.records import Header, Row

Produce = Callable[..., None]
"""`Producer.produce`, which takes its arguments by position faster than by name."""


def produce_rows(produce: Produce, topic: str, partition: int, rows: list[Row], start: int) -> int:
    """Hands over the records from number `start` on, until the queue is full.

    Returns:
        The number of the first record that found no room; `len(rows)` where all did.

    Raises:
        UnicodeDecodeError: The name of a header is not UTF-8, which the client cannot write. Those before were taken.
    """
    if codec is not None:
        return codec.produce_rows(produce, topic, partition, rows, start)
    for number in range(start, len(rows)):
        _, stamp, key, value, headers = rows[number]
        try:
            produce(topic, value, key, partition, None, None, stamp, texts(headers) if headers else None)
        except BufferError:
            return number
    return len(rows)


def texts(headers: tuple[Header, ...]) -> list[tuple[str, bytes | None]]:
    """Headers as the client takes them: it would write the names' Python notation if they were bytes."""
    return [(name.decode(), value) for name, value in headers]


def unwritable(rows: list[Row]) -> int:
    """The source offset of the first record with a header name that is not UTF-8."""
    for offset, *_, headers in rows:
        try:
            texts(headers)
        except UnicodeDecodeError:
            return offset
    raise ValueError("all names are UTF-8")
