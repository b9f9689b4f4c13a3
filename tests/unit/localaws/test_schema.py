"""Requests and answers held against botocore's models."""

from __future__ import annotations

import re

import pytest

from localaws import schema
from localaws.errors import AwsError, ValidationError
from localaws.schema import Schema

SAGEMAKER = Schema("sagemaker")


def test_every_fault_is_named() -> None:
    tags = [{"Key": "a", "Value": 1}]

    with pytest.raises(ValidationError) as refused:
        SAGEMAKER.validate("CreateModelPackageGroup", {"Tags": tags, "Colour": "red"})

    message = refused.value.message
    assert message.startswith("3 validation errors detected")
    assert "'modelPackageGroupName'" in message
    assert "'tags.1.member.value' is not of type string" in message
    assert "Unknown parameter 'Colour'" in message


def test_boolean_is_no_number() -> None:
    condition = {"MaxRuntimeInSeconds": True}

    with pytest.raises(ValidationError, match="is not of type integer"):
        SAGEMAKER.validate("CreateTrainingJob", {"StoppingCondition": condition})


def test_tags_in_every_script_are_taken() -> None:
    tags = [{"Key": "Projekt: Müller/Größe", "Value": "数 1+1=2 @home"}]

    SAGEMAKER.validate("CreateModelPackageGroup", {"ModelPackageGroupName": "a", "Tags": tags})


@pytest.mark.parametrize("service", ["sagemaker", "application-autoscaling"])
def test_every_pattern_of_the_model_is_understood(service: str) -> None:
    model = Schema(service).model

    patterns = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names} - {None}

    assert patterns
    assert all(isinstance(schema._compile(pattern), re.Pattern) for pattern in patterns)


def test_answer_has_only_what_the_model_knows() -> None:
    members = {
        "ModelName": "a",
        "_secret": 1,
        "PrimaryContainer": {"Image": "i", "Other": 2},
        "CreationTime": 1.5,
    }

    answer = SAGEMAKER.answer("DescribeModel", members)

    assert answer == {"ModelName": "a", "PrimaryContainer": {"Image": "i"}, "CreationTime": 1.5}


def test_operation_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AwsError, match="no operation 'MakeCoffee'"):
        SAGEMAKER.validate("MakeCoffee", {})
