"""What a record holds at a place: the texts that may be identifiers, or why there is none.

JSON is read leniently (control characters in strings, NaN) because what is refused cannot be searched. A field name
that stands twice in an object is looked at like an array: JSON parsers take the last, and the first would stay unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from json import JSONDecoder
from typing import Any

from millpond.erasure.policy import Place


class Outcome(IntEnum):
    """Of one place on one record. Of several elements of an array the highest counts."""

    NO_MATCH = 0
    ABSENT = 1
    UNDECODABLE = 2
    MATCH = 3


Test = Callable[[bytes], bool]
"""Whether a canonical identifier is one of the subjects."""


def reader_of(place: Place, test: Test) -> Callable[[bytes | None], Outcome]:
    """A function from the key or value of a record to the outcome of this place on it."""
    return _utf8_reader(test) if place.format == "utf8" else _json_reader(str(place.path).split("."), test)


def _utf8_reader(test: Test) -> Callable[[bytes | None], Outcome]:
    def look(content: bytes | None) -> Outcome:
        if content is None:
            return Outcome.ABSENT
        try:
            content.decode()
        except UnicodeDecodeError:
            return Outcome.UNDECODABLE
        return Outcome.MATCH if test(content) else Outcome.NO_MATCH

    return look


def _merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which the contents of a repeated name are an array."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    contents: dict[str, list[Any]] = {}
    for name, content in pairs:
        contents.setdefault(name, []).append(content)
    return {name: several if len(several) > 1 else several[0] for name, several in contents.items()}


# Numbers as the text that stands in the document: 42.0 is not 42, and no number is too long.
_decode = JSONDecoder(strict=False, parse_int=str, parse_float=str).decode
_decode_repeated = JSONDecoder(strict=False, parse_int=str, parse_float=str, object_pairs_hook=_merged).decode


def _json_reader(path: list[str], test: Test) -> Callable[[bytes | None], Outcome]:
    quoted = [f'"{name}"' for name in path]

    def look(content: bytes | None) -> Outcome:
        if content is None:
            return Outcome.ABSENT
        try:
            text = content.decode()
            # Merging costs half as much again as parsing. A name that JSON need not escape repeats in plain sight, or
            # is written in \\u escapes.
            plain = "\\u" not in text and all(text.count(name) < 2 for name in quoted)
            document = _decode(text) if plain else _decode_repeated(text)
            return max(_outcomes(document, path, 0, test))
        except (ValueError, RecursionError):
            return Outcome.UNDECODABLE

    return look


def _outcomes(node: Any, path: list[str], depth: int, test: Test) -> Iterator[Outcome]:
    if isinstance(node, list):
        if not node:
            yield Outcome.ABSENT
        for element in node:
            yield from _outcomes(element, path, depth, test)
    elif node is None:
        yield Outcome.ABSENT
    elif depth < len(path):
        yield from _outcomes_below(node, path, depth, test)
    elif isinstance(node, str):
        yield Outcome.MATCH if test(node.encode("utf-8", "surrogatepass")) else Outcome.NO_MATCH
    else:
        yield Outcome.UNDECODABLE


def _outcomes_below(node: Any, path: list[str], depth: int, test: Test) -> Iterator[Outcome]:
    if not isinstance(node, dict):
        yield Outcome.UNDECODABLE
    elif path[depth] not in node:
        yield Outcome.ABSENT
    else:
        yield from _outcomes(node[path[depth]], path, depth + 1, test)
