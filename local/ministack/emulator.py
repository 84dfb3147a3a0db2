"""The one place that names MiniStack's modules, which have no types: everything of theirs is `Any` from here on."""

from __future__ import annotations

from typing import Any

from ministack import app as _app  # type: ignore[import-untyped]
from ministack.core import concurrency as _concurrency  # type: ignore[import-untyped]
from ministack.core import lambda_runtime as _lambda_runtime
from ministack.core import responses as _responses
from ministack.services import batch as _batch  # type: ignore[import-untyped]
from ministack.services import cloudwatch_logs as _cloudwatch_logs
from ministack.services import ecr as _ecr
from ministack.services import ecs as _ecs
from ministack.services import lambda_svc as _lambda_svc
from ministack.services import secretsmanager as _secretsmanager
from ministack.services import stepfunctions as _stepfunctions
from ministack.services.cloudformation import provisioners as _provisioners  # type: ignore[import-untyped]

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]

app: Any = _app
batch: Any = _batch
cloudwatch_logs: Any = _cloudwatch_logs
concurrency: Any = _concurrency
ecr: Any = _ecr
ecs: Any = _ecs
lambda_runtime: Any = _lambda_runtime
lambda_svc: Any = _lambda_svc
provisioners: Any = _provisioners
responses: Any = _responses
secretsmanager: Any = _secretsmanager
stepfunctions: Any = _stepfunctions


def replace(module: Any, name: str, ours: Any) -> Any:
    """Put `ours` in the place of a private function and return the original; fails when another version has no such."""
    original = getattr(module, name)
    setattr(module, name, ours)
    return original


def refuse(message: str, *, kind: str = "ClientException", status: int = 400) -> Answer:
    """The service's error answer."""
    answer: Answer = responses.error_response_json(kind, message, status)
    return answer
