"""The digest of a window: a keyed hash over its records alone, so that it does not depend on blocks, codec or library.

The key is the window's own salt: a stored digest cannot confirm a guess about a record that was erased later.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from millpond.archive.schema import TimestampType

SALT_BYTES = 16


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


class Digest:
    """Fed with canonical encodings in offset order, in pieces of any size."""

    def __init__(self, salt: bytes, timestamp_type: TimestampType) -> None:
        self._mac = hmac.new(salt, timestamp_type.value.encode() + b"\0", hashlib.sha256)
        self.update = self._mac.update

    def hex(self) -> str:
        return self._mac.hexdigest()


def digest_of(encoded: Iterable[bytes], *, salt: bytes, timestamp_type: TimestampType) -> str:
    """The digest of these canonical encodings, in hex."""
    digest = Digest(salt, timestamp_type)
    for piece in encoded:
        digest.update(piece)
    return digest.hex()
