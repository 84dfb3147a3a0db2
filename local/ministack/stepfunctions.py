"""Step Functions: the integration with Batch, and the gaps of 1.5.33 that our state machines would notice."""

from __future__ import annotations

import contextvars
import copy
import json
import threading
import time
from typing import Any

from local.ministack.batch import Batch
from local.ministack.batch_records import TERMINAL
from local.ministack.emulator import Json, batch, concurrency, provisioners, replace, stepfunctions

QUOTA_BYTES = 262_144
PAUSE_S = 0.05
_execution: contextvars.ContextVar[str] = contextvars.ContextVar("execution", default="")


class BatchIntegration:
    """arn:aws:states:::batch:submitJob and .sync."""

    def __init__(self, jobs: Batch) -> None:
        self._jobs = jobs

    def submit(self, resource: str, data: Json) -> Json:
        """Submit, and with .sync wait. A failed job is States.TaskFailed with the job's description as cause."""
        request = provisioners._pascal_to_camel(data)
        waits = resource.endswith(".sync")
        if waits:
            marker = {"name": "MANAGED_BY_AWS", "value": "STARTED_BY_STEP_FUNCTIONS"}
            request.setdefault("containerOverrides", {}).setdefault("environment", []).append(marker)
        status, _, body = self._jobs.submit(request)
        answer = json.loads(body)
        if status >= 400:
            raise stepfunctions._ExecutionError("Batch.ClientException", answer.get("message", ""))
        return self._wait(answer["jobId"]) if waits else _pascal(answer)

    def _wait(self, job_id: str) -> Json:
        job = batch._jobs[job_id]
        while job["status"] not in TERMINAL:
            if not _still_runs():
                self._jobs.terminate({"jobId": job_id, "reason": "The execution was stopped"})
            time.sleep(PAUSE_S)
        described: Json = _pascal(copy.deepcopy(job))
        if job["status"] == "FAILED":
            raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(described))
        return described


def install(jobs: Batch) -> None:
    stepfunctions._SERVICE_DISPATCH["arn:aws:states:::batch:submitJob"] = BatchIntegration(jobs).submit
    _install_succeed_output()
    _install_heartbeat()
    _install_machine_timeout()
    _install_quota()


def _pascal(value: Any) -> Any:
    """Step Functions names fields with a capital first letter."""
    if isinstance(value, dict):
        return {f"{key[:1].upper()}{key[1:]}": _pascal(inner) for key, inner in value.items()}
    return [_pascal(inner) for inner in value] if isinstance(value, list) else value


def _still_runs() -> bool:
    execution = stepfunctions._executions.get(_execution.get())
    return execution is None or execution["status"] == "RUNNING"


def _install_succeed_output() -> None:
    """A Succeed state in JSONata may have an Output."""

    def output_path(state: Json, value: Any, context: Json | None = None) -> Any:
        is_jsonata = stepfunctions._state_query_language(state, context) == "JSONata"
        if state.get("Type") == "Succeed" and "Output" in state and is_jsonata:
            return stepfunctions._apply_jsonata_output(state, value, context, default=value)
        return original(state, value, context)

    original = replace(stepfunctions, "_apply_output_path", output_path)


def _install_heartbeat() -> None:
    """A task with HeartbeatSeconds fails when the holder of its token is silent for longer."""

    def with_callback(resource: str, data: Json, token: str, state: Json) -> Any:
        if limit := state.get("HeartbeatSeconds"):
            concurrency.spawn_background(_watch_heartbeat, token, float(limit), thread_name="heartbeat")
        return original(resource, data, token, state)

    original = replace(stepfunctions, "_invoke_with_callback", with_callback)


def _watch_heartbeat(token: str, limit_s: float) -> None:
    began, seen = time.monotonic(), None
    while token not in stepfunctions._task_tokens and time.monotonic() < began + 5:
        time.sleep(PAUSE_S)
    last = time.monotonic()
    while (info := stepfunctions._task_tokens.get(token)) and not info["event"].is_set():
        if info["heartbeat"] != seen:
            last, seen = time.monotonic(), info["heartbeat"]
        if time.monotonic() - last > limit_s:
            info["error"] = {"Error": "States.HeartbeatTimeout", "Cause": f"No heartbeat for {limit_s} seconds"}
            info["event"].set()
        time.sleep(PAUSE_S)


def _install_machine_timeout() -> None:
    """TimeoutSeconds of the whole machine. The state under way goes on, but the execution is over."""

    def run(arn: str) -> None:
        _execution.set(arn)
        limit = _machine_timeout_s(arn)
        timer = threading.Timer(limit or 0, contextvars.copy_context().run, (_expire, arn))
        timer.daemon = True
        if limit:
            timer.start()
        try:
            original(arn)
        finally:
            timer.cancel()

    def fail(execution: Json, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":  # else it has timed out or was stopped
            original_fail(execution, error, cause)

    original = replace(stepfunctions, "_run_execution", run)
    original_fail = replace(stepfunctions, "_fail_execution", fail)


def _machine_timeout_s(execution_arn: str) -> float | None:
    execution = stepfunctions._executions.get(execution_arn) or {}
    machine = stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
    try:
        limit = json.loads(machine.get("definition", "{}")).get("TimeoutSeconds")
    except ValueError:  # the execution itself reports an unreadable definition
        return None
    return float(limit) if limit else None


def _expire(execution_arn: str) -> None:
    execution = stepfunctions._executions[execution_arn]
    if execution["status"] == "RUNNING":
        execution.update(status="TIMED_OUT", stopDate=stepfunctions.now_iso())
        stepfunctions._add_event(execution, "ExecutionTimedOut", {})
        stepfunctions._emit_execution_status_event(execution)


def _install_quota() -> None:
    """What goes from state to state is limited to 256 KiB."""

    def result_path(state: Json, raw: Any, result: Any) -> Any:
        out = original(state, raw, result)
        if len(json.dumps(out)) > QUOTA_BYTES:
            message = (
                "The state/task returned a result with a size exceeding the maximum number of bytes service limit."
            )
            raise stepfunctions._ExecutionError("States.DataLimitExceeded", message)
        return out

    original = replace(stepfunctions, "_apply_result_path", result_path)
