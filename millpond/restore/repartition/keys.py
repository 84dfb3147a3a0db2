"""For functions that place records: keys as what they hold."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import fastavro

_FRAMES = {b"\0": 5, b"\xc3\x01": 10}
"""How schema registries and Avro's single objects begin, and how many bytes stand before the datum."""
# Whatever a decoder meets that was fed with something else.
_AVRO_ERRORS = (ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError, struct.error)


def decoded(key: bytes, schema: Any = None) -> Any:
    """The key as JSON; with a schema, as Avro: framed as schema registries do it, as a single object, or bare.

    Args:
        schema: Of fastavro or as loaded from JSON. It is taken whatever id or fingerprint the frame tells.

    Raises:
        ValueError: It is nothing of the kind. The text holds nothing of the key.
    """
    if schema is None:
        return _from_json(key)
    for start in (*(size for mark, size in _FRAMES.items() if key.startswith(mark)), 0):
        stream = io.BytesIO(key[start:])
        try:
            found = fastavro.schemaless_reader(stream, schema, None)
        except _AVRO_ERRORS:
            continue
        if stream.tell() == len(key) - start:
            return found
    raise ValueError("the key is not Avro of this schema")


def _from_json(key: bytes) -> Any:
    try:
        return json.loads(key)
    except (ValueError, RecursionError):
        raise ValueError("the key is not JSON") from None
