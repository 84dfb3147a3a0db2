"""The jars of the local Kafka: nothing unchecked is used, and a failed download goes on where it stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import local.jars
from local.jars import kafka_jars, read_lock
from millpond.errors import TryAgain

NAMES = ("one", "two", "three")


class FakeRegistry:
    """Serves a file per coordinate whose content is its name; some are broken."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down: set[str] = set()
        self.damaged: set[str] = set()

    def download(self, coordinate: str, repository: Path) -> Path:
        name = coordinate.split(":")[1]
        self.asked.append(name)
        if name in self.down:
            raise ConnectionError("no route to host")
        path = repository / f"{name}.jar"
        path.write_text("damaged" if name in self.damaged else name)
        return path


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRegistry:
    monkeypatch.setenv("MILLPOND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(local.jars, "PAUSE_S", 0)
    return FakeRegistry()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "jars.lock"
    digests = [(name, hashlib.sha256(name.encode()).hexdigest()) for name in NAMES]
    path.write_text("# a comment\n" + "".join(f"org.example:{name}:1.0 {digest}\n" for name, digest in digests))
    return path


def test_jars_come_in_the_order_of_the_lock_and_only_once(registry: FakeRegistry, lock: Path) -> None:
    assert [path.name for path in kafka_jars(lock, registry.download)] == [f"{name}-1.0.jar" for name in NAMES]
    assert [path.read_text() for path in kafka_jars(lock, registry.download)] == list(NAMES)
    assert sorted(registry.asked) == sorted(NAMES)


def test_a_failed_download_keeps_what_it_had_and_fetches_only_the_rest(registry: FakeRegistry, lock: Path) -> None:
    registry.down = {"two"}
    with pytest.raises(
        TryAgain, match=r"cannot fetch 1 of 3 Kafka jars, the first two-1\.0\.jar: .*no route"
    ) as failed:
        kafka_jars(lock, registry.download)
    assert "goes on where it stopped" in failed.value.hint
    registry.down, registry.asked = set(), []
    kafka_jars(lock, registry.download)
    assert registry.asked == ["two"]


def test_a_damaged_jar_never_appears_in_the_cache(registry: FakeRegistry, lock: Path, tmp_path: Path) -> None:
    registry.damaged = {"three"}
    with pytest.raises(TryAgain, match=r"three-1\.0\.jar has sha256 .*, the lock says"):
        kafka_jars(lock, registry.download)
    assert registry.asked.count("three") == local.jars.TRIES
    assert not list((tmp_path / "cache").rglob("three*.jar"))


def test_the_real_lock_names_kafka_and_a_checksum_for_each_jar() -> None:
    jars = read_lock()
    assert {("kafka_2.13", "4.1.1")} <= {(jar.artifact, jar.version) for jar in jars}
    assert all(len(jar.sha256) == 64 for jar in jars)
