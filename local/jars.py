"""The jars of Apache Kafka: named with their sha256 in a lock file, fetched once in parallel into the cache.

A jar appears in the cache only after its checksum was right, under a name that holds the checksum. So a failed
download goes on where it stopped, and a jar that is there need not be read again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext

from local.cache import cache_folder, one_at_a_time
from local.progress import progress
from millpond.errors import MillpondError, TryAgain

LOCK = Path(__file__).with_name("kafka-jars.lock")
PARALLEL = 8
TRIES = 3
TIMEOUT_S = 60
PAUSE_S = 0.25

Download = Callable[[str, Path], Path]


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> Path:
        """Where the cache keeps it: content-addressed, so that another lock can share it."""
        return cache_folder() / "jars" / self.sha256[:16] / self.name


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The jars in the order of the lock, which is the order of the class path."""
    rows = [line.split() for line in lock.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [_parse(coordinate, digest) for coordinate, digest in rows]


def download(coordinate: str, repository: Path) -> Path:
    """Have the Maven client put `group:artifact:version` into its repository folder; returns the file.

    OSError for the network, RuntimeError for an answer that is not the file.
    """
    group, artifact, version = coordinate.split(":")
    context = MavenContext(repo_cache=repository, timeout=TIMEOUT_S)
    return Path(context.project(group, artifact).at_version(version).artifact().resolve())


def kafka_jars(lock: Path = LOCK, download: Download = download) -> list[Path]:
    """Paths of all jars of the lock, fetching what the cache lacks.

    Raises:
        TryAgain: Some jars could not be had. Those that could are kept.
    """
    jars = read_lock(lock)
    if any(not jar.path.exists() for jar in jars):
        with one_at_a_time("jars"):
            _fetch_all([jar for jar in jars if not jar.path.exists()], len(jars), download)
    return [jar.path for jar in jars]


def lock_line(coordinate: str) -> str:
    """A line for the lock file, for who adds a jar: fetches `group:artifact:version` and names its checksum."""
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        return f"{coordinate} {_sha256(download(coordinate, Path(scratch)))}"


def _parse(coordinate: str, digest: str) -> Jar:
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, digest)


def _fetch_all(missing: Sequence[Jar], total: int, download: Download) -> None:
    failures: list[tuple[Jar, Exception]] = []
    title = f"Kafka jars ({total - len(missing)} of {total} are there)"
    with ThreadPoolExecutor(PARALLEL) as pool, progress(title, len(missing)) as advance:
        running = {pool.submit(_fetch_with_retries, jar, download): jar for jar in missing}
        for done in as_completed(running):
            error = done.exception()
            if error is None:
                advance()
            elif isinstance(error, MillpondError | OSError | RuntimeError):
                failures.append((running[done], error))
            else:
                raise error
    if failures:
        jar, error = failures[0]
        raise TryAgain(
            f"cannot fetch {len(failures)} of {total} Kafka jars, the first {jar.name}: {_short(error)}",
            hint="check the network and the proxy settings, then repeat the command: it goes on where it stopped",
        ) from error


def _fetch(jar: Jar, download: Download) -> None:
    """Fetch one jar, check it, and only then let it appear in the cache."""
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="maven-") as scratch:
        found = download(f"{jar.group}:{jar.artifact}:{jar.version}", Path(scratch))
        if (digest := _sha256(found)) != jar.sha256:
            raise MillpondError(f"{jar.name} has sha256 {digest}, the lock says {jar.sha256}")
        jar.path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(found, jar.path)  # noqa: PTH105 - atomic, on one file system


def _fetch_with_retries(jar: Jar, download: Download) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            return _fetch(jar, download)
        except (OSError, RuntimeError, MillpondError):
            if attempt == TRIES:
                raise
            time.sleep(PAUSE_S * 2**attempt)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
