"""A service refuses a role that does not trust it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import mended, plain, policy
from test_mend_pass_role import CALLS

ROOT: Any = None


def test_ministack_still_takes_any_role() -> None:
    CALLS["lambda"](plain(), ROOT, plain().role("ec2"))


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("lambda", "cannot be assumed by Lambda"),
        ("states", "is authorized to assume the provided role"),
        ("events", "cannot be assumed by principal 'events.amazonaws.com'"),
    ],
)
def test_a_role_of_another_service_is_refused(service: str, message: str) -> None:
    with pytest.raises(ClientError, match=message):
        CALLS[service](mended(), ROOT, mended().role("ec2"))


@pytest.mark.parametrize(("account", "accepted"), [("123456789012", True), ("210987654321", False)])
def test_the_conditions_of_a_trust_policy_count(account: str, accepted: bool) -> None:
    role = mended().role("states")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "states.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account},
            "ArnLike": {"aws:SourceArn": f"arn:aws:states:*:{account}:stateMachine:machine-*"},
        },
    }
    name = role.rsplit("/", 1)[-1]
    mended().client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=policy(trust))

    if accepted:
        CALLS["states"](mended(), ROOT, role)
    else:
        with pytest.raises(ClientError, match="assume the provided role"):
            CALLS["states"](mended(), ROOT, role)
