"""A fresh account, in which only bootstrap has run: who may take on its roles, under which name.

And CI's planner finds the workspaces that it cannot make.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from held_calls import open_wire
from local_aws import LocalAws
from ports import free_port
from terraform_account import Account

from localaws.profiles import assume_policy, role_arn
from localaws.settings import ACCOUNT_ID

pytestmark = pytest.mark.terraform

PROJECT, AGENT = "fresh", "fresh-agent"
# IAM Identity Center's role of a permission set, and a user, both named as approvers.
SSO_FOLDER = "aws-reserved/sso.amazonaws.com/eu-central-1"
SSO_ROLE = "AWSReservedSSO_Approvers_0123456789abcdef"
APPROVER = f"{PROJECT}-olga"
PEOPLE = (
    *("--deployer", "user/carol", "--data-scientist", "user/alice"),
    *("--approver", f"user/{APPROVER}", "--approver", f"role/{SSO_FOLDER}/{SSO_ROLE}"),
)


@pytest.fixture(scope="module")
def account(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with open_wire(aws, free_port()) as wire:
        account = Account(wire, aws, tmp_path_factory.mktemp("fresh"), PROJECT)
        make_role(aws, AGENT, takes_on=f"{PROJECT}-ci-plan")
        make_role(aws, SSO_ROLE, takes_on=f"{PROJECT}-approver", folder=f"/{SSO_FOLDER}/")
        made = account.mlops("bootstrap", *PEOPLE, "--jenkins-agent", f"role/{AGENT}")
        assert made.returncode == 0, made.stderr
        yield account


def make_role(aws: LocalAws, name: str, *, takes_on: str, folder: str = "/") -> None:
    """A role that stands before one of ours: any user takes it on, and it may take on ours."""
    iam = aws.client("iam")
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=name, Path=folder, AssumeRolePolicyDocument=document)
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=assume_policy(takes_on))


def make_user(aws: LocalAws, name: str, *, takes_on: str) -> Any:
    """STS as a new user who may, as far as IAM goes, take on the role."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=assume_policy(takes_on))
    return sts_of(aws, iam.create_access_key(UserName=name)["AccessKey"])


def sts_of(aws: LocalAws, keys: Mapping[str, Any]) -> Any:
    session = {"aws_session_token": keys["SessionToken"]} if "SessionToken" in keys else {}
    own = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"]}
    return aws.client("sts", **own, **session)


def take_on(sts: Any, role: str, *, under: str) -> dict[str, Any]:
    answer = sts.assume_role(RoleArn=role_arn(role), RoleSessionName=under)
    credentials: dict[str, Any] = answer["Credentials"]
    return credentials


def act_as_planner(account: Account) -> dict[str, str]:
    """The variables of a job: the agents' role, and from there the planner's."""
    user = make_user(account.aws, f"{AGENT}-1", takes_on=AGENT)
    agent = sts_of(account.aws, take_on(user, AGENT, under="jenkins-1"))
    session = take_on(agent, f"{PROJECT}-ci-plan", under="jenkins-1")
    return {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


def test_an_approver_is_named_and_bears_the_users_name(account: Account) -> None:
    role = f"{PROJECT}-approver"
    named = make_user(account.aws, APPROVER, takes_on=role)
    other = make_user(account.aws, f"{PROJECT}-mallory", takes_on=role)

    assert take_on(named, role, under=APPROVER)["SessionToken"]

    with pytest.raises(ClientError, match="AccessDenied"):
        take_on(named, role, under="alice")
    with pytest.raises(ClientError, match="AccessDenied"):
        take_on(other, role, under=f"{PROJECT}-mallory")
    # Nor does the right name help who is not named.
    with pytest.raises(ClientError, match="AccessDenied"):
        take_on(other, role, under=APPROVER)


def test_an_approver_who_comes_by_a_role_bears_that_sessions_name(account: Account) -> None:
    role = f"{PROJECT}-approver"
    user = make_user(account.aws, f"{PROJECT}-door", takes_on=f"{SSO_FOLDER}/{SSO_ROLE}")
    arrived = sts_of(account.aws, take_on(user, f"{SSO_FOLDER}/{SSO_ROLE}", under="ann@example.com"))

    assert take_on(arrived, role, under="ann@example.com")["SessionToken"]

    for name in ("bob@example.com", "example.com", "ann"):
        with pytest.raises(ClientError, match="AccessDenied"):
            take_on(arrived, role, under=name)


def test_cis_planner_can_choose_a_workspace_before_the_first_delivery(
    account: Account, tmp_path: Path
) -> None:
    planner = act_as_planner(account)
    elsewhere = dataclasses.replace(account, build=tmp_path)

    looked = [elsewhere.mlops("drift", "--env", name, person=planner) for name in ("staging", "production")]

    # It got as far as to the state, in which nothing stands yet.
    for ended in looked:
        assert "does not say what was delivered: nothing" in ended.stderr
        assert ended.returncode == 2
