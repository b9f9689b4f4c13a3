"""A fresh account, in which only bootstrap has run: CI's planner finds the workspaces that it cannot make."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from held_calls import open_wire
from local_aws import LocalAws
from ports import free_port
from terraform_account import Account

from localaws.profiles import assume_policy, role_arn
from localaws.settings import ACCOUNT_ID

pytestmark = pytest.mark.terraform

PROJECT, AGENT = "fresh", "fresh-agent"


@pytest.fixture(scope="module")
def account(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with open_wire(aws, free_port()) as wire:
        account = Account(wire, aws, tmp_path_factory.mktemp("fresh"), PROJECT)
        make_agent(aws)
        made = account.mlops("bootstrap", "--deployer", "user/carol", "--jenkins-agent", f"role/{AGENT}")
        assert made.returncode == 0, made.stderr
        yield account


def make_agent(aws: LocalAws) -> None:
    """The role of a Jenkins's agents, which a user takes on, and which takes on CI's."""
    iam = aws.client("iam")
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=AGENT, AssumeRolePolicyDocument=document)
    iam.put_role_policy(RoleName=AGENT, PolicyName="ci", PolicyDocument=assume_policy(f"{PROJECT}-ci-plan"))


def act_as_planner(account: Account) -> dict[str, str]:
    """The variables of a job: the agents' role, and from there the planner's."""
    agent = account.act_as(AGENT.removeprefix(f"{PROJECT}-"), name=f"{AGENT}-1")
    own = {name.lower(): value for name, value in agent.items()}
    answer = account.aws.client("sts", **own).assume_role(
        RoleArn=role_arn(f"{PROJECT}-ci-plan"), RoleSessionName="jenkins-1"
    )
    session = answer["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }


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
