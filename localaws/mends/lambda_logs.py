"""Lambda: a function's output is written to its log in the function's role.

AWS: Lambda makes the stream and writes the events with the execution role's permissions; without them the
    function runs and nothing is written ["Sending Lambda function logs to CloudWatch Logs"].
ministack: writes to the log store itself and asks nobody.
Hook: `services/lambda_svc.py::_emit_lambda_logs`.
"""

from __future__ import annotations

import logging
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import lambda_svc

from localaws.mends import role_sessions
from localaws.mends.lambda_environment import SERVICE_PRINCIPAL

VERSION = "1.5.33"

ACTIONS = ("logs:CreateLogStream", "logs:PutLogEvents")

logger = logging.getLogger(__name__)


def apply() -> None:
    """Makes logs be written by who may write them."""
    emit = lambda_svc._emit_lambda_logs

    def emit_if_allowed(function: dict[str, Any], *arguments: Any, **options: Any) -> None:
        config = function.get("config") or function
        if not config.get("Role") or may_write(config):
            emit(function, *arguments, **options)
        else:
            logger.warning("%s may not write its log.", config.get("FunctionName"))

    lambda_svc._emit_lambda_logs = emit_if_allowed


def may_write(config: dict[str, Any]) -> bool:
    """Whether the function's role may make a stream in the function's log group and write to it."""
    name = config.get("FunctionName", "unknown")
    group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
    stream = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:log-stream:any"
    try:
        keys = role_sessions.credentials(
            config["Role"],
            service_principal=SERVICE_PRINCIPAL,
            session_name=name,
            source_arn=config.get("FunctionArn"),
        )
    except role_sessions.RoleError:
        return False
    return all(
        iam_evaluator.enforce(keys.access_key_id, action, "logs", get_region(), resource_arn=stream) is None
        for action in ACTIONS
    )
