"""Least privilege, proven: every permission is needed, and nothing but the permissions is allowed.

The record is that of the whole run: the demo, what the other tests did, and the end of both environments.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from iam_proof import (
    HERE,
    Listed,
    Permission,
    Record,
    Role,
    aws_actions,
    can_be_asked,
    prove,
    read_crossings,
    read_listed,
    sample_resources,
)
from kept_demo import Deployment
from ministack.core.iam_evaluator import ParsedStatement, evaluate
from role_table import DOCUMENT, render, replace_table

# The calls are the same whichever way images run; one runtime is enough.
pytestmark = pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session")

ONLY_ON_AWS = HERE / "only_on_aws.yaml"
# Statements that look for what is there, and so ask about everything.
INVENTORIES = ("FindResources", "SeeNetworks")
CROSSINGS = HERE / "crossings.yaml"


@pytest.fixture(scope="session")
def held(record: Record) -> set[Permission]:
    """Every permission that a role holds; CI's apply role holds the deployer's, as a test shows."""
    return {
        permission
        for role in record.roles.values()
        for permission in role.permissions
        if permission.effect == "Allow" and role.name != "mlops-ci-apply"
    }


@pytest.fixture(scope="session")
def proven(record: Record) -> set[Permission]:
    return set(prove(record))


@pytest.fixture(scope="session")
def listed() -> list[Listed]:
    return read_listed(ONLY_ON_AWS)


def test_every_actor_has_a_role_of_its_own(record: Record) -> None:
    callers = {call.role for call in record.calls}

    assert callers <= set(record.roles)
    assert {"mlops-deployer", "mlops-approver", "mlops-data-scientist"} <= callers
    assert {"mlops-ci-plan", "mlops-ci-approve", "mlops-ci-apply"} <= callers
    assert {f"mlops-staging-{name}" for name in ("claim", "retraining-iris", "training-iris")} <= callers


def test_the_question_put_again_has_the_same_answer(record: Record) -> None:
    asked = [call for call in record.calls if call.identity]
    differing = [
        (call.role, call.action, call.resource, call.identity)
        for call in asked
        if record.roles[call.role].decide(call.context) != call.identity
    ]

    assert len(asked) > 1000
    assert differing == []


def test_every_permission_is_needed_or_listed_with_its_reason(
    held: set[Permission], proven: set[Permission], listed: list[Listed]
) -> None:
    unexplained = [
        str(permission)
        for permission in held - proven
        if not any(line.covers(permission, permission.action) for line in listed)
    ]

    assert sorted(unexplained) == []


def test_the_list_names_nothing_that_is_needed_or_not_held(
    held: set[Permission], proven: set[Permission], listed: list[Listed]
) -> None:
    stale = [
        (line.roles, line.statements, action)
        for line in listed
        for action in line.actions
        if not any(line.covers(permission, action) for permission in held - proven)
    ]

    assert stale == []
    assert all(len(line.reason) > 20 for line in listed)


def test_every_role_that_terraform_makes_is_within_the_boundary(record: Record) -> None:
    people = {"mlops-deployer", "mlops-approver", "mlops-data-scientist"}
    above = people | {f"mlops-ci-{name}" for name in ("plan", "approve", "apply")}

    assert {role.name for role in record.roles.values() if role.boundary is None} == above


def test_the_boundary_cuts_nothing_off_that_a_role_holds(record: Record) -> None:
    within = [role for role in record.roles.values() if role.boundary is not None]
    held = {permission.action for role in within for permission in role.permissions}
    let_through = {permission.action for role in within for permission in role.boundary or ()}

    assert held <= let_through


def test_the_apply_role_of_ci_is_the_deployers(record: Record) -> None:
    def without_holder(role: Role) -> Counter[tuple[str, ...]]:
        return Counter((p.sid, p.effect, p.action, p.resource, p.conditions) for p in role.permissions)

    assert without_holder(record.roles["mlops-ci-apply"]) == without_holder(record.roles["mlops-deployer"])


def test_every_other_action_of_aws_is_denied(record: Record, held: set[Permission]) -> None:
    """All that AWS knows, on a resource of its kind that this deployment has, or on any."""
    samples = sample_resources(record)
    # What not even one statement with every role's actions on everything allows, no role is allowed.
    actions = {permission.action for permission in held}
    widest = ParsedStatement(sid="", effect="Allow", actions=sorted(actions), resources=["*"])
    contexts = {
        action: record.calls[0].about(action, samples.get(action.partition(":")[0], "*"))
        for action in aws_actions()
    }
    reachable = {a for a, context in contexts.items() if evaluate(context, [[widest]]).decision == "Allow"}
    allowed = [
        (role.name, action)
        for role in record.roles.values()
        for action in reachable - {permission.action for permission in role.permissions}
        if role.decide(contexts[action]) == "Allow"
    ]

    assert len(contexts) > 10_000
    assert reachable == actions
    assert allowed == []


def test_the_other_environments_resources_are_out_of_reach(record: Record) -> None:
    crossings = read_crossings(CROSSINGS)
    reached, used = [], set()
    for role in record.roles.values():
        own = next(
            (name for name in ("staging", "production") if role.name.startswith(f"mlops-{name}-")), None
        )
        if own is None:
            continue
        other = "production" if own == "staging" else "staging"
        for call in record.calls_of(role.name):
            if call.identity != "Allow" or f"mlops-{own}" not in call.resource:
                continue
            elsewhere = call.resource.replace(f"mlops-{own}", f"mlops-{other}")
            if role.decide(call.about(call.action, elsewhere)) == "Allow":
                crossing = next((c for c in crossings if c.covers(role.name, call.action, elsewhere)), None)
                if crossing is None:
                    reached.append((role.name, call.action, elsewhere))
    for call in record.calls:
        if call.identity == "Allow":
            used |= {c for c in crossings if c.covers(call.role, call.action, call.resource)}

    assert reached == []
    assert set(crossings) - used == set()


def test_another_models_and_another_accounts_resources_are_out_of_reach(record: Record) -> None:
    reached = []
    for role in record.roles.values():
        # An inventory is asked of everything, and says so in its statement.
        everywhere = {p.action for p in role.permissions if p.resource == "*"}
        for call in record.calls_of(role.name):
            strangers = [call.resource.replace("123456789012", "210987654321")]
            # The jobs of all models write into one log group: that is how SageMaker has it.
            if role.name.endswith("-iris") and "/aws/sagemaker/" not in call.resource:
                strangers += [call.resource.replace("iris", "wine")]
            reached += [
                (role.name, call.action, stranger)
                for stranger in strangers
                if stranger != call.resource
                and call.action not in everywhere
                and role.decide(call.about(call.action, stranger)) == "Allow"
            ]

    assert reached == []


def test_what_stands_above_the_deployer_is_denied_to_it(record: Record) -> None:
    deployer = record.roles["mlops-deployer"]
    call = record.calls_of("mlops-deployer")[0]
    people = [role.arn for role in record.roles.values() if role.boundary is None]
    boundary = f"{deployer.arn.rpartition(':')[0]}:policy/mlops-boundary"
    changes = [
        "PutRolePolicy",
        "AttachRolePolicy",
        "UpdateAssumeRolePolicy",
        "DeleteRole",
        "DeleteRolePolicy",
    ]
    questions = [
        *((f"iam:{change}", role) for change in changes for role in people),
        *(
            (f"iam:{change}", boundary)
            for change in ("CreatePolicyVersion", "DeletePolicy", "SetDefaultPolicyVersion")
        ),
        *(
            (action, "arn:aws:s3:::mlops-ledger-123456789012/ledger/1.json")
            for action in (
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:BypassGovernanceRetention",
                "s3:PutObjectRetention",
            )
        ),
        *(
            ("s3:PutObject", f"arn:aws:s3:::mlops-tfstate-123456789012/{answers}/core/1.json")
            for answers in ("approvals", "rejections")
        ),
        ("iam:DeleteRolePermissionsBoundary", record.roles["mlops-staging-claim"].arn),
        ("iam:AttachRolePolicy", record.roles["mlops-staging-claim"].arn),
        ("iam:PutRolePermissionsBoundary", record.roles["mlops-staging-claim"].arn),
        (
            "sagemaker:UpdateModelPackage",
            "arn:aws:sagemaker:us-east-1:123456789012:model-package/mlops-staging-iris/1",
        ),
        (
            "states:StartExecution",
            "arn:aws:states:us-east-1:123456789012:stateMachine:mlops-production-release-iris",
        ),
        ("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:mlops-production-record"),
    ]

    allowed = [question for question in questions if deployer.decide(call.about(*question)) == "Allow"]
    assert allowed == []


def test_each_denial_denies_what_would_else_be_allowed_or_left_open(record: Record) -> None:
    denials = [p for role in record.roles.values() for p in role.permissions if p.effect == "Deny"]
    idle = []
    for denial in denials:
        role = record.roles[denial.holder]
        context = record.calls_of("mlops-deployer")[0].about(denial.action, denial.resource)
        # As somebody asks whom the denial's conditions mean.
        for keys in json.loads(denial.conditions).values():
            for key, values in keys.items():
                context.service_context[key.lower()] = values if isinstance(values, str) else values[0]
        if role.decide(context) != "Deny" or role.decide(context, without=denial) == "Deny":
            idle.append(str(denial))

    assert denials
    assert idle == []


def test_no_wildcard_stands_for_actions_or_for_everything(
    held: set[Permission], listed: list[Listed]
) -> None:
    kinds = {name.lower(): arns for name, arns in aws_actions().items()}
    everything = [
        str(p)
        for p in held
        if p.resource == "*"
        and kinds.get(p.action.lower())
        and p.conditions == "{}"
        and p.sid not in INVENTORIES
    ]
    unknown = [str(p) for p in held if p.action.lower() not in kinds]

    assert [str(p) for p in held if "*" in p.action or "?" in p.action] == []
    assert everything == []
    assert unknown == []


def test_roles_are_handed_to_one_service_only(held: set[Permission]) -> None:
    passing = [json.loads(p.conditions) for p in held if p.action == "iam:PassRole"]

    assert passing
    assert all("iam:PassedToService" in condition.get("StringEquals", {}) for condition in passing)


def test_every_trust_names_one_service_or_persons_and_on_whose_behalf(deployment: Deployment) -> None:
    for role in deployment.client("iam").list_roles()["Roles"]:
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            principal = statement["Principal"]
            assert statement["Effect"] == "Allow"
            assert "*" not in json.dumps(principal), role["RoleName"]
            assert ":root" not in json.dumps(principal), role["RoleName"]
            if "Service" in principal:
                assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == "123456789012"
                is_lambda = principal["Service"] == "lambda.amazonaws.com"
                assert is_lambda or statement["Condition"]["ArnLike"]["aws:SourceArn"], role["RoleName"]


@pytest.mark.usefixtures("record")
def test_the_documents_table_of_roles_is_that_of_the_deployment(deployment: Deployment) -> None:
    roles = json.loads((deployment.build_dir / "record.json").read_text())["roles"]
    # Terraform makes a role's policies side by side, and IAM lists them in the order they were made in.
    other_order = {name: role | {"policies": role["policies"][::-1]} for name, role in roles.items()}
    document = DOCUMENT.read_text()

    assert render(other_order) == render(roles)
    assert replace_table(document, render(roles)) == document, "run tests/functional/role_table.py"


def test_the_numbers(record: Record, held: set[Permission], proven: set[Permission]) -> None:
    """What the documents quote; printed with -rP."""
    numbers = {
        "roles": len(record.roles),
        "permissions": len(held),
        "calls": len(record.calls),
        "proven": len(held & proven),
        "only on AWS": len(held - proven),
    }
    print(json.dumps(numbers))

    assert numbers["proven"] > numbers["only on AWS"]
    assert all(can_be_asked(p.action, p.resource) for p in held & proven)
