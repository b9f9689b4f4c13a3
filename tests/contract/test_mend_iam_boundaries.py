"""Who is held to a permissions boundary makes roles with it, and no others."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from mend_servers import Server, allow, mended, plain, policy, unique

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def boundary(server: Server) -> str:
    document = policy(allow("s3:GetObject"))
    made = server.client("iam").create_policy(PolicyName=unique("boundary"), PolicyDocument=document)
    return str(made["Policy"]["Arn"])


def maker(server: Server, boundary_arn: str) -> dict[str, str]:
    """The keys of a user who may make and change roles within the boundary."""
    iam, name = server.client("iam"), unique("user")
    actions = (
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:DeleteRolePolicy",
        "iam:PutRolePermissionsBoundary",
    )
    held = allow(*actions) | {"Condition": {"StringEquals": {"iam:PermissionsBoundary": boundary_arn}}}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(held))
    keys: dict[str, str] = iam.create_access_key(UserName=name)["AccessKey"]
    return keys


def make_role(server: Server, keys: dict[str, str] | None, boundary_arn: str | None) -> str:
    name = unique("role")
    options = {"PermissionsBoundary": boundary_arn} if boundary_arn else {}
    server.client("iam", keys).create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, **options)
    return name


def put_policy(server: Server, keys: dict[str, str], role: str) -> None:
    server.client("iam", keys).put_role_policy(
        RoleName=role, PolicyName="own", PolicyDocument=policy(allow("s3:GetObject"))
    )


def test_a_role_is_made_and_given_a_policy_within_the_boundary() -> None:
    server = mended()
    arn = boundary(server)
    keys = maker(server, arn)

    role = make_role(server, keys, arn)
    put_policy(server, keys, role)

    assert (
        server.client("iam").get_role(RoleName=role)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"]
        == arn
    )


@pytest.mark.parametrize("named", ["none", "another"])
def test_a_role_without_it_or_with_another_is_refused(named: str) -> None:
    server = mended()
    keys = maker(server, boundary(server))

    with pytest.raises(ClientError, match="AccessDenied"):
        make_role(server, keys, None if named == "none" else boundary(server))


def test_a_role_that_was_made_without_it_gets_no_policy() -> None:
    server = mended()
    keys = maker(server, boundary(server))
    role = make_role(server, None, None)

    with pytest.raises(ClientError, match="AccessDenied"):
        put_policy(server, keys, role)


def test_without_the_mend_nobody_who_is_held_to_it_makes_a_role() -> None:
    server = plain()
    arn = boundary(server)

    with pytest.raises(ClientError, match="AccessDenied"):
        make_role(server, maker(server, arn), arn)
