"""What a killed apply made but could not write down, found by its name, so that the next plan imports it.

Flow 1 (merge to main), at its beginning: bootstrap. Terraform writes a resource into the state when AWS has
answered; killed in between, it would fail on its own resource for ever, because that name is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import Aws

_ABSENT = {"404", "NoSuchBucket", "NoSuchEntity", "NotFound", "NotFoundException"}


@dataclass(frozen=True)
class Orphan:
    """A resource that is there and not in the state; `id` is what Terraform imports it by."""

    address: str
    id: str


def find_orphans(aws: Aws, plan: Mapping[str, Any], *, account_id: str) -> list[Orphan]:
    """Of what the plan would create, what is there already. `plan` is Terraform's JSON of it."""
    orphans = []
    for address, kind, after in _list_creations(plan):
        lookup = _LOOKUPS.get(kind)
        if found := lookup and lookup(aws, after, account_id):
            orphans.append(Orphan(address, found))
    return orphans


def render_imports(orphans: list[Orphan]) -> dict[str, Any]:
    """The import blocks, as a Terraform file in JSON."""
    return {"import": [{"to": orphan.address, "id": orphan.id} for orphan in orphans]}


def _list_creations(plan: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for resource in plan.get("resource_changes", []):
        if resource["change"]["actions"] == ["create"]:
            yield resource["address"], resource["type"], resource["change"]["after"]


def _find_bucket(aws: Aws, after: Mapping[str, Any], account_id: str) -> str | None:
    """Ours only: another account may have a bucket of that name."""
    name = after["bucket"]
    request = {"Bucket": name, "ExpectedBucketOwner": account_id}
    return name if _exists(aws.client("s3").head_bucket, **request) else None


def _find_role(aws: Aws, after: Mapping[str, Any], _account_id: str) -> str | None:
    name = after["name"]
    return name if _exists(aws.client("iam").get_role, RoleName=name) else None


def _find_policy(aws: Aws, after: Mapping[str, Any], account_id: str) -> str | None:
    arn = f"arn:aws:iam::{account_id}:policy/{after['name']}"
    return arn if _exists(aws.client("iam").get_policy, PolicyArn=arn) else None


def _find_alias(aws: Aws, after: Mapping[str, Any], _account_id: str) -> str | None:
    name = after["name"]
    return name if _exists(aws.client("kms").describe_key, KeyId=name) else None


_LOOKUPS: Mapping[str, Callable[[Aws, Mapping[str, Any], str], str | None]] = {
    "aws_s3_bucket": _find_bucket,
    "aws_iam_role": _find_role,
    "aws_iam_policy": _find_policy,
    "aws_kms_alias": _find_alias,
}


def _exists(ask: Callable[..., Any], **request: str) -> bool:
    try:
        ask(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            return False
        raise
    return True
