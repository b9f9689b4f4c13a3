"""A role's trust can demand the name of a session that a web identity begins."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, Server, mended, plain, unique

ISSUER = "issuer.example"


def token(subject: str) -> str:
    """An identity token, unsigned: the local AWS has no key of the issuer's."""
    claims = {"iss": f"https://{ISSUER}", "aud": "sts.amazonaws.com", "sub": subject}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "unsigned"])


def role_for(server: Server, condition: dict[str, Any]) -> str:
    """A role that web identities of the issuer may assume under this condition."""
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
        "Condition": {"StringEquals": condition},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    made = server.client("iam").create_role(RoleName=unique("role"), AssumeRolePolicyDocument=document)
    arn: str = made["Role"]["Arn"]
    return arn


def assume(server: Server, role: str, *, session: str, subject: str = "job") -> str:
    answer = server.client("sts").assume_role_with_web_identity(
        RoleArn=role, RoleSessionName=session, WebIdentityToken=token(subject)
    )
    arn: str = answer["AssumedRoleUser"]["Arn"]
    return arn


def test_ministack_still_does_not_know_the_name() -> None:
    role = role_for(plain(), {"sts:RoleSessionName": "wanted"})

    # It does know the token.
    assert assume(plain(), role_for(plain(), {f"{ISSUER}:sub": "job"}), session="wanted")
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(plain(), role, session="wanted")


def test_only_the_name_that_is_wanted_passes() -> None:
    role = role_for(mended(), {"sts:RoleSessionName": "wanted", f"{ISSUER}:sub": "job"})

    assert assume(mended(), role, session="wanted").endswith("/wanted")
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(mended(), role, session="another")
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(mended(), role, session="wanted", subject="other")
