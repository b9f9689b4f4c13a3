"""What Terraform does not own: finding and removing what releases and runs made, and saying what is left.

Terraform owns what is stable. Endpoints, their configurations, models, model packages, scaling targets, log
groups and objects come with each run; they bear the environment's name prefix and go before the destroy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from pipeline.aws import Aws
from pipeline.endpoints import find_users
from pipeline.errors import LeftOverError
from pipeline.settings import Environment, Settings

Report = Callable[[str], None]
_DELETE_BATCH = 1000
_ENDPOINT_LIMIT_S = 900
_JOB_LOG_GROUPS = {"/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"}


@dataclass(frozen=True)
class Resource:
    kind: str
    name: str


@dataclass(frozen=True)
class Listing:
    """One call that lists resources of a kind, and where in its answer their names are."""

    kind: str
    service: str
    operation: str
    names: str
    parameters: dict[str, Any] = field(default_factory=dict)


# Runtime resources stand in the order in which they can be removed.
LISTINGS = (
    Listing(
        "scaling target",
        "application-autoscaling",
        "describe_scalable_targets",
        "ScalableTargets[].ResourceId",
        {"ServiceNamespace": "sagemaker"},
    ),
    Listing("endpoint", "sagemaker", "list_endpoints", "Endpoints[].EndpointName"),
    Listing(
        "endpoint configuration", "sagemaker", "list_endpoint_configs", "EndpointConfigs[].EndpointConfigName"
    ),
    Listing("model", "sagemaker", "list_models", "Models[].ModelName"),
    Listing(
        "model package group",
        "sagemaker",
        "list_model_package_groups",
        "ModelPackageGroupSummaryList[].ModelPackageGroupName",
    ),
    Listing("bucket", "s3", "list_buckets", "Buckets[].Name"),
    Listing("table", "dynamodb", "list_tables", "TableNames[]"),
    Listing("state machine", "stepfunctions", "list_state_machines", "stateMachines[].name"),
    Listing("function", "lambda", "list_functions", "Functions[].FunctionName"),
    Listing("rule", "events", "list_rules", "Rules[].Name"),
    Listing("queue", "sqs", "list_queues", "QueueUrls[]"),
    Listing("topic", "sns", "list_topics", "Topics[].TopicArn"),
    Listing("trail", "cloudtrail", "list_trails", "Trails[].Name"),
    Listing("dashboard", "cloudwatch", "list_dashboards", "DashboardEntries[].DashboardName"),
    Listing("alarm", "cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    Listing("log group", "logs", "describe_log_groups", "logGroups[].logGroupName"),
    Listing("repository", "ecr", "describe_repositories", "repositories[].repositoryName"),
    Listing("role", "iam", "list_roles", "Roles[].RoleName"),
    Listing("policy", "iam", "list_policies", "Policies[].PolicyName", {"Scope": "Local"}),
    Listing("network", "ec2", "describe_vpcs", "Vpcs[].Tags[] | [?Key=='Name'].Value"),
    Listing("key alias", "kms", "list_aliases", "Aliases[].AliasName"),
)


def environment_prefix(settings: Settings, environment: Environment | None) -> str:
    """What every name of an environment, or of the whole project, begins with."""
    return f"{settings.project}-{environment}-" if environment else f"{settings.project}-"


def find_resources(aws: Aws, prefix: str, *, listings: Sequence[Listing] = LISTINGS) -> list[Resource]:
    """Everything whose name, or a part of it after a slash or colon, begins with the prefix."""
    pattern = re.compile(rf"(?:^|[/:]){re.escape(prefix)}")
    return [
        Resource(listing.kind, name)
        for listing in listings
        for name in list_names(aws, listing)
        if pattern.search(name)
    ]


def list_names(aws: Aws, listing: Listing) -> Iterator[str]:
    pages = aws.client(listing.service).get_paginator(listing.operation).paginate(**listing.parameters)
    # An answer without the list gives one None.
    return (name for name in pages.search(listing.names) if name is not None)


def is_there(aws: Aws, kind: str, name: str) -> bool:
    """Whether something of a listed kind has exactly this name."""
    return name in list_names(aws, next(listing for listing in LISTINGS if listing.kind == kind))


def check_left_over(resources: Sequence[Resource]) -> None:
    if resources:
        names = ", ".join(f"{resource.kind} {resource.name}" for resource in resources)
        raise LeftOverError(
            f"{len(resources)} resources are left: {names}. Run `mlops destroy` again; what an "
            "apply that died had made and not written down is removed after a plan and an apply."
        )


def remove_runtime_resources(aws: Aws, prefix: str, *, report: Report) -> list[Resource]:
    """Removes what runs and releases made under the prefix; what was removed."""
    stop_executions(aws, prefix, report=report)
    removed = []
    for listing in LISTINGS:
        remove = _REMOVERS.get(listing.kind)
        if remove is None:
            continue
        for resource in find_resources(aws, prefix, listings=[listing]):
            report(f"removing {resource.kind} {resource.name}")
            remove(aws, resource.name)
            removed.append(resource)
    return removed


def stop_executions(aws: Aws, prefix: str, *, report: Report) -> None:
    """Nothing may start a new endpoint while the old ones are being removed."""
    states = aws.client("stepfunctions")
    machines = states.get_paginator("list_state_machines").paginate().search("stateMachines[]")
    for machine in machines:
        if not machine or not machine["name"].startswith(prefix):
            continue
        running = states.get_paginator("list_executions").paginate(
            stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING"
        )
        for arn in running.search("executions[].executionArn"):
            if arn:
                report(f"stopping execution {arn}")
                states.stop_execution(executionArn=arn, cause="The environment is being destroyed.")


def remove_log_groups(aws: Aws, prefix: str) -> None:
    """Endpoints and functions make theirs when they first write."""
    listing = next(listing for listing in LISTINGS if listing.kind == "log group")
    for resource in find_resources(aws, prefix, listings=[listing]):
        aws.client("logs").delete_log_group(logGroupName=resource.name)


def remove_job_logs(logs: Any, run_ids: Sequence[str]) -> None:
    """The streams of these runs' jobs, in the log groups that all jobs of an account share."""
    groups = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws/sagemaker/")
    shared = [name for name in groups.search("logGroups[].logGroupName") if name in _JOB_LOG_GROUPS]
    for group in shared:
        for run_id in run_ids:
            streams = logs.get_paginator("describe_log_streams").paginate(
                logGroupName=group, logStreamNamePrefix=run_id
            )
            for stream in list(streams.search("logStreams[].logStreamName")):
                logs.delete_log_stream(logGroupName=group, logStreamName=stream)


