"""Lambda: a failed Python function answers with its own exception.

AWS: `errorType` is the exception's class name, next to `errorMessage`, `requestId` and `stackTrace`; a
    module that cannot be imported is Runtime.ImportModuleError, a missing handler Runtime.HandlerNotFound;
    the execution environment lives on after an exception ["Python function errors in Lambda",
    "Understanding the Lambda execution environment lifecycle"].
ministack: `errorType` is always Runtime.HandlerError and the stack is lost, so that a Catch on an exception
    name never matches; the worker is killed after every exception.
Hook: `core/lambda_runtime.py::_PYTHON_WORKER_SCRIPT` (three texts in it), `::Worker.invoke`,
    `::Worker._spawn`; `services/lambda_svc.py::_execute_function_warm`.
"""

from __future__ import annotations

import contextvars
import json
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

VERSION = "1.5.33"

# What ministack's worker says, and what it says instead. "ok" keeps the worker alive.
HANDLER_ERROR = (
    '_real_stdout.write(json.dumps({"status": "error", "error": str(e), '
    '"trace": traceback.format_exc()}) + "\\n")',
    '_real_stdout.write(json.dumps({"status": "ok", "result": None, "function_error": {'
    '"errorMessage": str(e), "errorType": type(e).__name__, '
    '"stackTrace": traceback.format_list(traceback.extract_tb(e.__traceback__)[1:])}}) + "\\n")\n'
    "            traceback.print_exc()",
)
INIT_ERROR = (
    '_real_stdout.write(json.dumps({"status": "error", "error": str(e)}) + "\\n")',
    "_error = _ms_init_error(e, module_name, handler_name)\n"
    '        _real_stdout.write(json.dumps({"status": "error", "error": _error}) + "\\n")',
)
INIT_ERROR_FUNCTION = """
def _ms_init_error(e, module_name, handler_name):
    if isinstance(e, ImportError):
        error = ("Runtime.ImportModuleError", "Unable to import module %r: %s" % (module_name, e))
    elif isinstance(e, SyntaxError):
        error = ("Runtime.UserCodeSyntaxError", "Syntax error in module %r: %s" % (module_name, e))
    elif isinstance(e, AttributeError) and handler_name in str(e):
        error = ("Runtime.HandlerNotFound", "Handler %r missing on module %r" % (handler_name, module_name))
    else:
        error = (type(e).__name__, str(e))
    return json.dumps({"errorType": error[0], "errorMessage": error[1]})

"""
SCRIPT_START = "\ndef run():\n    # Redirect print()"
INIT_FAILED = "Worker init failed: "

_function_error: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "lambda_function_error", default=None
)


class WorkerTextError(RuntimeError):
    """ministack's worker is not the one this mend is for."""


def apply() -> None:
    """Makes failed functions answer as they do on AWS."""
    lambda_runtime._PYTHON_WORKER_SCRIPT = mended_script(lambda_runtime._PYTHON_WORKER_SCRIPT)
    invoke, execute = lambda_runtime.Worker.invoke, lambda_svc._execute_function_warm

    def worker_invoke(worker: Any, event: Any, request_id: str, **options: Any) -> dict[str, Any]:
        try:
            result: dict[str, Any] = invoke(worker, event, request_id, **options)
        except RuntimeError as error:
            if INIT_FAILED not in str(error):
                raise
            result = {"status": "error", "log": "", "function_error": _parse(str(error))}
        if "function_error" in result:
            _function_error.set({**result["function_error"], "requestId": request_id})
            result = {**result, "status": "error", "error": result["function_error"]["errorMessage"]}
        return result

    def execute_warm(function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        _function_error.set(None)
        result: dict[str, Any] = execute(function, event, request_id)
        error = _function_error.get()
        if error is None:
            return result
        return {**result, "body": error}

    lambda_runtime.Worker.invoke = worker_invoke
    lambda_svc._execute_function_warm = execute_warm


def mended_script(script: str) -> str:
    """The worker with our words in it. Raises: WorkerTextError when a text is not there exactly once."""
    function = (SCRIPT_START, INIT_ERROR_FUNCTION + SCRIPT_START)
    for old, new in (HANDLER_ERROR, INIT_ERROR, function):
        if script.count(old) != 1:
            raise WorkerTextError(f"ministack's Python worker has {script.count(old)} times: {old}")
        script = script.replace(old, new)
    return script


def _parse(message: str) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(message.partition(INIT_FAILED)[2])
    return error
