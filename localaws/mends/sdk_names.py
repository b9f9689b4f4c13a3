"""The names Step Functions uses for services, members and errors: those of the AWS SDKs for Java.

Not a mend: `stepfunctions_integrations` uses it. `aws-sdk:` integrations follow version 2 of that SDK,
optimized ones version 1 ["Learning to use AWS service SDK integrations in Step Functions"].
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any

from botocore.model import ServiceModel, Shape

# Services whose name in an `aws-sdk:` resource is not botocore's.
CLIENT_NAMES = {
    "applicationautoscaling": "application-autoscaling",
    "cloudwatchlogs": "logs",
    "costexplorer": "ce",
    "elasticloadbalancingv2": "elbv2",
    "eventbridge": "events",
    "sagemakerruntime": "sagemaker-runtime",
    "sfn": "stepfunctions",
    "states": "stepfunctions",
}
# Java's reserved words.
RENAMED_MEMBERS = {"NULL": "Nul"}


def client_name(service: str) -> str:
    """botocore's name of a service."""
    return CLIENT_NAMES.get(service, service)


def class_prefix(service_id: str) -> str:
    """How version 2 begins a service's class names: `DynamoDB` is `DynamoDb`, `SFN` is `Sfn`."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", service_id)
    return "".join(word.capitalize() for word in words)


def exception_name(model: ServiceModel, code: str) -> str | None:
    """The exception class of a modelled error code; None when the service's model has no such error."""
    for shape in model.error_shapes:
        if code in (shape.name, shape.metadata.get("error", {}).get("code")):
            return f"{re.sub(r'(Exception|Fault|Error)$', '', shape.name)}Exception"
    return None


def sdk_error(model: ServiceModel, code: str) -> str:
    """The error name of a failed `aws-sdk:` call: `SageMaker.ResourceNotFoundException`, `S3.S3Exception`."""
    prefix = class_prefix(str(model.service_id))
    return f"{prefix}.{exception_name(model, code) or f'{prefix}Exception'}"


def member_name(name: str) -> str:
    """How a state machine writes a member of an API: `DBInstanceId` is `DbInstanceId`, `arn` is `Arn`."""
    if name in RENAMED_MEMBERS:
        return RENAMED_MEMBERS[name]
    end = 1
    while end < len(name) and name[end].isupper() and not name[end + 1 : end + 2].islower():
        end += 1
    return name[0].upper() + name[1:end].lower() + name[end:]


def to_request(value: Any, shape: Shape | None) -> Any:
    """Parameters of a task as botocore wants them; members are found whatever their case."""
    if shape is None or value is None:
        return value
    if (
        shape.type_name == "structure"
        and isinstance(value, dict)
        and not getattr(shape, "is_document_type", False)
    ):
        members = {member_name(name).lower(): name for name in shape.members}  # type: ignore[attr-defined]
        names = {key: members.get(key.lower(), key) for key in value}
        return {
            name: to_request(value[key], shape.members.get(name))  # type: ignore[attr-defined]
            for key, name in names.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [to_request(item, shape.member) for item in value]  # type: ignore[attr-defined]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: to_request(item, shape.value) for key, item in value.items()}  # type: ignore[attr-defined]
    if shape.type_name == "blob" and isinstance(value, str):
        return value.encode()
    return value


def to_result(value: Any, shape: Shape | None, *, epoch_ms: bool) -> Any:
    """A response as the state machine sees it. Times are epoch milliseconds in optimized integrations."""
    if isinstance(value, datetime):
        return _time(value, epoch_ms=epoch_ms)
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, dict) and shape is not None and shape.type_name == "structure":
        return {
            member_name(key): to_result(item, shape.members.get(key), epoch_ms=epoch_ms)  # type: ignore[attr-defined]
            for key, item in value.items()
            if key != "ResponseMetadata"
        }
    if isinstance(value, dict):
        inner = getattr(shape, "value", None)
        return {key: to_result(item, inner, epoch_ms=epoch_ms) for key, item in value.items()}
    if isinstance(value, list):
        return [to_result(item, getattr(shape, "member", None), epoch_ms=epoch_ms) for item in value]
    return value


def _time(value: datetime, *, epoch_ms: bool) -> str | int:
    if epoch_ms:
        return round(value.timestamp() * 1000)
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
