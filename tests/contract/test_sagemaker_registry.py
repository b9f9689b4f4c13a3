"""The control plane: kept resources, the model registry, tags, lists, events and permissions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from local_aws import LocalAws, wait_until


@pytest.fixture
def sagemaker(aws: LocalAws) -> Any:
    return aws.client("sagemaker")


@pytest.fixture
def group(sagemaker: Any, name: str) -> str:
    sagemaker.create_model_package_group(
        ModelPackageGroupName=name, Tags=[{"Key": "Project", "Value": "test"}]
    )
    return name


def package(group: str, **changes: Any) -> dict[str, Any]:
    containers = [{"Image": "127.0.0.1:1/x@sha256:" + "0" * 64, "ModelDataUrl": "s3://test-bucket/m.tar.gz"}]
    return {
        "ModelPackageGroupName": group,
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": containers,
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "CustomerMetadataProperties": {"run_id": "r1"},
        **changes,
    }


@pytest.fixture
def events(aws: LocalAws, name: str) -> Any:
    """Everything that SageMaker tells EventBridge during a test."""
    sqs, bus = aws.client("sqs"), aws.client("events")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    bus.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
    bus.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def received() -> list[dict[str, Any]]:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]

    yield received
    bus.remove_targets(Rule=name, Ids=["queue"])
    bus.delete_rule(Name=name)


def test_versions_are_numbered_in_their_group(sagemaker: Any, group: str) -> None:
    arns = [sagemaker.create_model_package(**package(group))["ModelPackageArn"] for _ in range(2)]

    listed = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]

    assert [arn.rpartition("/")[2] for arn in arns] == ["1", "2"]
    assert [item["ModelPackageVersion"] for item in listed] == [2, 1]
    described = sagemaker.describe_model_package(ModelPackageName=arns[1])
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["CustomerMetadataProperties"] == {"run_id": "r1"}


def test_client_token_makes_one_version(sagemaker: Any, group: str) -> None:
    arns = {
        sagemaker.create_model_package(**package(group, ClientToken=f"token-{group}"))["ModelPackageArn"]
        for _ in range(3)
    }

    assert len(arns) == 1


def test_approval_is_told_to_eventbridge(sagemaker: Any, group: str, events: Any) -> None:
    arn = sagemaker.create_model_package(**package(group))["ModelPackageArn"]
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="approved by bob: good"
    )

    seen: list[dict[str, Any]] = []

    def approved() -> list[dict[str, Any]]:
        seen.extend(events())
        return [event for event in seen if event["detail"].get("ModelApprovalStatus") == "Approved"]

    (event,) = wait_until(approved)
    assert event["detail-type"] == "SageMaker Model Package State Change"
    assert event["resources"] == [arn]
    detail = event["detail"]
    assert (detail["ModelPackageGroupName"], detail["ModelPackageVersion"]) == (group, 1)
    assert detail["ModelPackageArn"] == arn
    assert detail["CustomerMetadataProperties"] == {"run_id": "r1"}
    assert detail["ApprovalDescription"] == "approved by bob: good"


def test_metadata_is_added_and_removed_by_name(sagemaker: Any, group: str) -> None:
    arn = sagemaker.create_model_package(**package(group))["ModelPackageArn"]

    sagemaker.update_model_package(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"commit": "abc"},
        CustomerMetadataPropertiesToRemove=["run_id"],
    )

    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert described["CustomerMetadataProperties"] == {"commit": "abc"}
    assert described["LastModifiedBy"]["IamIdentity"]["Arn"] == "arn:aws:iam::123456789012:root"


def test_group_with_packages_is_not_deleted(sagemaker: Any, group: str) -> None:
    arn = sagemaker.create_model_package(**package(group))["ModelPackageArn"]

    with pytest.raises(ClientError, match="still contains model packages") as refused:
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)

    assert refused.value.response["Error"]["Code"] == "ConflictException"
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_tags_are_seen_by_the_tagging_api(aws: LocalAws, sagemaker: Any, group: str) -> None:
    arn = sagemaker.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "Run", "Value": group}])

    found = aws.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "Run", "Values": [group]}]
    )

    assert [item["ResourceARN"] for item in found["ResourceTagMappingList"]] == [arn]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["Run"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "Project", "Value": "test"}]


def test_lists_come_in_pages(sagemaker: Any, name: str, role_arn: str) -> None:
    container = {"Image": "127.0.0.1:1/x:1"}
    for number in range(5):
        sagemaker.create_model(
            ModelName=f"{name}-{number}", PrimaryContainer=container, ExecutionRoleArn=role_arn
        )

    pages = list(
        sagemaker.get_paginator("list_models").paginate(
            NameContains=name, SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
        )
    )

    assert [[model["ModelName"][-1] for model in page["Models"]] for page in pages] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"PrimaryContainer": {}}, "'modelName' failed to satisfy constraint: Member must not be null"),
        ({"ModelName": "a", "Colour": "red"}, "Unknown parameter 'Colour'"),
        ({"ModelName": 7}, "Value '7' at 'modelName' is not of type string"),
        ({"ModelName": "a b"}, "Member must satisfy regular expression pattern"),
        ({"ModelName": "a" * 64}, "Member must have length less than or equal to 63"),
        (
            {"ModelName": "a", "InferenceExecutionConfig": {"Mode": "Quick"}},
            "Member must satisfy enum value set: [Serial, Direct]",
        ),
    ],
)
def test_request_that_the_model_forbids_is_refused(aws: LocalAws, params: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError) as refused:
        raw_call(aws, "CreateModel", params)

    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert words in error["Message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000, b'{"ModelName": "\xff"}'])
def test_body_that_is_no_json_object_is_refused(aws: LocalAws, body: bytes) -> None:
    with pytest.raises(ClientError) as refused:
        send_body(aws, "CreateModel", body)

    assert refused.value.response["Error"]["Code"] == "SerializationException"


@pytest.mark.parametrize(
    ("operation", "body", "words"),
    [
        ("ListModels", b'{"CreationTimeAfter": "yesterday"}', "Value 'yesterday' at 'creationTimeAfter'"),
        ("ListModels", b'{"CreationTimeAfter": 1e300}', "at 'creationTimeAfter' is not a time"),
        ("UpdateEndpointWeightsAndCapacities", b"NaN", "Value 'nan' at"),
        ("UpdateEndpointWeightsAndCapacities", b"1e999", "desiredWeight' is not a finite number"),
    ],
)
def test_times_and_numbers_that_are_none_are_refused(
    aws: LocalAws, operation: str, body: bytes, words: str
) -> None:
    if operation != "ListModels":
        change = b'{"VariantName": "a", "DesiredWeight": %b}' % body
        body = b'{"EndpointName": "a", "DesiredWeightsAndCapacities": [%b]}' % change

    with pytest.raises(ClientError, match=words) as refused:
        send_body(aws, operation, body)

    assert refused.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize("token", ["LTU=", "/w==", "not base64"])
def test_token_of_no_page_is_refused(sagemaker: Any, token: str) -> None:
    with pytest.raises(ClientError, match="Invalid NextToken"):
        sagemaker.list_models(NextToken=token)


def raw_call(aws: LocalAws, operation: str, params: dict[str, Any]) -> Any:
    """Sends parameters that botocore would not even serialise."""
    return send_body(aws, operation, json.dumps(params).encode())


def send_body(aws: LocalAws, operation: str, body: bytes) -> Any:
    sagemaker = aws.client("sagemaker")

    def replace_body(request: Any, **_: Any) -> None:
        request.data = body

    sagemaker.meta.events.register(f"before-sign.sagemaker.{operation}", replace_body)
    return getattr(sagemaker, xform_name(operation))()


def test_operation_that_is_not_covered_says_so(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="does not cover sagemaker:ListNotebookInstances") as refused:
        sagemaker.list_notebook_instances()

    assert refused.value.response["Error"]["Code"] == "NotImplemented"


def test_permissions_are_asked_for_on_the_named_resource(aws: LocalAws, group: str) -> None:
    iam = aws.client("iam")
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package-group/{group}"
    statement = {"Effect": "Allow", "Action": "sagemaker:DescribeModelPackageGroup", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="alice", PolicyName=group, PolicyDocument=policy)
    sagemaker = aws.client("sagemaker", profile="alice")

    assert (
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupName"] == group
    )
    with pytest.raises(ClientError, match="sagemaker:DescribeModelPackageGroup"):
        sagemaker.describe_model_package_group(ModelPackageGroupName="another")
    with pytest.raises(ClientError, match="sagemaker:DeleteModelPackageGroup"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)


def test_pipeline_schedule_and_job_definition_are_kept(sagemaker: Any, name: str, role_arn: str) -> None:
    sagemaker.create_pipeline(
        PipelineName=name, PipelineDefinition="{}", ClientRequestToken="t" * 32, RoleArn=role_arn
    )
    schedule = {
        "MonitoringJobDefinitionName": name,
        "MonitoringType": "DataQuality",
        "ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"},
    }
    sagemaker.create_monitoring_schedule(MonitoringScheduleName=name, MonitoringScheduleConfig=schedule)

    assert sagemaker.describe_pipeline(PipelineName=name)["PipelineStatus"] == "Active"
    found = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    assert (found["MonitoringScheduleStatus"], found["MonitoringType"]) == ("Scheduled", "DataQuality")
    sagemaker.stop_monitoring_schedule(MonitoringScheduleName=name)
    assert (
        sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)["MonitoringScheduleStatus"]
        == "Stopped"
    )
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName=name)
    sagemaker.delete_pipeline(PipelineName=name, ClientRequestToken="t" * 32)
    with pytest.raises(ClientError) as missing:
        sagemaker.describe_pipeline(PipelineName=name)
    assert missing.value.response["Error"]["Code"] == "ResourceNotFound"
