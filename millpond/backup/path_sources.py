"""What a path may be made of: `key.country`, `header.tenant`, `timestamp.date` and their like, and how to read it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard
from urllib.parse import quote

import fastavro
from fastavro.schema import SchemaParseException

from millpond.erasure.buckets import NONE, SEVERAL, UNREADABLE
from millpond.errors import WrongUsage
from millpond.records import Row

ReadText: TypeAlias = Callable[[Row], "Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """A text of a record, or why there is none.

    Attributes:
        text: What stands there.
        lacking: One of the words for a path without a value, or "".
    """

    text: str = ""
    lacking: str = ""

    def as_value(self) -> str:
        return self.lacking or safe(self.text)


_NONE, _UNREADABLE, _SEVERAL = Found(lacking=NONE), Found(lacking=UNREADABLE), Found(lacking=SEVERAL)

_FIELD = r"[A-Za-z0-9_-]+"
_SOURCE = re.compile(
    rf"partition|timestamp\.(?P<unit>date|month|hour)|(?P<at>key|value)\.(?P<path>{_FIELD}(\.{_FIELD})*)|key"
    r"|header\.(?P<header>[A-Za-z0-9._-]+)"
)
_LONGEST_NAME, _LONGEST_VALUE = 64, 64
_RESERVED = ("__", "bucket-", "hash-")


@dataclass(frozen=True, slots=True)
class Source:
    """One of the things that a path is made of.

    Attributes:
        text: As it was asked for.
        at: `key`, `value`, `header`, `timestamp` or `partition`.
        path: Of a field, the unit of time, or the header's name; "" for the whole key.
    """

    text: str
    at: str
    path: str = ""

    @classmethod
    def of(cls, text: str) -> Source:
        """Raises `WrongUsage` where there is no such source."""
        match = _SOURCE.fullmatch(text)
        if match is None or len(text) > _LONGEST_NAME:
            raise WrongUsage(
                f"cannot partition by {text!r}",
                hint="use key, key.FIELD, value.FIELD, header.NAME, timestamp.date, .month or .hour, or partition,"
                f" at most {_LONGEST_NAME} characters each",
            )
        if match["at"]:
            return cls(text, match["at"], match["path"])
        at, _, path = text.partition(".")
        return cls(text, at, path)

    @property
    def holds_content(self) -> bool:
        """Whether it tells what producers wrote, and so perhaps who somebody is."""
        return self.at in ("key", "value", "header")

    @property
    def name(self) -> str:
        """What stands before the `=` unless another source has the same."""
        return self.path or self.at


def safe(text: str) -> str:
    """The text as part of a key: escaped as in URLs, or a hash where it is long, odd, or like a word of ours."""
    content = text.encode("utf-8", "surrogatepass")
    quoted = quote(content, safe="")
    odd = not text.isprintable() or text.startswith(_RESERVED)
    if not text or odd or len(quoted) > _LONGEST_VALUE:
        return f"hash-{hashlib.sha256(content).hexdigest()[:32]}"
    return quoted


def reader_of_source(source: Source, key_schema: Any = None) -> ReadText:
    """A function from a record to what stands at the source."""
    match source.at:
        case "timestamp":
            return _timestamp_reader(source.path)
        case "header":
            return _header_reader(source.path.encode())
        case "key" if key_schema is not None:
            read_key = lru_cache(_REMEMBERED)(_avro_reader(source.path, key_schema))
            return lambda row: read_key(row[2])
        case "key":
            read_key = lru_cache(_REMEMBERED)(_json_reader(source.path) if source.path else _text_of)
            return lambda row: read_key(row[2])
        case "value":
            read_value = _json_reader(source.path)
            return lambda row: read_value(row[3])
    raise ValueError(f"the source {source.text} is not read from records")


_REMEMBERED = 1 << 12
"""Keys come again; what was read of so many is kept in memory."""


def _text_of(content: bytes | None) -> Found:
    if content is None:
        return _NONE
    try:
        return Found(content.decode())
    except UnicodeDecodeError:
        return _UNREADABLE


_UNITS = {"date": "%Y-%m-%d", "month": "%Y-%m", "hour": "%Y-%m-%dT%H"}
_HOUR_MS = 3_600_000


def _timestamp_reader(unit: str) -> ReadText:
    form = _UNITS[unit]

    @lru_cache(_REMEMBERED)
    def of_hour(hour: int) -> Found:
        try:
            return Found(datetime.fromtimestamp(hour * 3600, UTC).strftime(form))
        except (ValueError, OverflowError, OSError):  # beyond the year 9999
            return _UNREADABLE

    return lambda row: of_hour(row[1] // _HOUR_MS) if row[1] >= 0 else _NONE


def _header_reader(name: bytes) -> ReadText:
    def read(row: Row) -> Found:
        contents = {content for key, content in row[4] if key == name and content is not None}
        if len(contents) > 1:
            return _SEVERAL
        return _text_of(next(iter(contents), None))

    return read


# As redactions read JSON: numbers as the text that stands in the document, and leniently.
_decode = json.JSONDecoder(strict=False, parse_int=str, parse_float=str).decode


def _json_reader(path: str) -> Callable[[bytes | None], Found]:
    names = path.split(".")

    def read(content: bytes | None) -> Found:
        if content is None:
            return _NONE
        try:
            return _scalar_at(_decode(content.decode()), names)
        except (ValueError, RecursionError):
            return _UNREADABLE

    return read


def _scalar_at(node: Any, names: list[str]) -> Found:
    for name in names:
        if node is None:
            return _NONE
        if not isinstance(node, dict):
            return _UNREADABLE
        node = node.get(name)
    if node is None:
        return _NONE
    if isinstance(node, bool):
        return Found(str(node).lower())
    return _UNREADABLE if isinstance(node, dict | list | bytes) else Found(str(node))


def load_key_schema(told: Path | str) -> Any:
    """The Avro schema in a file, or the JSON object itself, ready to decode with. `WrongUsage` where it is none."""
    name = "the key schema" if is_json(told) else str(told)
    try:
        found = json.loads(told if is_json(told) else Path(told).read_text())
        return fastavro.parse_schema(found or {})  # an empty list would be a union of nothing
    except OSError as error:
        raise WrongUsage(f"cannot read the key schema {told}: {error.strerror}", hint="check --key-schema") from error
    except (ValueError, SchemaParseException, TypeError, KeyError, AttributeError) as error:
        raise WrongUsage(f"{name} is not an Avro schema", hint="--key-schema takes plain Avro as JSON") from error


def is_json(told: Path | str) -> TypeGuard[str]:
    """Whether this is a JSON object and no file's name: a container is told by variables alone."""
    return isinstance(told, str) and told.lstrip().startswith("{")


_FRAME_BYTES = 5
"""Of the framing that schema registries use: a zero and the schema's id. The id is not looked up."""
# Whatever a decoder meets that was fed with something else.
_AVRO_ERRORS = (ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError, struct.error)


def _avro_reader(path: str, schema: Any) -> Callable[[bytes | None], Found]:
    names = path.split(".") if path else []

    def read(content: bytes | None) -> Found:
        if content is None:
            return _NONE
        framed = len(content) > _FRAME_BYTES and content[0] == 0
        for body in (content[_FRAME_BYTES:], content) if framed else (content,):
            found = _decoded(body, schema)
            if found is not _UNREADABLE:
                return _scalar_at(found, names)
        return _UNREADABLE

    return read


def _decoded(body: bytes, schema: Any) -> Any:
    """The datum if the schema accounts for every byte, or `_UNREADABLE`."""
    stream = io.BytesIO(body)
    try:
        found = fastavro.schemaless_reader(stream, schema, None)
    except _AVRO_ERRORS:
        return _UNREADABLE
    return found if stream.tell() == len(body) else _UNREADABLE
