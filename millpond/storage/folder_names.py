"""How a part of a key is called on disk, and back. Some file systems do not tell 'Orders' from 'orders', and none takes
more than 255 bytes for a name; keys need both. What is lower case and short keeps its name, so people find it:

    orders                  orders
    Orders                  !orders                 (as Go's module cache does)
    a topic id in base64    + and its 32 hex digits
    .hidden, a b            %2ehidden, a%20b        (names with a dot in front are the store's own)
    longer than 200         first 100 + hash + last 60; the part itself is kept in a table of the store
"""

from __future__ import annotations

import base64
import hashlib
import re

LONGEST = 200  # leaves room for what the store adds to name a file beside it
HEAD, TAIL = 100, 60  # the tail of a window's name tells its offsets

_PLAIN = re.compile(r"[a-z0-9_=-][a-z0-9._=-]*")
_SPECIAL = re.compile(r"^\.|[^a-z0-9._=-]")
_ESCAPED = re.compile(r"!([a-z])|((?:%[0-9a-f]{2})+)")
_TOPIC_ID = re.compile(r"(?=.*[A-Z])[A-Za-z0-9_-]{21}[AQgw]")  # 16 bytes; the last digit holds two bits
_HEX_ID = re.compile(r"\+[0-9a-f]{32}")


def name_of(part: str) -> str:
    """The name on disk. Different parts have different names, on any file system."""
    if _TOPIC_ID.fullmatch(part):
        return "+" + base64.urlsafe_b64decode(part + "==").hex()
    name = part if _PLAIN.fullmatch(part) else _SPECIAL.sub(_escape, part)
    if len(name) <= LONGEST:
        return name
    return f"{name[:HEAD]}+{hashlib.sha256(part.encode()).hexdigest()[:32]}+{name[-TAIL:]}"


def is_shortened(name: str) -> bool:
    return name.count("+") == 2


def part_of(name: str) -> str | None:
    """The part with this name on disk, which is not shortened; None if no part has this name."""
    if _PLAIN.fullmatch(name):
        return name
    if not name.isascii():
        return None
    if _HEX_ID.fullmatch(name):
        part = base64.urlsafe_b64encode(bytes.fromhex(name[1:])).decode().rstrip("=")
    else:
        part = _ESCAPED.sub(_unescape, name)
    return part if name_of(part) == name else None


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if "A" <= character <= "Z":
        return "!" + character.lower()
    return "".join(f"%{byte:02x}" for byte in character.encode())


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        return found[1].upper()
    return bytes.fromhex(found[2].replace("%", "")).decode(errors="replace")
