"""Runs Batch jobs as local processes: order, attempts, retries, time-outs and termination."""

from __future__ import annotations

import contextvars
import logging
import re
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.ministack.batch_records import STATES, TERMINAL, child_jobs, now_ms
from local.ministack.containers import start_container, write_log
from local.ministack.emulator import Json, batch, concurrency, ecs
from local.ministack.settings import Settings
from local.processes import Child

logger = logging.getLogger("batch")

PAUSE_S = 0.05
# Between SIGTERM and SIGKILL, as on Fargate.
STOP_GRACE_S = 30
DONE = "Essential container in task exited"
TIMED_OUT = "Job attempt duration exceeded timeout"


class BatchRuns:
    """The jobs under way. At most `settings.parallel_jobs` have a process at one time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.parallel_jobs, thread_name_prefix="batch")
        self._processes: dict[str, Child] = {}
        self._lock = threading.Lock()
        Path(settings.logs).mkdir(parents=True, exist_ok=True)

    def start(self, job: Json) -> None:
        """Run it once the jobs it depends on have ended, and a place is free."""
        if job["dependsOn"]:
            job["status"] = "PENDING"
            concurrency.spawn_background(self._after_dependencies, job, thread_name="batch-depends")
        else:
            self._enqueue(job)

    def watch_array(self, parent: Json, jobs: Sequence[Json]) -> None:
        """Keep the parent's status in step with its children. It fails if any child fails after its retries."""
        concurrency.spawn_background(_follow, parent, list(jobs), thread_name="batch-array")

    def terminate(self, job: Json, reason: str) -> None:
        """SIGTERM, and SIGKILL after 30 s. A job not yet running never starts; an array's children all end."""
        job["isTerminated"], job["terminateReason"] = True, reason
        for child in child_jobs(job["jobId"]):
            if child["status"] not in TERMINAL:
                self.terminate(child, reason)
        with self._lock:
            process = self._processes.get(job["jobId"])
        if process:
            concurrency.spawn_background(process.stop, STOP_GRACE_S, thread_name="batch-stop")

    def _enqueue(self, job: Json) -> None:
        job["status"] = "RUNNABLE"
        self._pool.submit(contextvars.copy_context().run, self._run_to_an_end, job)

    def _after_dependencies(self, job: Json) -> None:
        for wanted in job["dependsOn"]:
            other = batch._jobs.get(wanted.get("jobId"))
            while other and other["status"] not in TERMINAL:
                time.sleep(PAUSE_S)
            if other and other["status"] == "FAILED":
                _finish(job, "FAILED", "Dependent Job failed")
                return
        self._enqueue(job)

    def _run_to_an_end(self, job: Json) -> None:
        """Whatever goes wrong in here, nobody must wait for this job for ever."""
        try:
            self._run(job)
        except BaseException as error:
            logger.exception("Batch job %s", job["jobId"])
            _finish(job, "FAILED", f"The local AWS failed: {error!r}")
            raise

    def _run(self, job: Json) -> None:
        attempts = int(job["retryStrategy"].get("attempts", 1))
        reason = ""
        for attempt in range(1, attempts + 1):
            if job.get("isTerminated"):
                break
            code, reason = self._attempt(job, attempt)
            if code == 0 and not job.get("isTerminated"):
                _finish(job, "SUCCEEDED", DONE)
                return
            # Batch does not try again after a time-out.
            if reason == TIMED_OUT or not wants_retry(job["retryStrategy"], code, reason):
                break
        _finish(job, "FAILED", job.get("terminateReason") or reason)

    def _attempt(self, job: Json, attempt: int) -> tuple[int | None, str]:
        """Exit code (None when nothing could be started) and reason of one try."""
        job["status"] = "STARTING"
        container, began = job["container"], now_ms()
        log = Path(self._settings.logs) / f"batch-{job['jobId'].replace(':', '-')}-{attempt}.log"
        code, reason = self._execute(job, attempt, log)
        container["logStreamName"] = _publish(job, log)
        record = {"logStreamName": container["logStreamName"], "reason": reason if code is None else ""}
        if code is not None:
            record["exitCode"] = container["exitCode"] = code
        job["attempts"].append({"container": record, "startedAt": began, "stoppedAt": now_ms(), "statusReason": reason})
        return code, reason

    def _execute(self, job: Json, attempt: int, log: Path) -> tuple[int | None, str]:
        container = job["container"]
        try:
            env = _environment(job, attempt)
            process = start_container(self._settings, container["image"], container["command"], env, log)
        except (LookupError, OSError, ecs._SecretResolutionError) as error:
            return None, str(error)
        with self._lock:
            self._processes[job["jobId"]] = process
        job.update(status="RUNNING", startedAt=job.get("startedAt") or now_ms())
        try:
            if job.get("isTerminated"):  # it came while the process started
                return process.stop(STOP_GRACE_S), DONE
            return process.wait(job["timeout"].get("attemptDurationSeconds")), DONE
        except subprocess.TimeoutExpired:
            return process.stop(STOP_GRACE_S), TIMED_OUT
        finally:
            with self._lock:
                del self._processes[job["jobId"]]


