"""Application Auto Scaling keeps what Terraform and a release register."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import LocalAws


@pytest.fixture
def target(name: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


@pytest.fixture
def scaling(aws: LocalAws) -> Any:
    return aws.client("application-autoscaling")


def test_target_is_registered_changed_and_deregistered(scaling: Any, target: dict[str, str]) -> None:
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4, Tags={"Project": "test"})
    arn = scaling.register_scalable_target(**target, MaxCapacity=6)["ScalableTargetARN"]

    (found,) = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]]
    )["ScalableTargets"]

    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 6)
    assert found["SuspendedState"]["DynamicScalingInSuspended"] is False
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"Project": "test"}
    scaling.deregister_scalable_target(**target)
    with pytest.raises(ClientError) as missing:
        scaling.deregister_scalable_target(**target)
    assert missing.value.response["Error"]["Code"] == "ObjectNotFoundException"


def test_a_role_may_be_held_to_scalable_targets(aws: LocalAws, name: str, target: dict[str, str]) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    allow = {
        "Effect": "Allow",
        "Action": ["application-autoscaling:RegisterScalableTarget"],
        "Resource": "arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    scaling = aws.client(
        "application-autoscaling",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )

    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)

    with pytest.raises(ClientError, match="application-autoscaling:DeregisterScalableTarget"):
        scaling.deregister_scalable_target(**target)


def test_policy_goes_with_its_target(scaling: Any, target: dict[str, str]) -> None:
    tracking = {
        "TargetValue": 100.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    policy = {
        **target,
        "PolicyName": "load",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": tracking,
    }
    with pytest.raises(ClientError, match="No scalable target registered"):
        scaling.put_scaling_policy(**policy)
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)
    scaling.put_scaling_policy(**policy)

    def policies() -> list[dict[str, Any]]:
        query = {"ServiceNamespace": "sagemaker", "ResourceId": target["ResourceId"]}
        return list(scaling.describe_scaling_policies(**query)["ScalingPolicies"])

    (found,) = policies()
    assert found["TargetTrackingScalingPolicyConfiguration"] == tracking
    scaling.deregister_scalable_target(**target)
    assert policies() == []


def test_minimum_above_maximum_is_refused(scaling: Any, target: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="cannot be less than minimum"):
        scaling.register_scalable_target(**target, MinCapacity=5, MaxCapacity=4)


def test_registering_needs_a_permission(aws: LocalAws, target: dict[str, str]) -> None:
    scaling = aws.client("application-autoscaling", profile="alice")

    with pytest.raises(ClientError, match="application-autoscaling:RegisterScalableTarget") as refused:
        scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
