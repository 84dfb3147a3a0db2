"""What native/codec.c gives. `encode` and `decode` tell what the functions mean; here is where they differ."""

from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import Message

from millpond.records import Row

def encode_rows(rows: Iterable[Row]) -> bytes: ...
def encode_messages(
    messages: Sequence[Message], offsets: Iterable[int] | None, stamps: Iterable[int] | None, /
) -> bytes: ...
def encode_run(messages: Sequence[Message], /) -> tuple[int, int, int, int, int, int, int, int, bytes] | None:
    """The fields of `encode.MessageRun` in order."""

# None: these bytes are for Python's decoder to judge.
def decode_block(data: bytes, count: int, /) -> list[Row] | None: ...
def decode_keys(data: bytes, count: int, /) -> list[bytes | None] | None: ...
def decode_values(data: bytes, count: int, /) -> list[bytes | None] | None: ...

# `millpond.restore.writing.produce` tells what it means.
def produce_rows(produce: Callable[..., None], topic: str, partition: int, rows: list[Row], start: int, /) -> int: ...
