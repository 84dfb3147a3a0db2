"""Stores that fail, or are written to by somebody else, in the middle of a redaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from millpond.errors import WrongUsage
from millpond.storage.contract import ObjectVersion
from millpond.storage.memory import MemoryStore

CALLS = ("put_if_absent", "put_if_match", "open", "head", "list", "list_versions", "delete_version")


class Crash(BaseException):
    """The process died: nothing may catch this."""


class Counting:
    """Passes calls on and counts them; dies at call `die_at` (the first is 1), before or after its effect."""

    def __init__(self, store: MemoryStore, *, die_at: int = 0, after: bool = True) -> None:
        self.store, self.die_at, self.after, self.calls = store, die_at, after, 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.store, name)
        return self._counted(call) if name in CALLS else call

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls == self.die_at and not self.after:
                raise Crash
            number = self.calls
            try:
                return call(*arguments, **more)
            finally:
                if number == self.die_at:
                    raise Crash

        return counted


class Meddled(MemoryStore):
    """`before[name]`, if there is one, runs before a call of that name and may take itself out."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Callable[..., None]] = {}

    def _meddle(self, name: str, key: str) -> None:
        if name in self.before:
            self.before[name](key)

    def put_if_match(self, key: str, *arguments: Any, **more: Any) -> Any:
        self._meddle("put_if_match", key)
        return super().put_if_match(key, *arguments, **more)

    def put_if_absent(self, key: str, *arguments: Any, **more: Any) -> Any:
        self._meddle("put_if_absent", key)
        return super().put_if_absent(key, *arguments, **more)

    def delete_version(self, key: str, version: str) -> None:
        self._meddle("delete_version", key)
        super().delete_version(key, version)


class Locked(MemoryStore):
    """S3 with Object Lock, or without the permission to delete versions."""

    def delete_version(self, key: str, version: str) -> None:
        raise WrongUsage(f"cannot delete {key}: AccessDenied: Access Denied (HTTP 403)", hint="none")


class Lagging(MemoryStore):
    """While `lags`, listings show the newest version of a key alone."""

    lags = False

    def list_versions(self, prefix: str) -> Iterator[ObjectVersion]:
        return (version for version in super().list_versions(prefix) if version.latest or not self.lags)
