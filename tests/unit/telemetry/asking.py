"""Real requests to a server on this machine."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.text)


def ask(port: int | None, path: str, method: str = "GET", *, host: str = "127.0.0.1", **more: Any) -> Reply:
    """The reply to one request; `more` may be a body and headers."""
    assert port
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, **more)
        found = connection.getresponse()
        headers = {name.lower(): value for name, value in found.getheaders()}
        return Reply(found.status, headers, found.read().decode())
    finally:
        connection.close()
