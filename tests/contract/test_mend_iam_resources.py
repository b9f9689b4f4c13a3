"""A role that is held to its own resources is allowed what it does with them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, REGION, Server, allow, mended, plain, policy, unique, zip_of


def person(server: Server, *statements: dict[str, object]) -> dict[str, str]:
    """The keys of a new user with these permissions."""
    iam, name = server.client("iam"), unique("user")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    keys: dict[str, str] = iam.create_access_key(UserName=name)["AccessKey"]
    return keys


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def create_alias(server: Server, *, on_key: bool = True) -> str:
    """Creates an alias as a user who may do so for `own-*` and, if so asked, for the key."""
    key = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    statements = [allow("kms:CreateAlias", resource=arn("kms", "alias/own-*"))]
    statements += [allow("kms:CreateAlias", resource=key)] if on_key else []
    alias = f"alias/{unique('own')}"
    server.client("kms", person(server, *statements)).create_alias(AliasName=alias, TargetKeyId=key)
    return alias


def describe_repositories(server: Server, *names: str) -> list[str]:
    for name in names:
        server.client("ecr").create_repository(repositoryName=name)
    keys = person(server, allow("ecr:DescribeRepositories", resource=arn("ecr", "repository/own-*")))
    answer = server.client("ecr", keys).describe_repositories(repositoryNames=list(names))
    return [repository["repositoryName"] for repository in answer["repositories"]]


def put_rule(server: Server, name: str) -> str:
    keys = person(server, allow("events:PutRule", resource=arn("events", "rule/own-*")))
    answer = server.client("events", keys).put_rule(Name=name, ScheduleExpression="rate(1 day)")
    return str(answer["RuleArn"])


def tags_of_table(server: Server, name: str) -> list[dict[str, str]]:
    table = server.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableArn"]
    keys = person(server, allow("dynamodb:ListTagsOfResource", resource=arn("dynamodb", "table/own-*")))
    tags: list[dict[str, str]] = server.client("dynamodb", keys).list_tags_of_resource(ResourceArn=table)[
        "Tags"
    ]
    return tags


def tags_of_machine(server: Server, name: str) -> list[dict[str, str]]:
    machine = server.client("stepfunctions").create_state_machine(
        name=name,
        roleArn=server.role("states"),
        definition='{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
    )["stateMachineArn"]
    keys = person(server, allow("states:ListTagsForResource", resource=arn("states", "stateMachine:own-*")))
    answer = server.client("stepfunctions", keys).list_tags_for_resource(resourceArn=machine)
    tags: list[dict[str, str]] = answer["tags"]
    return tags


def create_function(server: Server, name: str) -> str:
    role = server.role("lambda")
    own = arn("lambda", "function:own-*")
    keys = person(server, allow("lambda:CreateFunction", resource=own), allow("iam:PassRole", resource=role))
    answer = server.client("lambda", keys).create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": zip_of({"index.py": "def handler(event, context): pass"})},
    )
    return str(answer["FunctionName"])


def describe_alarms(server: Server, *names: str) -> None:
    keys = person(server, allow("cloudwatch:DescribeAlarms", resource=arn("cloudwatch", "alarm:own-*")))
    server.client("cloudwatch", keys).describe_alarms(AlarmNames=list(names))


def put_dashboard(server: Server, name: str) -> None:
    own = f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/own-*"
    keys = person(server, allow("cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards", resource=own))
    board = server.client("cloudwatch", keys)
    board.put_dashboard(DashboardName=name, DashboardBody='{"widgets": []}')
    board.delete_dashboards(DashboardNames=[name])


def make_budget(server: Server, name: str) -> str:
    own = f"arn:aws:budgets::{ACCOUNT}:budget/own-*"
    keys = person(server, allow("budgets:ModifyBudget", "budgets:ViewBudget", resource=own))
    budget = {"BudgetName": name, "BudgetType": "COST", "TimeUnit": "MONTHLY"}
    budgets = server.client("budgets", keys)
    budgets.create_budget(AccountId=ACCOUNT, Budget={**budget, "BudgetLimit": {"Amount": "1", "Unit": "USD"}})
    answer = budgets.describe_budget(AccountId=ACCOUNT, BudgetName=name)
    return str(answer["Budget"]["BudgetName"])


def tags_of_topic(server: Server, name: str) -> list[dict[str, str]]:
    topic = server.client("sns").create_topic(Name=name)["TopicArn"]
    keys = person(server, allow("sns:ListTagsForResource", resource=arn("sns", "own-*")))
    tags: list[dict[str, str]] = server.client("sns", keys).list_tags_for_resource(ResourceArn=topic)["Tags"]
    return tags


@pytest.mark.parametrize(
    "call",
    [
        create_alias,
        lambda server: describe_repositories(server, unique("own")),
        lambda server: put_rule(server, unique("own")),
        lambda server: describe_alarms(server, "own-alarm"),
        lambda server: tags_of_table(server, unique("own")),
        lambda server: tags_of_machine(server, unique("own")),
        lambda server: tags_of_topic(server, unique("own")),
        lambda server: create_function(server, unique("own")),
        lambda server: put_dashboard(server, unique("own")),
        lambda server: make_budget(server, unique("own")),
    ],
    ids=[
        *("alias", "repositories", "rule", "alarms", "table", "machine", "topic", "function"),
        *("dashboard", "budget"),
    ],
)
def test_ministack_still_refuses(call: Callable[[Server], object]) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        call(plain())


def test_an_alias_needs_a_permission_for_itself_and_one_for_its_key() -> None:
    assert create_alias(mended()).startswith("alias/own-")

    with pytest.raises(ClientError, match="kms:CreateAlias"):
        create_alias(mended(), on_key=False)


def test_a_key_named_by_its_alias_is_the_key() -> None:
    server = mended()
    alias = create_alias(server)
    key = server.client("kms").describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
    other = server.client("kms").create_key()["KeyMetadata"]["Arn"]

    server.client("kms", person(server, allow("kms:DescribeKey", resource=key))).describe_key(KeyId=alias)

    with pytest.raises(ClientError, match="kms:DescribeKey"):
        server.client("kms", person(server, allow("kms:DescribeKey", resource=other))).describe_key(
            KeyId=alias
        )


def test_every_named_repository_counts() -> None:
    name, other = unique("own"), unique("foreign")

    assert describe_repositories(mended(), name) == [name]
    with pytest.raises(ClientError, match="ecr:DescribeRepositories"):
        describe_repositories(mended(), unique("own"), other)


def test_a_rule_of_the_default_bus_has_no_bus_in_its_arn() -> None:
    name = unique("own")

    assert put_rule(mended(), name) == arn("events", f"rule/{name}")
    with pytest.raises(ClientError, match="events:PutRule"):
        put_rule(mended(), unique("foreign"))


def test_every_named_alarm_counts() -> None:
    describe_alarms(mended(), "own-alarm")

    with pytest.raises(ClientError, match="cloudwatch:DescribeAlarms"):
        describe_alarms(mended(), "own-alarm", "foreign-alarm")


@pytest.mark.parametrize("tags_of", [tags_of_table, tags_of_machine, tags_of_topic])
def test_what_tags_are_read_of_counts(tags_of: Callable[[Server, str], list[dict[str, str]]]) -> None:
    assert tags_of(mended(), unique("own")) == []

    with pytest.raises(ClientError, match="ListTags"):
        tags_of(mended(), unique("foreign"))


def test_a_function_that_is_about_to_be_made_counts() -> None:
    assert create_function(mended(), unique("own")).startswith("own-")

    with pytest.raises(ClientError, match="lambda:CreateFunction"):
        create_function(mended(), unique("foreign"))


def test_a_dashboard_counts() -> None:
    put_dashboard(mended(), unique("own"))

    with pytest.raises(ClientError, match="cloudwatch:PutDashboard"):
        put_dashboard(mended(), unique("foreign"))


def test_a_budget_is_modified_and_viewed() -> None:
    assert make_budget(mended(), unique("own")).startswith("own-")

    with pytest.raises(ClientError, match="budgets:ModifyBudget"):
        make_budget(mended(), unique("foreign"))
