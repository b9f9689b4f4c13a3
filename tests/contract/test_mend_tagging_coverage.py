"""Every tagged resource of the pipeline is found by its tags."""

from __future__ import annotations

import json

from mend_servers import Server, mended, plain, unique
from test_mend_cloudtrail_events import bucket_for_logs

PASSING = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
LEFT_OUT = {"cloudtrail", "cloudwatch", "ec2", "logs", "states", "ssm", "secretsmanager"}


def services_found(server: Server) -> set[str]:
    """The services of the resources that a tag finds, one having been made of each."""
    name = unique("tagged")
    tags = [{"Key": "Project", "Value": name}]
    role, bucket = server.role("states"), bucket_for_logs(server)
    server.client("cloudtrail").create_trail(Name=name, S3BucketName=bucket, TagsList=tags)
    trail = server.client("cloudtrail").get_trail(Name=name)["Trail"]["TrailARN"]
    server.client("cloudtrail").add_tags(ResourceId=trail, TagsList=tags)
    server.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="n",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Tags=tags,
    )
    server.client("ec2").create_vpc(
        CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )
    server.client("logs").create_log_group(logGroupName=name, tags={"Project": name})
    server.client("stepfunctions").create_state_machine(
        name=name, definition=PASSING, roleArn=role, tags=[{"key": "Project", "value": name}]
    )
    server.client("ssm").put_parameter(Name=name, Value="v", Type="String", Tags=tags)
    server.client("secretsmanager").create_secret(Name=name, SecretString="s", Tags=tags)
    found = server.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "Project", "Values": [name]}]
    )
    return {mapping["ResourceARN"].split(":")[2] for mapping in found["ResourceTagMappingList"]}


def test_ministack_still_leaves_them_out() -> None:
    assert not LEFT_OUT & services_found(plain())


def test_they_are_found() -> None:
    assert services_found(mended()) == LEFT_OUT


def services_found_after_deletion(server: Server) -> set[str]:
    """The services that a tag still finds something of when a trail and a network have gone again."""
    name = unique("gone")
    tags = [{"Key": "Project", "Value": name}]
    trails, ec2 = server.client("cloudtrail"), server.client("ec2")
    trails.create_trail(Name=name, S3BucketName=bucket_for_logs(server), TagsList=tags)
    specification = [{"ResourceType": "vpc", "Tags": tags}]
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=specification)["Vpc"]["VpcId"]
    trails.delete_trail(Name=name)
    ec2.delete_vpc(VpcId=vpc)
    found = server.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "Project", "Values": [name]}]
    )
    return {mapping["ResourceARN"].split(":")[2] for mapping in found["ResourceTagMappingList"]}


def test_what_was_deleted_is_not_found() -> None:
    assert services_found_after_deletion(mended()) == set()
