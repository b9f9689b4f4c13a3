"""What a release asks SageMaker for: by digest, encrypted, isolated, tagged, and with a way back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from release_samples import RELEASE, SERVING, SERVING_SETTINGS

from pipeline.errors import UsageError
from pipeline.release import (
    Autoscaling,
    Traffic,
    create_endpoint_request,
    endpoint_config_request,
    model_request,
    parse_serving,
    resource_name,
    update_endpoint_request,
)


def tags_of(request: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request["Tags"]}


def test_serving_settings_are_parsed_from_terraforms_json() -> None:
    assert parse_serving(SERVING_SETTINGS) == SERVING


def test_bounds_of_scaling_are_parsed_where_there_are_any() -> None:
    bounds = {
        "min_instances": 2,
        "max_instances": 6,
        "invocations_per_instance": 1000,
        "scale_in_cooldown_s": 300,
        "scale_out_cooldown_s": 60,
    }

    serving = parse_serving({**SERVING_SETTINGS, "autoscaling": bounds})

    assert serving.autoscaling == Autoscaling(2, 6, 1000, 300, 60)


def test_the_model_is_the_approved_image_and_artefact() -> None:
    request = model_request(RELEASE, serving=SERVING)

    assert request["PrimaryContainer"] == {"Image": RELEASE.image, "ModelDataUrl": RELEASE.model_data_url}
    assert request["EnableNetworkIsolation"] is True
    assert "VpcConfig" not in request
    assert tags_of(request) == {
        "Project": "mlops",
        "Environment": "production",
        "Model": "iris",
        "ManagedBy": "release",
        "Run": RELEASE.run_id,
        "Commit": "0123abc",
        "ModelPackage": RELEASE.model_package_arn,
    }


def test_a_model_is_placed_in_the_given_subnets() -> None:
    serving = dataclasses.replace(SERVING, subnet_ids=("subnet-1",), security_group_ids=("sg-1",))

    assert model_request(RELEASE, serving=serving)["VpcConfig"] == {
        "Subnets": ["subnet-1"],
        "SecurityGroupIds": ["sg-1"],
    }


def test_the_endpoint_configuration_is_encrypted_and_knows_the_way_back() -> None:
    request = endpoint_config_request(RELEASE, serving=SERVING, previous="before")

    (variant,) = request["ProductionVariants"]
    assert (variant["VariantName"], variant["InitialInstanceCount"]) == ("main", 2)
    assert request["KmsKeyId"] == SERVING.kms_key_arn
    assert tags_of(request)["Previous"] == "before"


def test_without_a_key_or_a_previous_configuration_none_is_named() -> None:
    serving = dataclasses.replace(SERVING, kms_key_arn=None)
    request = endpoint_config_request(RELEASE, serving=serving, previous=None)

    assert "KmsKeyId" not in request
    assert "Previous" not in tags_of(request)


def test_the_endpoint_bears_only_tags_that_stay_true() -> None:
    assert set(tags_of(create_endpoint_request(RELEASE))) == {"Project", "Environment", "Model", "ManagedBy"}


@pytest.mark.parametrize(
    ("traffic", "routing"),
    [
        (Traffic("ALL_AT_ONCE", 0), {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}),
        (
            Traffic("CANARY", 300, 10),
            {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 300,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            },
        ),
        (
            Traffic("LINEAR", 60, 25),
            {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 60,
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
            },
        ),
    ],
)
def test_an_update_shifts_traffic_and_watches_the_alarms(traffic: Traffic, routing: dict[str, Any]) -> None:
    request = update_endpoint_request(
        RELEASE, serving=dataclasses.replace(SERVING, traffic=traffic), endpoint={}
    )

    deployment = request["DeploymentConfig"]
    assert deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] == routing
    assert deployment["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "5xx"}]}


def test_other_content_has_another_name_and_equal_content_the_same() -> None:
    def name(**content: Any) -> str:
        return resource_name(
            "iris-0123456789abcdef", project="mlops", environment="production", content=content
        )

    assert name(image="a") == name(image="a")
    assert name(image="a") != name(image="b")
    assert name(image="a").startswith("mlops-production-iris-0123456789abcdef-")


def test_a_name_that_sagemaker_would_refuse_is_refused_first() -> None:
    with pytest.raises(UsageError, match="SageMaker takes 63"):
        resource_name("m" * 40 + "-0123456789abcdef", project="mlops", environment="production", content={})
