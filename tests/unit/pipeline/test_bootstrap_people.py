"""Who is named to bootstrap: users and roles, and nothing wider."""

from __future__ import annotations

import json

import pytest

from pipeline.bootstrap import Holders, principal_arn
from pipeline.errors import UsageError

SSO = "role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Approvers_0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "arn"),
    [
        ("user/bob", "arn:aws:iam::123456789012:user/bob"),
        (SSO, f"arn:aws:iam::123456789012:{SSO}"),
        ("arn:aws:iam::210987654321:user/people/ann", "arn:aws:iam::210987654321:user/people/ann"),
    ],
)
def test_a_short_name_is_of_this_account(name: str, arn: str) -> None:
    assert principal_arn(name, account_id="123456789012") == arn


@pytest.mark.parametrize(
    "name",
    ["bob", "root", "user/", "role/*", "group/all", "arn:aws:iam::123456789012:root", "arn:aws:s3:::bob"],
)
def test_what_is_neither_user_nor_role_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"names no IAM user or role: give user/NAME, role/NAME or its ARN"):
        principal_arn(name, account_id="123456789012")


def test_each_role_is_given_its_own_people() -> None:
    holders = Holders(("user/carol",), ("user/bob",), ("user/alice",))

    given = {name: json.loads(value) for name, value in holders.variables(account_id="123456789012").items()}

    assert {name: [arn.rpartition("/")[2] for arn in arns] for name, arns in given.items()} == {
        "approver_principals": ["bob"],
        "data_scientist_principals": ["alice"],
        "deployer_principals": ["carol"],
        "jenkins_principals": [],
    }