def wants_retry(strategy: Json, code: int | None, reason: str) -> bool:
    """What `evaluateOnExit` says of this end. The first entry that matches decides; without one it is tried again."""
    seen = {"onExitCode": "" if code is None else str(code), "onReason": reason, "onStatusReason": reason}
    for entry in strategy.get("evaluateOnExit") or []:
        patterns = {key: entry[key] for key in seen if entry.get(key)}
        if all(_matches(pattern, seen[key]) for key, pattern in patterns.items()):
            return str(entry["action"]).upper() == "RETRY"
    return True


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def _environment(job: Json, attempt: int) -> dict[str, str]:
    container = job["container"]
    env = {entry["name"]: entry["value"] for entry in container["environment"]}
    env |= ecs._resolve_container_secrets(container)
    env |= {
        "AWS_BATCH_JOB_ID": job["jobId"],
        "AWS_BATCH_JOB_ATTEMPT": str(attempt),
        "AWS_BATCH_JQ_NAME": job["jobQueue"].rsplit("/", 1)[-1],
        "AWS_BATCH_CE_NAME": "local",
    }
    if array := job.get("arrayProperties"):
        env |= {"AWS_BATCH_JOB_ARRAY_INDEX": str(array["index"]), "AWS_BATCH_JOB_ARRAY_SIZE": str(array["size"])}
    return env


def _publish(job: Json, log: Path) -> str:
    """Copy an attempt's output into CloudWatch Logs and return the name of the stream."""
    options = (job["container"].get("logConfiguration") or {}).get("options") or {}
    prefix = options.get("awslogs-stream-prefix") or job["jobDefinition"].rsplit("/", 1)[-1].split(":")[0]
    stream = f"{prefix}/default/{uuid.uuid4().hex}"
    text = log.read_text(errors="replace") if log.exists() else ""
    write_log(options.get("awslogs-group") or "/aws/batch/job", stream, text)
    return stream


def _follow(parent: Json, jobs: list[Json]) -> None:
    parent["status"] = "PENDING"
    while True:
        counts = {state: sum(job["status"] == state for job in jobs) for state in STATES}
        parent["arrayProperties"]["statusSummary"] = {state: count for state, count in counts.items() if count}
        if counts["SUCCEEDED"] + counts["FAILED"] == len(jobs):
            break
        time.sleep(PAUSE_S)
    reason = parent.get("terminateReason") or "Array Child Job failed"
    _finish(parent, "FAILED" if counts["FAILED"] else "SUCCEEDED", reason if counts["FAILED"] else "")


def _finish(job: Json, status: str, reason: str) -> None:
    job.update(stoppedAt=now_ms(), statusReason=reason)
    job["status"] = status  # last: who sees it may read the rest
