"""Policy variables stand for the request's values, and a role's session is known by its role."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, Server, allow, mended, plain, policy, unique


def user(server: Server, *statements: dict[str, object]) -> tuple[str, dict[str, str]]:
    """Name and keys of a new user with these permissions."""
    iam, name = server.client("iam"), unique("user")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    keys: dict[str, str] = iam.create_access_key(UserName=name)["AccessKey"]
    return name, keys


def named_session_role(server: Server, *statements: dict[str, object]) -> str:
    """The ARN of a role whose sessions must bear their user's name."""
    iam, name = server.client("iam"), unique("role")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
    }
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
    return arn


def session(server: Server, role_arn: str) -> dict[str, str]:
    """Keys of a session of the role that bears its user's name."""
    name, keys = user(server, allow("sts:AssumeRole"))
    answer = server.client("sts", keys).assume_role(RoleArn=role_arn, RoleSessionName=name)
    credentials: dict[str, str] = answer["Credentials"]
    return credentials


def signing_key(server: Server, signer_arn: str) -> str:
    """A key that nobody but the signer signs with, whatever IAM says."""
    statements = [
        {**allow("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}},
        {
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "kms:Sign",
            "Resource": "*",
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": signer_arn}},
        },
    ]
    answer = server.client("kms").create_key(
        KeySpec="ECC_NIST_P256",
        KeyUsage="SIGN_VERIFY",
        Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    return str(answer["KeyMetadata"]["Arn"])


def sign(server: Server, key_arn: str, credentials: dict[str, str]) -> None:
    server.client("kms", credentials).sign(
        KeyId=key_arn, Message=b"yes", MessageType="RAW", SigningAlgorithm="ECDSA_SHA_256"
    )


def test_ministack_still_takes_variables_for_text() -> None:
    with pytest.raises(ClientError, match="not authorized"):
        session(plain(), named_session_role(plain()))


def test_a_session_bears_its_users_name_or_is_refused() -> None:
    server = mended()
    role = named_session_role(server)
    _, keys = user(server, allow("sts:AssumeRole"))

    assert session(server, role)["SessionToken"]
    with pytest.raises(ClientError, match="sts:AssumeRole"):
        server.client("sts", keys).assume_role(RoleArn=role, RoleSessionName="somebody-else")


def test_a_user_reaches_the_folder_of_his_name_only() -> None:
    server, bucket = mended(), unique("bucket")
    server.client("s3").create_bucket(Bucket=bucket)
    name, keys = user(server, allow("s3:PutObject", resource=f"arn:aws:s3:::{bucket}/${{aws:username}}/*"))

    server.client("s3", keys).put_object(Bucket=bucket, Key=f"{name}/file", Body=b"")

    with pytest.raises(ClientError, match="AccessDenied"):
        server.client("s3", keys).put_object(Bucket=bucket, Key="other/file", Body=b"")


def test_ministack_still_knows_a_session_by_its_own_arn() -> None:
    server = plain()
    iam, name = server.client("iam"), unique("role")
    trust = {**allow("sts:AssumeRole"), "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    trust.pop("Resource")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(allow("kms:Sign")))

    with pytest.raises(ClientError, match="kms:Sign"):
        sign(server, signing_key(server, role), session(server, role))


def test_a_role_session_is_known_by_its_role() -> None:
    server = mended()
    role = named_session_role(server, allow("kms:Sign"))
    other = named_session_role(server, allow("kms:Sign"))
    key = signing_key(server, role)

    sign(server, key, session(server, role))

    with pytest.raises(ClientError, match="kms:Sign"):
        sign(server, key, session(server, other))


def test_a_key_is_known_by_its_aliases() -> None:
    server, alias = mended(), f"alias/{unique('own')}"
    keys = [server.client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    server.client("kms").create_alias(AliasName=alias, TargetKeyId=keys[0])
    condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
    _, credentials = user(server, {**allow("kms:DescribeKey"), "Condition": condition})

    server.client("kms", credentials).describe_key(KeyId=keys[0])

    with pytest.raises(ClientError, match="kms:DescribeKey"):
        server.client("kms", credentials).describe_key(KeyId=keys[1])
