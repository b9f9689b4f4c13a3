"""What an apply could leave unwritten, resource by resource: each would be found again, or written over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from kept_demo import Deployment

from pipeline.adoption import find_orphans
from pipeline.aws import Aws

ACCOUNT = "123456789012"
STATES = {
    "core": "core/terraform.tfstate",
    "staging": "workspaces/staging/environment/terraform.tfstate",
    "production": "workspaces/production/environment/terraform.tfstate",
}
# AWS's create call sets these anew, whatever was there; what it makes has no id but its name.
WRITTEN_OVER = {
    *("aws_cloudwatch_dashboard", "aws_cloudwatch_event_rule", "aws_cloudwatch_event_target"),
    *("aws_cloudwatch_metric_alarm", "aws_default_security_group"),
    *("aws_iam_role_policy", "aws_iam_role_policy_attachment"),
    *("aws_s3_bucket_logging", "aws_s3_bucket_notification", "aws_s3_bucket_object_lock_configuration"),
    *("aws_s3_bucket_ownership_controls", "aws_s3_bucket_policy", "aws_s3_bucket_public_access_block"),
    *("aws_s3_bucket_server_side_encryption_configuration", "aws_s3_bucket_versioning", "aws_s3_object"),
    *("aws_sns_topic", "aws_sns_topic_policy", "aws_sqs_queue"),
}
# Types that Terraform imports by something else than the id it keeps.
IMPORTED_BY = {
    "aws_cloudtrail": "arn",
    "aws_sagemaker_model_package_group": "model_package_group_name",
}


class Clients:
    """As `Aws`, of a deployment."""

    def __init__(self, deployment: Deployment):
        self.client = deployment.client


def list_instances(state: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Address, type and attributes of all that Terraform made."""
    for resource in state["resources"]:
        if resource["mode"] != "managed":
            continue
        for instance in resource["instances"]:
            parts = [resource.get("module"), resource["type"], resource["name"], instance.get("index_key")]
            address = ".".join(str(part) for part in parts if part is not None)
            yield address, resource["type"], instance["attributes"]


def expect_id(kind: str, attributes: Mapping[str, Any]) -> str:
    match kind:
        case "aws_lambda_permission":
            return f"{attributes['function_name']}/{attributes['statement_id']}"
        case "aws_route_table_association":
            return f"{attributes['subnet_id']}/{attributes['route_table_id']}"
        case _:
            return str(attributes[IMPORTED_BY.get(kind, "id")])


@pytest.mark.parametrize("root", STATES)
def test_all_that_stands_would_be_found_again_without_its_state(deployment: Deployment, root: str) -> None:
    s3 = deployment.client("s3")
    body = s3.get_object(Bucket=f"mlops-tfstate-{ACCOUNT}", Key=STATES[root])["Body"].read()
    instances = list(list_instances(json.loads(body)))
    creations = [
        {"address": address, "type": kind, "change": {"actions": ["create"], "after": attributes}}
        for address, kind, attributes in instances
    ]

    plan = {"resource_changes": creations}
    found = find_orphans(cast(Aws, Clients(deployment)), plan, account_id=ACCOUNT)

    assert {orphan.address: orphan.id for orphan in found} == {
        address: expect_id(kind, attributes)
        for address, kind, attributes in instances
        if kind not in WRITTEN_OVER
    }
    assert len(found) >= len({kind for _, kind, _ in instances} - WRITTEN_OVER)
