from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millpond.backup.window import BlockWriter
from tests.unit.backup.records import OpenAt, opener


@pytest.fixture
def writer() -> Iterator[BlockWriter]:
    found = BlockWriter()
    yield found
    found.close()


@pytest.fixture
def open_window(tmp_path: Path, writer: BlockWriter) -> OpenAt:
    return opener(tmp_path, writer)
