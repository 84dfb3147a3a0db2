"""Fills a topic: BOOTSTRAP TOPIC VALUE_BYTES RECORDS. Keys of a million customers, two headers, unique values.

A value is JSON with a text of random words, cut out of 32 MB at random places: about half-compressible, and no two
alike.
"""

from __future__ import annotations

import random
import sys

from tests.bench.programs.clients import Output, tell

_TEXT_BYTES = 32 << 20
_WORDS = 3000
_CUSTOMERS = 1_000_000
_FIRST_MS = 1_767_225_600_000


def text(chance: random.Random, size_bytes: int) -> str:
    """Words of 3 to 10 letters, frequent ones and rare ones."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(3, 10))) for _ in range(_WORDS)]
    frequencies = [(rank + 1) ** 0.5 - rank**0.5 for rank in range(_WORDS)]
    return " ".join(chance.choices(words, frequencies, k=size_bytes // 7))


def value(chance: random.Random, customer: int, words: str, size: int) -> bytes:
    """One document of `size` bytes."""
    number, amount = chance.getrandbits(64), chance.random() * 1000
    head = f'{{"id":"{number:016x}","customer":"{customer:08d}","amount":{amount:.2f},"text":"'
    start = int(chance.random() * (len(words) - size))
    return f'{head}{words[start : start + max(0, size - len(head) - 2)]}"}}'.encode()


def main(bootstrap: str, topic: str, value_bytes: int, records: int) -> None:
    chance = random.Random(f"millpond {value_bytes}")
    words = text(chance, _TEXT_BYTES if records > 1000 else 1 << 20)
    output, source_bytes = Output(bootstrap), 0
    for number in range(records):
        customer = int(chance.random() * _CUSTOMERS)
        content = value(chance, customer, words, value_bytes)
        key = b"customer-%08d" % customer
        headers = [("trace-id", b"%016x" % number), ("content-type", b"application/json")]
        # One record in each partition at least, so that the smallest topic has no empty one.
        partition = number if number < 12 else customer % 12
        source_bytes += len(key) + len(content) + sum(len(name) + len(text) for name, text in headers)
        while True:
            try:
                output.produce(topic, content, key, partition, None, None, _FIRST_MS + number * 3, headers)
                break
            except BufferError:
                output.poll(0.01)
    output.finish()
    tell(records=records, source_bytes=source_bytes)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
