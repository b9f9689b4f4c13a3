"""Which IAM action a request to this package's services is, and on which resource.

For ministack 1.5.33: it finds the action of JSON services by itself; the runtime's path and every resource
ARN are found here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_actions, iam_evaluator

from localaws.mends import iam_resources
from localaws.sagemaker import kinds
from localaws.sagemaker.kinds import Kind
from localaws.schema import Members
from localaws.store import Scope

RUNTIME = "sagemaker-runtime"
_KINDS = {kind.name: kind for kind in vars(kinds).values() if isinstance(kind, Kind)}
_VERBS = ("Create", "Describe", "Update", "Delete", "Start", "Stop")
# Operations that are about a configuration besides the endpoint.
_CONFIGURING = ("CreateEndpoint", "UpdateEndpoint")
# Operations whose resource is not in their name.
_KIND_OF = {"UpdateEndpointWeightsAndCapacities": kinds.ENDPOINT}
# Application Auto Scaling's operations on one target; those that describe have no resource.
_SCALING = {
    "DeleteScalingPolicy",
    "DeleteScheduledAction",
    "DeregisterScalableTarget",
    "PutScalingPolicy",
    "PutScheduledAction",
    "RegisterScalableTarget",
}


def install() -> None:
    """Teaches ministack's router and IAM about these services."""
    detect_service = app.detect_service
    extract_action = iam_actions.extract_iam_action
    extract_resource = iam_actions.extract_resource_arn
    enforce = iam_evaluator.enforce

    def detect(method: str, path: str, headers: Mapping[str, str], query: Any) -> str:
        service = str(detect_service(method, path, headers, query))
        return RUNTIME if service == "sagemaker" and path.startswith("/endpoints/") else service

    def action_of(service: str, method: str, path: str, *rest: Any) -> str | None:
        if service == RUNTIME:
            return runtime_action(path)
        action: str | None = extract_action(service, method, path, *rest)
        return action

    def resource_of(
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Any,
        region: str,
        account_id: str,
    ) -> str:
        scope = Scope(account_id, region)
        if service == RUNTIME:
            return kinds.ENDPOINT.arn(scope, unquote(path).split("/")[2])
        if service in ("sagemaker", "application-autoscaling"):
            iam_resources.name_others(
                other_arns(headers.get("x-amz-target", "").rpartition(".")[2], body, scope)
            )
            return resource_arn(headers.get("x-amz-target", "").rpartition(".")[2], body, scope)
        return str(extract_resource(service, method, path, headers, body, query, region, account_id))

    def enforce_tagging(
        access_key_id: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        denied = enforce(access_key_id, action, service, region, resource_arn, service_context)
        # What is made with tags needs the right to tag it.
        is_tagging = (service_context or {}).get("aws:TagKeys") and makes(action, resource_arn)
        if denied is not None or not is_tagging:
            return denied
        return enforce(access_key_id, "sagemaker:AddTags", service, region, resource_arn, service_context)

    iam_evaluator.enforce = enforce_tagging
    app.detect_service = detect
    iam_actions.extract_iam_action = action_of
    iam_actions.extract_resource_arn = resource_of


def makes(action: str, resource_arn: str) -> bool:
    """Whether the action makes the resource; what it makes it from is another one."""
    kind = _KINDS.get(action.removeprefix("sagemaker:Create"))
    return kind is not None and f":{kind.segment}/" in resource_arn


def runtime_action(path: str) -> str:
    """The action of a request to an endpoint."""
    operations = {
        "async-invocations": "InvokeEndpointAsync",
        "invocations-response-stream": "InvokeEndpointWithResponseStream",
    }
    return f"sagemaker:{operations.get(path.rpartition('/')[2], 'InvokeEndpoint')}"


def other_arns(operation: str, body: bytes, scope: Scope) -> list[str]:
    """The ARNs that a SageMaker request is about besides its first one."""
    params = _params(body) if operation in _CONFIGURING else {}
    name = params.get("EndpointConfigName")
    return [kinds.ENDPOINT_CONFIG.arn(scope, str(name))] if name else []


def resource_arn(operation: str, body: bytes, scope: Scope) -> str:
    """The ARN that a SageMaker request acts on, or `*` for those that act on none."""
    params = _params(body)
    for member in ("ResourceArn", "ResourceARN"):
        if member in params:
            return str(params[member])
    if operation in _SCALING:
        # A target that is to be made has no id yet, and requests never name it.
        return f"arn:aws:application-autoscaling:{scope.region}:{scope.account_id}:scalable-target/*"
    kind = _KIND_OF.get(operation) or _kind_of(operation)
    return _named(kind, params, scope) if kind else "*"


def _params(body: bytes) -> Members:
    """The request's members; none where the service will refuse the body itself."""
    try:
        params = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return params if isinstance(params, dict) else {}


def _kind_of(operation: str) -> Kind | None:
    for verb in _VERBS:
        if operation.startswith(verb):
            return _KINDS.get(operation.removeprefix(verb))
    return None


def _named(kind: Kind, params: Members, scope: Scope) -> str:
    if kind is kinds.MODEL_PACKAGE and "ModelPackageGroupName" in params:
        # A version that is to be made has no number yet; IAM asks for the group's packages.
        return kind.arn(scope, f"{str(params['ModelPackageGroupName']).rpartition('/')[2]}/*")
    name = str(params.get(kind.arn_key) or params.get(kind.name_key) or "")
    if not name:
        return "*"
    return name if name.startswith("arn:") else kind.arn(scope, name)
