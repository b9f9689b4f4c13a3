"""A plan is judged before it may be applied. Each rule has a plan that breaks it and one that does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import PolicyError
from pipeline.policy import STATEFUL, Finding, check_verdict, judge_plan


def change(kind: str, actions: list[str], after: Any = None, unknown: Any = None, name: str = "x") -> Any:
    return {
        "address": f"{kind}.{name}",
        "mode": "managed",
        "type": kind,
        "change": {"actions": actions, "after": after, "after_unknown": unknown or {}},
    }


def findings(*changes: Any) -> list[tuple[str, str]]:
    verdict = judge_plan({"resource_changes": list(changes)})
    return [(finding.rule, finding.reason) for finding in verdict.findings]


def document(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", **statement}})


@pytest.mark.parametrize("kind", sorted(STATEFUL))
@pytest.mark.parametrize("actions", [["delete"], ["delete", "create"], ["create", "delete"]])
def test_what_holds_state_is_neither_deleted_nor_replaced(kind: str, actions: list[str]) -> None:
    done = "is deleted" if actions == ["delete"] else "is replaced"

    assert findings(change(kind, actions)) == [("state-is-kept", f"{done}, and what it holds is lost")]


def test_what_an_interrupted_apply_could_not_finish_making_is_made_anew() -> None:
    unfinished = change("aws_kms_key", ["delete", "create"]) | {"action_reason": "replace_because_tainted"}
    by_request = change("aws_kms_key", ["delete", "create"]) | {"action_reason": "replace_by_request"}

    assert findings(unfinished) == []
    assert len(findings(by_request)) == 1


def test_what_holds_no_state_may_go() -> None:
    assert (
        findings(change("aws_cloudwatch_metric_alarm", ["delete"]), change("aws_iam_role", ["delete"])) == []
    )


def test_what_is_unchanged_or_only_read_is_not_judged() -> None:
    public = {"policy": document(Principal="*", Action="s3:GetObject", Resource="*")}

    assert findings(change("aws_s3_bucket_policy", ["no-op"], public)) == []
    assert findings({**change("aws_s3_bucket_policy", ["create"], public), "mode": "data"}) == []


def test_the_guards_of_a_bucket_stay() -> None:
    [(rule, reason)] = findings(change("aws_s3_bucket_public_access_block", ["delete"]))

    assert rule == "state-is-kept"
    assert reason == "is deleted, and the bucket is open until it is back"


@pytest.mark.parametrize(
    ("kind", "after", "reason"),
    [
        (
            "aws_s3_bucket_versioning",
            {"versioning_configuration": [{"status": "Suspended"}]},
            "ends the bucket's versioning",
        ),
        (
            "aws_s3_bucket",
            {"force_destroy": True},
            "may be destroyed with what it holds (force_destroy)",
        ),
        ("aws_ecr_repository", {"image_tag_mutability": "MUTABLE"}, "lets image tags move"),
        (
            "aws_ecr_repository",
            {"image_tag_mutability": "IMMUTABLE", "force_delete": True},
            "may be deleted with its images (force_delete)",
        ),
        ("aws_cloudtrail", {"enable_logging": False}, "stops recording"),
        ("aws_cloudtrail", {"enable_log_file_validation": False}, "ends the validation of its files"),
        ("aws_kms_key", {"is_enabled": False}, "is disabled, and what it encrypts cannot be read"),
    ],
)
def test_protection_is_not_taken_away_in_place(kind: str, after: Any, reason: str) -> None:
    assert findings(change(kind, ["update"], after)) == [("protection-is-kept", reason)]


@pytest.mark.parametrize(
    ("kind", "after", "reason"),
    [
        (
            "aws_s3_bucket_public_access_block",
            {
                "block_public_acls": True,
                "block_public_policy": False,
                "ignore_public_acls": True,
                "restrict_public_buckets": True,
            },
            "does not set block_public_policy",
        ),
        ("aws_s3_bucket_acl", {"acl": "public-read"}, "gives the bucket the ACL public-read"),
        ("aws_internet_gateway", {"vpc_id": "vpc-1"}, "opens the network to the internet"),
        ("aws_subnet", {"map_public_ip_on_launch": True}, "gives public addresses"),
        ("aws_lambda_permission", {"principal": "*"}, "lets anybody invoke the function"),
        ("aws_lambda_function_url", {"authorization_type": "NONE"}, "lets anybody invoke the function"),
        ("aws_security_group", {"ingress": [{"cidr_blocks": ["0.0.0.0/0"]}]}, "lets 0.0.0.0/0 in"),
        (
            "aws_security_group_rule",
            {"type": "ingress", "ipv6_cidr_blocks": ["::/0"]},
            "lets ::/0 in",
        ),
        ("aws_vpc_security_group_ingress_rule", {"cidr_ipv4": "0.0.0.0/0"}, "lets 0.0.0.0/0 in"),
        (
            "aws_s3_bucket_policy",
            {"policy": document(Principal="*", Action="s3:GetObject", Resource="*")},
            "allows anybody s3:GetObject",
        ),
        (
            "aws_iam_role",
            {"assume_role_policy": document(Principal={"AWS": "*"}, Action="sts:AssumeRole")},
            "allows anybody sts:AssumeRole",
        ),
        (
            "aws_sqs_queue",
            {
                "policy": document(
                    Principal="*",
                    Action="sqs:SendMessage",
                    Resource="*",
                    Condition={"ArnLike": {"aws:SourceArn": "*"}},
                )
            },
            "allows anybody sqs:SendMessage",
        ),
        (
            "aws_sns_topic",
            {
                "policy": document(
                    Principal="*",
                    Action="sns:Publish",
                    Resource="*",
                    Condition={"StringNotEquals": {"aws:SourceAccount": "123456789012"}},
                )
            },
            "allows anybody sns:Publish",
        ),
    ],
)
def test_nothing_is_opened_to_the_public(kind: str, after: Any, reason: str) -> None:
    assert findings(change(kind, ["create"], after)) == [("nothing-is-public", reason)]


def test_a_condition_that_names_the_account_is_not_public() -> None:
    narrowed = document(
        Principal="*",
        Action="sqs:SendMessage",
        Resource="*",
        Condition={"StringEquals": {"aws:SourceAccount": "123456789012"}},
    )

    assert findings(change("aws_sqs_queue", ["create"], {"policy": narrowed})) == []


@pytest.mark.parametrize(
    ("statement", "reasons"),
    [
        ({"Resource": "*"}, ["lets anything through"]),
        ({"Resource": "arn:aws:s3:::one/*"}, []),
        ({"Resource": "*", "Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}}}, []),
    ],
)
def test_a_network_endpoint_lets_through_what_it_names(statement: Any, reasons: list[str]) -> None:
    after = {"policy": document(Principal="*", Action="*", **statement)}

    assert [reason for _, reason in findings(change("aws_vpc_endpoint", ["create"], after))] == reasons


def test_a_denial_of_everybody_is_not_public() -> None:
    denied = document(Effect="Deny", Principal="*", Action="s3:*", Resource="*")

    assert findings(change("aws_s3_bucket_policy", ["create"], {"policy": denied})) == []


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ({"Action": "*", "Resource": "*"}, "allows *"),
        ({"Action": ["s3:GetObject", "s3:Put*"], "Resource": "*"}, "allows s3:Put*"),
        ({"NotAction": "iam:CreateUser", "Resource": "*"}, "allows by NotAction"),
        ({"Action": "s3:GetObject", "NotResource": "arn:aws:s3:::x"}, "allows by NotResource"),
    ],
)
def test_no_role_is_granted_anything_by_wildcard(statement: Any, reason: str) -> None:
    after = {"policy": document(**statement)}

    assert findings(change("aws_iam_role_policy", ["create"], after)) == [("no-wildcards", reason)]


@pytest.mark.parametrize("name", ["AdministratorAccess", "AmazonS3FullAccess"])
def test_no_broad_policy_of_the_vendor_is_attached(name: str) -> None:
    arn = f"arn:aws:iam::aws:policy/{name}"

    attached = change("aws_iam_role_policy_attachment", ["create"], {"policy_arn": arn})
    assert findings(attached) == [("no-wildcards", f"attaches {arn}")]


def test_a_key_may_leave_its_use_to_iam() -> None:
    after = {
        "policy": document(Principal={"AWS": "arn:aws:iam::123456789012:root"}, Action="kms:*", Resource="*")
    }

    assert findings(change("aws_kms_key", ["create"], after)) == []
    assert findings(change("aws_iam_role_policy", ["create"], after)) == [("no-wildcards", "allows kms:*")]


def test_what_is_known_only_later_is_said_to_be_unjudged() -> None:
    verdict = judge_plan(
        {"resource_changes": [change("aws_s3_bucket_policy", ["create"], {}, {"policy": True})]}
    )

    assert verdict.findings == ()
    assert verdict.unjudged == ("aws_s3_bucket_policy.x.policy",)


FOUND = [
    Finding("state-is-kept", 'aws_s3_bucket.data["a"]', "is deleted"),
    Finding("no-wildcards", "aws_iam_role_policy.b", "allows *"),
]


def test_a_refusal_names_every_finding_and_the_way_to_accept_it() -> None:
    with pytest.raises(PolicyError) as refusal:
        check_verdict(FOUND, stack="core", accepted=[], command="mlops apply core")

    text = str(refusal.value)
    assert 'aws_s3_bucket.data["a"] is deleted [state-is-kept]' in text
    assert "`mlops apply core --accept 'aws_s3_bucket.data[\"a\"]' --accept 'aws_iam_role_policy.b'`" in text


def test_what_is_accepted_by_address_is_applied_and_nothing_else() -> None:
    accepted = ['aws_s3_bucket.data["a"]']

    with pytest.raises(PolicyError) as refusal:
        check_verdict(FOUND, stack="core", accepted=accepted, command="mlops apply core")
    check_verdict(
        FOUND, stack="core", accepted=[*accepted, "aws_iam_role_policy.b"], command="mlops apply core"
    )

    assert "aws_s3_bucket" not in str(refusal.value)
