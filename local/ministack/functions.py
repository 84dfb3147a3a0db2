"""Lambda: the exception's own type as errorType (1.5.33 says Runtime.HandlerError), and a chosen interpreter.

State machines catch by errorType, so without this no Catch or Retry on our own errors could be tried locally.
"""

from __future__ import annotations

import threading
from typing import Any

from local.ministack.emulator import Json, lambda_runtime, lambda_svc, replace
from local.ministack.settings import Settings

STOCK = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
OURS = STOCK.replace("}", ', "error_type": type(e).__name__}')


def install(settings: Settings) -> None:
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if STOCK not in script:
        raise RuntimeError("MiniStack's Lambda worker has changed: errorType cannot be mended; keep ministack==1.5.33")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(STOCK, OURS)
    _install_interpreter(settings.lambda_python)
    _install_error_type()


def _install_interpreter(python: str) -> None:
    def runtime_binary(runtime: str) -> tuple[str, str]:
        binary, worker = original(runtime)
        return (python if runtime.startswith("python") else binary), worker

    original = replace(lambda_runtime, "_detect_runtime_binary", runtime_binary)


def _install_error_type() -> None:
    failed = threading.local()  # the worker and its caller are on the same thread

    def invoke(worker: Any, *arguments: Any, **more: Any) -> Json:
        result: Json = original_invoke(worker, *arguments, **more)
        failed.result = result if result.get("error_type") else None
        return result

    def execute(*arguments: Any, **more: Any) -> Json:
        failed.result = None
        answer: Json = original_execute(*arguments, **more)
        if answer.get("error") and failed.result:
            trace = failed.result["trace"].splitlines()
            answer["body"] |= {"errorType": failed.result["error_type"], "stackTrace": trace}
        return answer

    original_invoke = replace(lambda_runtime.Worker, "invoke", invoke)
    original_execute = replace(lambda_svc, "_execute_function_warm", execute)
