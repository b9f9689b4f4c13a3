from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from fake_aws import Client, FakeAws

from pipeline.cleanup import (
    Resource,
    check_left_over,
    empty_bucket,
    find_resources,
    is_there,
    remove_job_logs,
    remove_runtime_resources,
    stop_executions,
    stop_trails,
)
from pipeline.errors import LeftOverError, UsageError
from pipeline.settings import Settings
from pipeline.stack import BOOTSTRAP, CORE, Stack
from pipeline.teardown import check_confirmation, pick_targets


def ignore(_line: str) -> None:
    pass


class Endpoints:
    """Endpoints that are gone once they were deleted, which is refused so many times first."""

    def __init__(self, *names: str, refusals: int = 0) -> None:
        self.names = list(names)
        self.refusals = refusals

    def list(self, **_request: Any) -> dict[str, Any]:
        return {"Endpoints": [{"EndpointName": name} for name in self.names]}

    def delete(self, *, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        if self.refusals:
            self.refusals -= 1
            message = "Cannot update in-progress endpoint"
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": message}}, "DeleteEndpoint"
            )
        self.names.remove(EndpointName)
        return {}


def serving(*names: str, refusals: int = 0) -> Client:
    endpoints = Endpoints(*names, refusals=refusals)
    return Client(
        {
            "list_endpoints": endpoints.list,
            "delete_endpoint": endpoints.delete,
            "list_endpoint_configs": lambda **_r: {
                "EndpointConfigs": [{"EndpointConfigName": "mlops-staging-c"}]
            },
            "list_models": lambda **_r: {"Models": [{"ModelName": "mlops-staging-m"}]},
            "list_model_package_groups": lambda **_r: {
                "ModelPackageGroupSummaryList": [{"ModelPackageGroupName": "mlops-staging-iris"}]
            },
            "list_model_packages": lambda **_r: {"ModelPackageSummaryList": [{"ModelPackageArn": "arn/1"}]},
        }
    )


def test_an_endpoint_in_the_middle_of_a_deployment_is_asked_to_go_again(settings: Settings) -> None:
    sagemaker = serving("mlops-staging-iris", refusals=1)

    remove_runtime_resources(FakeAws(sagemaker=sagemaker).as_aws(), "mlops-staging-", report=ignore)

    assert [operation for operation, _request in sagemaker.calls][:3] == [
        "delete_endpoint",
        "delete_endpoint",
        "delete_endpoint_config",
    ]


def test_what_a_release_made_goes_endpoint_first(settings: Settings) -> None:
    sagemaker = serving("mlops-staging-iris", "mlops-production-iris")
    aws = FakeAws(sagemaker=sagemaker)

    removed = remove_runtime_resources(aws.as_aws(), "mlops-staging-", report=ignore)

    assert [operation for operation, _request in sagemaker.calls if operation.startswith("delete")] == [
        "delete_endpoint",
        "delete_endpoint_config",
        "delete_model",
        "delete_model_package",
    ]
    assert Resource("endpoint", "mlops-production-iris") not in removed


def test_a_configuration_that_an_endpoint_still_uses_is_not_deleted(settings: Settings) -> None:
    endpoint = {"EndpointName": "mlops-production-iris", "EndpointConfigName": "mlops-staging-c"}
    sagemaker = serving("mlops-production-iris")
    sagemaker.answers["describe_endpoint"] = lambda **_r: endpoint

    with pytest.raises(LeftOverError, match="mlops-production-iris uses the configuration mlops-staging-c"):
        remove_runtime_resources(FakeAws(sagemaker=sagemaker).as_aws(), "mlops-staging-", report=ignore)

    assert "delete_endpoint_config" not in [operation for operation, _request in sagemaker.calls]


def test_names_are_found_at_the_beginning_of_a_part_only() -> None:
    groups = ["/aws/lambda/mlops-staging-claim", "/aws/lambda/other-mlops-staging-x", "mlops-staging"]
    logs = Client(
        {"describe_log_groups": lambda **_r: {"logGroups": [{"logGroupName": name} for name in groups]}}
    )

    found = find_resources(FakeAws(logs=logs).as_aws(), "mlops-staging-")

    assert found == [Resource("log group", "/aws/lambda/mlops-staging-claim")]


