"""`python -m tests.faults.restore_process JSON`: steps of a restore as a process of its own, to be killed.

`die` kills it with signal 9 as soon as so many calls that change something outside have returned.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millpond.archive.keys import Layout
from millpond.kafka.admin import Cluster
from millpond.restore.writing import target
from millpond.storage.folder import FolderStore
from tests.integration.restore_runs import Restore

REPOSITORY = Path(__file__).parents[2]
CHANGES = [(FolderStore, "put_if_absent"), (Cluster, "create_topic"), (Cluster, "set_topic_config")]


@dataclass
class Process:
    """What it shall do; a new process for each call.

    Attributes:
        steps: In order: plan, prepare, work, reconcile.
        request: Beside the topics.
        pause_s: After each batch of records.
    """

    restore: Restore
    topics: tuple[str, ...]
    request: dict[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ("plan", "prepare", "work", "reconcile")
    pause_s: float = 0.0

    def start(self, die: int | None = None) -> subprocess.Popen[bytes]:
        told = {
            "folder": str(self.restore.store.root),  # type: ignore[attr-defined]
            "bootstrap": self.restore.bootstrap,
            "prefix": self.restore.layout.prefix,
            "run_id": self.restore.run_id,
            "topics": self.topics,
            "request": self.request,
            "steps": self.steps,
            "pause_s": self.pause_s,
            "die": die,
        }
        command = [sys.executable, "-m", "tests.faults.restore_process", json.dumps(told)]
        return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def died(self, after: int) -> bool:
        """Whether it was killed after so many changes; otherwise it has ended well."""
        process = self.start(after)
        _, said = process.communicate(timeout=90)
        assert process.returncode in (0, -signal.SIGKILL), said.decode()
        return process.returncode != 0


def dying(real: Callable[..., Any], after: int, calls: list[int]) -> Callable[..., Any]:
    def call(*arguments: Any, **more: Any) -> Any:
        found = real(*arguments, **more)
        calls[0] += 1
        if calls[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return call


def main(told: dict[str, Any]) -> int:
    calls = [0]
    for owner, name in CHANGES if told["die"] else ():
        setattr(owner, name, dying(getattr(owner, name), told["die"], calls))
    target._STILL_S = 0.2
    store = FolderStore(Path(told["folder"]))
    restore = Restore(told["bootstrap"], store, Layout(told["prefix"]), told["run_id"])
    steps: dict[str, Callable[[], Any]] = {
        "plan": lambda: restore.plan(*told["topics"], **told["request"]),
        "prepare": restore.prepare,
        "work": lambda: restore.work(progress=lambda _: time.sleep(told["pause_s"])),
        "reconcile": restore.reconcile,
    }
    for step in told["steps"]:
        if errors := step == "work" and steps[step]():
            sys.stderr.write("\n".join(map(str, errors)))
            return errors[0].exit_code
        if step != "work":
            steps[step]()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
