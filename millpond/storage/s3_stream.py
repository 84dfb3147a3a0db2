"""The content of an S3 object as it arrives. A connection that ends early or brings other bytes than were stored is an
error, never a shorter content.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from millpond.storage.s3_errors import FAILURES, translated

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody

BUFFER_BYTES = 1 << 18


def buffered(body: StreamingBody, attempt: str) -> io.BufferedReader:
    """A stream whose `read(n)` gives n bytes until the content ends: Avro readers rely on it, sockets do not do it."""
    return io.BufferedReader(_Download(body, attempt), BUFFER_BYTES)


class _Download(io.RawIOBase):
    def __init__(self, body: StreamingBody, attempt: str) -> None:
        super().__init__()
        self._body = body
        self._attempt = attempt

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            return self._body.readinto(memoryview(buffer).cast("B"))  # type: ignore[arg-type]  # the stubs are wrong
        except FAILURES as error:
            raise translated(error, self._attempt) from error

    def readall(self) -> bytes:
        try:
            return self._body.read()
        except FAILURES as error:
            raise translated(error, self._attempt) from error

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
