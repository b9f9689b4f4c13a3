"""Everything bears the tags that `mlops destroy`, cost reports and the permissions of roles go by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kept_demo import Deployment

OF_ROOTS = {"bootstrap": "shared", "core": "shared", "environment-staging": "staging"}
OF_ROOTS["environment-production"] = "production"


def list_resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from list_resources(child)


@pytest.mark.parametrize("stack", OF_ROOTS)
def test_every_resource_of_a_root_that_can_be_tagged_is(deployment: Deployment, stack: str) -> None:
    plan = json.loads((deployment.build_dir / "plans" / stack / "plan.json").read_text())
    expected = {"Project": "mlops", "Environment": OF_ROOTS[stack], "ManagedBy": "terraform"}
    # Of the provider's schema: whatever AWS can tag has tags_all.
    planned = [r for r in list_resources(plan["planned_values"]["root_module"]) if r["mode"] == "managed"]
    # A bucket's policy has no values before its bucket is there.
    taggable = [resource for resource in planned if "tags_all" in resource.get("values", {})]

    untagged = [
        r["address"] for r in taggable if not expected.items() <= (r["values"]["tags_all"] or {}).items()
    ]

    assert untagged == []
    assert {"aws_s3_bucket", "aws_kms_key"} & {resource["type"] for resource in taggable}
    assert len(taggable) >= len(planned) / 4


def test_what_runs_and_releases_made_is_tagged_with_its_origin(deployment: Deployment) -> None:
    sagemaker, run_id = deployment.client("sagemaker"), deployment.demo["run_id"]
    made = {
        "training": [j["TrainingJobArn"] for j in sagemaker.list_training_jobs()["TrainingJobSummaries"]],
        "processing": [
            j["ProcessingJobArn"] for j in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
        ],
        "config": [c["EndpointConfigArn"] for c in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
        "model": [model["ModelArn"] for model in sagemaker.list_models()["Models"]],
    }
    endpoints = [endpoint["EndpointArn"] for endpoint in sagemaker.list_endpoints()["Endpoints"]]
    tags = {
        arn: {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        for arn in [*endpoints, *(arn for arns in made.values() for arn in arns)]
    }

    assert all(tags[arn].keys() >= {"Project", "Environment", "ManagedBy"} for arn in tags)
    assert {tags[arn]["Environment"] for arn in endpoints} == {"staging", "production"}
    for kind, arns in made.items():
        assert run_id in {tags[arn]["Run"] for arn in arns}, kind
        assert all(tags[arn]["Commit"] for arn in arns), kind
