"""Scalable targets, scaling policies and scheduled actions, kept and described.

Source: Application Auto Scaling API reference.
"""

from __future__ import annotations

import copy
import time
import uuid

from localaws.errors import AwsError, ValidationError
from localaws.sagemaker.listing import page
from localaws.schema import Members, Schema
from localaws.service import Call, JsonService, Operation
from localaws.store import Scope, Store

NAME = "application-autoscaling"
TARGET, POLICY, ACTION = "ScalableTarget", "ScalingPolicy", "ScheduledAction"
DEFAULT_PAGE = 50
_SERVICE_ROLE = (
    "role/aws-service-role/{namespace}.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_{suffix}"
)
_ROLE_SUFFIXES = {"sagemaker": "SageMakerEndpoint", "dynamodb": "DynamoDBTable", "ecs": "ECSService"}
_RUNNING = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}


class Autoscaling:
    """Every target with its policies and scheduled actions."""

    def __init__(self) -> None:
        self._store = Store()
        operations: dict[str, Operation] = {
            "RegisterScalableTarget": self.register_target,
            "DescribeScalableTargets": self.describe_targets,
            "DeregisterScalableTarget": self.deregister_target,
            "PutScalingPolicy": self.put_policy,
            "DescribeScalingPolicies": self.describe_policies,
            "DeleteScalingPolicy": self.delete_policy,
            "PutScheduledAction": self.put_action,
            "DescribeScheduledActions": self.describe_actions,
            "DeleteScheduledAction": self.delete_action,
            "DescribeScalingActivities": lambda _call: {"ScalingActivities": []},
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
        }
        self.api = JsonService(Schema(NAME), operations)

    def register_target(self, call: Call) -> Members:
        params = copy.deepcopy(call.params)
        tags = params.pop("Tags", {})
        target = self._store.find(call.scope, TARGET, _target_key(params))
        if target is None:
            target = _new_target(call.scope, params)
        suspended = {**target.get("SuspendedState", _RUNNING), **params.pop("SuspendedState", {})}
        merged = {**target, **params, "SuspendedState": suspended}
        if merged["MinCapacity"] > merged["MaxCapacity"]:
            raise ValidationError("Maximum capacity cannot be less than minimum capacity")
        self._store.add(call.scope, TARGET, _target_key(params), merged)
        self._store.add_tags(call.scope, merged["ScalableTargetARN"], tags)
        return merged

    def describe_targets(self, call: Call) -> Members:
        return self._list(call, TARGET, "ScalableTargets", ids=("ResourceIds", "ResourceId"))

    def deregister_target(self, call: Call) -> Members:
        self._deregister(call.scope, call.params)
        return {}

    def scaling_variants(self, scope: Scope, endpoint: str) -> list[str]:
        """The names of the endpoint's variants that are scalable targets."""
        return [target["ResourceId"].rpartition("/")[2] for target in self._targets_of(scope, endpoint)]

    def forget_endpoint(self, scope: Scope, endpoint: str) -> None:
        """Deregisters the variants of an endpoint that is being deleted, as SageMaker does."""
        for target in self._targets_of(scope, endpoint):
            self._deregister(scope, target)

    def _targets_of(self, scope: Scope, endpoint: str) -> list[Members]:
        prefix = f"endpoint/{endpoint}/variant/"
        return [
            target for target in self._store.all(scope, TARGET) if target["ResourceId"].startswith(prefix)
        ]

    def _deregister(self, scope: Scope, params: Members) -> None:
        key = _target_key(params)
        target = self._require(scope, TARGET, key, params)
        self._store.remove(scope, TARGET, key)
        self._store.remove_tags(scope, target["ScalableTargetARN"])
        for kind, name in ((POLICY, "PolicyName"), (ACTION, "ScheduledActionName")):
            for item in self._store.all(scope, kind):
                if _target_key(item) == key:
                    self._store.remove(scope, kind, f"{key}|{item[name]}")

    def put_policy(self, call: Call) -> Members:
        target = _target_key(call.params)
        self._require(call.scope, TARGET, target, call.params)
        key = f"{target}|{call.params['PolicyName']}"
        policy = self._store.find(call.scope, POLICY, key) or {
            "PolicyARN": _arn(
                call.scope, call.params, f"policyName/{call.params['PolicyName']}", "scalingPolicy"
            ),
            "CreationTime": time.time(),
            "PolicyType": "StepScaling",
            "Alarms": [],
        }
        self._store.add(call.scope, POLICY, key, {**policy, **copy.deepcopy(call.params)})
        return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}

    def describe_policies(self, call: Call) -> Members:
        return self._list(call, POLICY, "ScalingPolicies", ids=("PolicyNames", "PolicyName"))

    def delete_policy(self, call: Call) -> Members:
        return self._delete(call, POLICY, call.params["PolicyName"])

    def put_action(self, call: Call) -> Members:
        target = _target_key(call.params)
        self._require(call.scope, TARGET, target, call.params)
        name = call.params["ScheduledActionName"]
        action = self._store.find(call.scope, ACTION, f"{target}|{name}") or {
            "ScheduledActionARN": _arn(
                call.scope, call.params, f"scheduledActionName/{name}", "scheduledAction"
            ),
            "CreationTime": time.time(),
        }
        self._store.add(call.scope, ACTION, f"{target}|{name}", {**action, **copy.deepcopy(call.params)})
        return {}

    def describe_actions(self, call: Call) -> Members:
        return self._list(
            call, ACTION, "ScheduledActions", ids=("ScheduledActionNames", "ScheduledActionName")
        )

    def delete_action(self, call: Call) -> Members:
        return self._delete(call, ACTION, call.params["ScheduledActionName"])

    def tag(self, call: Call) -> Members:
        self._tags(call).update(call.params["Tags"])
        return {}

    def untag(self, call: Call) -> Members:
        tags = self._tags(call)
        for key in call.params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags(self, call: Call) -> Members:
        return {"Tags": self._tags(call)}

    def _list(self, call: Call, kind: str, member: str, *, ids: tuple[str, str]) -> Members:
        filters: dict[str, set[str]] = {
            name: {call.params[name]}
            for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")
            if name in call.params
        }
        if call.params.get(ids[0]):
            filters[ids[1]] = set(call.params[ids[0]])
        found = [
            item
            for item in self._store.all(call.scope, kind)
            if all(item.get(name) in values for name, values in filters.items())
        ]
        return page(found, call.params, member=member, default=DEFAULT_PAGE)

    def _delete(self, call: Call, kind: str, name: str) -> Members:
        key = f"{_target_key(call.params)}|{name}"
        self._require(call.scope, kind, key, call.params)
        self._store.remove(call.scope, kind, key)
        return {}

    def _require(self, scope: Scope, kind: str, key: str, params: Members) -> Members:
        found = self._store.find(scope, kind, key)
        if found is None:
            words = {TARGET: "scalable target registered", POLICY: "scaling policy found"}.get(
                kind, "scheduled action found"
            )
            raise AwsError(
                "ObjectNotFoundException",
                f"No {words} for service namespace: {params['ServiceNamespace']}, resource ID: "
                f"{params['ResourceId']}, scalable dimension: {params.get('ScalableDimension')}",
            )
        return found

    def _tags(self, call: Call) -> dict[str, str]:
        tags = self._store.tags(call.scope, call.params["ResourceARN"])
        if tags is None:
            raise AwsError("ResourceNotFoundException", f"No such resource: {call.params['ResourceARN']}")
        return tags


def _target_key(params: Members) -> str:
    return "|".join((params["ServiceNamespace"], params["ResourceId"], params["ScalableDimension"]))


def _new_target(scope: Scope, params: Members) -> Members:
    if not {"MinCapacity", "MaxCapacity"} <= params.keys():
        raise ValidationError("MinCapacity and MaxCapacity are required to register a new scalable target")
    namespace = params["ServiceNamespace"]
    suffix = _ROLE_SUFFIXES.get(namespace, namespace.capitalize())
    role = _SERVICE_ROLE.format(namespace=namespace, suffix=suffix)
    prefix = f"arn:aws:{NAME}:{scope.region}:{scope.account_id}"
    return {
        "ScalableTargetARN": f"{prefix}:scalable-target/{uuid.uuid4().hex}",
        "CreationTime": time.time(),
        "RoleARN": f"arn:aws:iam::{scope.account_id}:{role}",
    }


def _arn(scope: Scope, params: Members, name: str, kind: str) -> str:
    resource = f"resource/{params['ServiceNamespace']}/{params['ResourceId']}"
    return f"arn:aws:autoscaling:{scope.region}:{scope.account_id}:{kind}:{uuid.uuid4()}:{resource}:{name}"
