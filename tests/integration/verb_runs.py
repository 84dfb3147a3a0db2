"""The command line in this process, against the local AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.archive.identity import open_or_create
from millpond.archive.keys import Layout
from millpond.cli.main import main
from millpond.storage.contract import ObjectInfo
from millpond.storage.s3 import S3Store

LAYOUT = Layout("kafka")


class Line:
    """The command line, and what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], archive: str) -> None:
        self._capsys, self.archive = capsys, archive

    def __call__(self, verb: str, *flags: str) -> int:
        self.code = main([verb, "--archive", self.archive, *flags])
        self.out, self.err = self._capsys.readouterr()
        return self.code

    def json(self, verb: str, *flags: str) -> Any:
        self(verb, *flags, "--json")
        return json.loads(self.out)

    def check(self, *flags: str) -> dict[str, dict[str, str]]:
        return {found["probe"]: found for found in self.json("check", *flags)["probes"]}


def an_archive(store: Any, cluster_id: str = "c") -> str:
    """archive.json; its id."""
    return open_or_create(store, LAYOUT, cluster_id=cluster_id, now_ms=1).archive_id


def etags(store: S3Store) -> dict[str, str]:
    return {entry.key: entry.etag for entry in store.list("") if isinstance(entry, ObjectInfo)}