def remove_images(ecr: Any, repository: str) -> None:
    """Terraform does not destroy a repository that holds images."""
    pages = ecr.get_paginator("list_images").paginate(repositoryName=repository)
    digests = sorted({digest for digest in pages.search("imageIds[].imageDigest") if digest})
    for start in range(0, len(digests), 100):
        batch = [{"imageDigest": digest} for digest in digests[start : start + 100]]
        ecr.batch_delete_image(repositoryName=repository, imageIds=batch)


def stop_trails(cloudtrail: Any, prefix: str) -> None:
    """A trail would log the emptying of the bucket that it logs into."""
    for arn in cloudtrail.get_paginator("list_trails").paginate().search("Trails[].TrailARN"):
        if arn and arn.rpartition("/")[2].startswith(prefix):
            cloudtrail.stop_logging(Name=arn)


def empty_buckets(aws: Aws, prefix: str) -> None:
    listing = next(listing for listing in LISTINGS if listing.kind == "bucket")
    for bucket in find_resources(aws, prefix, listings=[listing]):
        empty_bucket(aws.client("s3"), bucket.name)


def empty_bucket(s3: Any, bucket: str) -> int:
    """Deletes every version and delete marker, locked ones too; how many."""
    count = 0
    for batch in list_versions(s3, bucket):
        answer = s3.delete_objects(
            Bucket=bucket, Delete={"Objects": batch, "Quiet": True}, BypassGovernanceRetention=True
        )
        if errors := answer.get("Errors"):
            first = errors[0]
            raise LeftOverError(
                f"{len(errors)} objects of {bucket} cannot be deleted: {first['Key']}: {first.get('Message')}"
            )
        count += len(batch)
    return count


def list_versions(s3: Any, bucket: str) -> Iterator[list[dict[str, str]]]:
    """Batches as DeleteObjects takes them."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, MaxKeys=_DELETE_BATCH):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:
            yield [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in found]


def _remove_scaling_target(aws: Aws, resource_id: str) -> None:
    aws.client("application-autoscaling").deregister_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=resource_id,
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
    )


def _remove_endpoint(aws: Aws, name: str) -> None:
    """Gone when this returns: its configuration and model may be deleted only after it."""
    trying = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(_ENDPOINT_LIMIT_S),
        wait=wait_fixed(1),
        retry_error_callback=lambda _state: True,
    )
    if trying(lambda: _is_endpoint_left(aws, name)):
        raise LeftOverError(f"Endpoint {name} is not gone after {_ENDPOINT_LIMIT_S} s. Destroy again later.")


def _is_endpoint_left(aws: Aws, name: str) -> bool:
    """Asks for the deletion again and again: SageMaker refuses it while a deployment is under way."""
    endpoints = next(listing for listing in LISTINGS if listing.kind == "endpoint")
    if name not in list_names(aws, endpoints):
        return False
    try:
        aws.client("sagemaker").delete_endpoint(EndpointName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
    return True


def _remove_config(aws: Aws, name: str) -> None:
    """Raises: LeftOverError where an endpoint still needs it: SageMaker would delete it all the same."""
    sagemaker = aws.client("sagemaker")
    if users := find_users(sagemaker, name, prefix=name.partition("-")[0]):
        raise LeftOverError(
            f"Endpoint {', '.join(users)} uses the configuration {name}. Destroy again when it is gone."
        )
    sagemaker.delete_endpoint_config(EndpointConfigName=name)


def _remove_packages(aws: Aws, group: str) -> None:
    """A group must be empty before Terraform can destroy it."""
    sagemaker = aws.client("sagemaker")
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    for arn in list(pages.search("ModelPackageSummaryList[].ModelPackageArn")):
        if arn:
            sagemaker.delete_model_package(ModelPackageName=arn)


def _remove_bucket_contents(aws: Aws, bucket: str) -> None:
    empty_bucket(aws.client("s3"), bucket)


_REMOVERS: dict[str, Callable[[Aws, str], None]] = {
    "scaling target": _remove_scaling_target,
    "endpoint": _remove_endpoint,
    "endpoint configuration": _remove_config,
    "model": lambda aws, name: aws.client("sagemaker").delete_model(ModelName=name),
    "model package group": _remove_packages,
    "bucket": _remove_bucket_contents,
}