def test_running_executions_are_stopped_before_anything_is_removed() -> None:
    machines = [
        {"name": name, "stateMachineArn": f"arn:{name}"} for name in ("mlops-staging-a", "mlops-production-a")
    ]
    states = Client(
        {
            "list_state_machines": lambda **_r: {"stateMachines": machines},
            "list_executions": lambda **request: {
                "executions": [{"executionArn": request["stateMachineArn"] + "/1"}]
            },
        }
    )

    stop_executions(FakeAws(stepfunctions=states).as_aws(), "mlops-staging-", report=ignore)

    assert [request["executionArn"] for _operation, request in states.calls] == ["arn:mlops-staging-a/1"]


def test_a_trail_stops_before_its_bucket_is_emptied() -> None:
    arns = ["arn:aws:cloudtrail:r:1:trail/mlops-staging-audit", "arn:aws:cloudtrail:r:1:trail/company"]
    trails = Client({"list_trails": lambda **_r: {"Trails": [{"TrailARN": arn} for arn in arns]}})

    stop_trails(trails, "mlops-staging-")

    assert trails.calls == [("stop_logging", {"Name": arns[0]})]


def test_a_bucket_is_emptied_of_versions_and_markers_past_governance() -> None:
    version, marker = {"Key": "a", "VersionId": "1"}, {"Key": "a", "VersionId": "2"}
    s3 = Client({"list_object_versions": lambda **_r: {"Versions": [version], "DeleteMarkers": [marker]}})

    assert empty_bucket(s3, "mlops-ledger-1") == 2
    (call,) = s3.calls
    assert call[1]["BypassGovernanceRetention"] is True
    assert call[1]["Delete"]["Objects"] == [version, marker]


def test_an_object_that_cannot_be_deleted_is_named() -> None:
    s3 = Client(
        {
            "list_object_versions": lambda **_r: {"Versions": [{"Key": "a", "VersionId": "1"}]},
            "delete_objects": lambda **_r: {"Errors": [{"Key": "a", "Message": "locked"}]},
        }
    )

    with pytest.raises(LeftOverError, match="1 objects of b cannot be deleted: a: locked"):
        empty_bucket(s3, "b")


def test_of_shared_log_groups_only_the_runs_own_streams_go() -> None:
    groups = ["/aws/sagemaker/TrainingJobs", "/aws/sagemaker/Endpoints/other"]
    logs = Client(
        {
            "describe_log_groups": lambda **_r: {"logGroups": [{"logGroupName": name} for name in groups]},
            "describe_log_streams": lambda **request: {
                "logStreams": [{"logStreamName": request["logStreamNamePrefix"] + "/algo-1"}]
            },
        }
    )

    remove_job_logs(logs, ["iris-1"])

    expected = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamName": "iris-1/algo-1"}
    assert logs.calls == [("delete_log_stream", expected)]


def test_what_is_left_is_an_error_that_names_it() -> None:
    with pytest.raises(LeftOverError, match="1 resources are left: bucket mlops-x") as failure:
        check_left_over([Resource("bucket", "mlops-x")])

    assert failure.value.exit_code == 11
    check_left_over([])


def test_everything_goes_environments_first() -> None:
    staging, production = Stack("environment", "staging"), Stack("environment", "production")

    assert pick_targets("environment", "staging", everything=True) == (staging, production, CORE, BOOTSTRAP)
    assert pick_targets("environment", "staging", everything=False) == (staging,)
    assert pick_targets("core", "staging", everything=False) == (CORE,)


def test_staging_needs_no_confirmation() -> None:
    check_confirmation([Stack("environment", "staging")], "")
    with pytest.raises(UsageError, match="--confirm production"):
        check_confirmation([Stack("environment", "production")], "")


def test_what_a_destroy_that_died_has_removed_is_not_there() -> None:
    aws = FakeAws(dynamodb=Client({"list_tables": lambda: {"TableNames": ["mlops-staging-runs"]}}))

    assert is_there(aws.as_aws(), "table", "mlops-staging-runs")
    assert not is_there(aws.as_aws(), "table", "mlops-staging-run")
