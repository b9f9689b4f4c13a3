"""One deployment per runtime, made by `mlops demo --keep`, shared by the tests and ended with a check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from iam_proof import Record, parse_roles, read_calls, read_policies
from kept_demo import AGENTS, PEOPLE, PLANTED_SECRET, REPOSITORY, ROOT, Deployment
from ports import free_port
from scratch_repository import copy_files, link_tools

from localaws.mends import iam_conditions


@pytest.fixture(scope="session", params=["process", pytest.param("container", marks=pytest.mark.engine)])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def deployment(runtime: str) -> Iterator[Deployment]:
    """A whole demo, left running for the tests; torn down by the product's own teardown."""
    build_dir = ROOT / "build" / "test" / runtime
    place = Deployment(build_dir=build_dir, port=free_port(), runtime=runtime)
    run_demo(place, "--yes", "--keep")
    keep_plans(place)
    yield replace(place, demo=json.loads((build_dir / "demo.json").read_text()))
    run_demo(place, "--teardown")
    left_over = json.loads((build_dir / "demo-teardown.json").read_text())["left_over"]
    assert left_over == []


@pytest.fixture(scope="session")
def agents_keys(deployment: Deployment) -> dict[str, str]:
    """Of the one user who may take on the role of Jenkins's agents; a machine has it of itself."""
    iam = deployment.client("iam")
    user = iam.create_user(UserName=AGENTS)["User"]["Arn"]
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": user}}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    role = iam.create_role(RoleName=AGENTS, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    iam.put_user_policy(UserName=AGENTS, PolicyName="agents", PolicyDocument=may_take_on(role))
    # As docs/ci.md says: CI's roles trust the agents' own, which has to be allowed to take them on.
    roles = [f"arn:aws:iam::123456789012:role/mlops-{name}" for name in ("ci-*", "data-scientist")]
    iam.put_role_policy(RoleName=AGENTS, PolicyName="roles", PolicyDocument=may_take_on(*roles))
    key = iam.create_access_key(UserName=AGENTS)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def may_take_on(*roles: str) -> str:
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


@pytest.fixture(scope="session")
def ci(deployment: Deployment, agents_keys: dict[str, str]) -> dict[str, str]:
    """The CI roles, made by a bootstrap that is run again: their ARNs by name."""
    front_ends = ("--github-repository", REPOSITORY, "--jenkins-agent", f"role/{AGENTS}")
    made = deployment.mlops("bootstrap", *PEOPLE, *front_ends, "--json", profile="admin")
    assert made.exit_code == 0, made.stderr
    roles = deployment.client("iam").list_roles()["Roles"]
    return {role["RoleName"]: role["Arn"] for role in roles if "-ci-" in role["RoleName"]}


@pytest.fixture
def elsewhere(deployment: Deployment, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A checkout of what was deployed, where nothing was built, and the variables to work in it."""
    checkout = tmp_path / "elsewhere"
    copy_files(checkout)
    link_tools(checkout)
    function = deployment.client("lambda").get_function_configuration(FunctionName="mlops-staging-record")
    # At the same place in it as in ours, because Terraform keeps the path of the functions' package.
    build_dir = checkout / deployment.build_dir.relative_to(ROOT)
    commit = function["Environment"]["Variables"]["COMMIT"]
    return checkout, {"MLOPS_BUILD_DIR": str(build_dir), "MLOPS_COMMIT": commit}


@pytest.fixture(scope="session")
def record(deployment: Deployment) -> Record:
    """The deployment's roles and every call made in them, the destruction of its environments included."""
    policies = read_policies(deployment.client("iam"), prefix="mlops-")
    confirmations = {"staging": (), "production": ("--confirm", "production")}
    with ThreadPoolExecutor() as pool:
        ended = pool.map(
            lambda name: deployment.mlops("destroy", "--env", name, *confirmations[name]), confirmations
        )
        for result in ended:
            assert result.exit_code == 0, result.stderr
    file = deployment.build_dir / "local" / "decisions.jsonl"
    calls = read_calls(json.loads(line) for line in file.read_text().splitlines())
    # Nothing of ours is the agents' own role.
    calls = tuple(call for call in calls if call.role != AGENTS)
    # For `make oracle`, which holds the evaluator against another.
    kept = {"roles": policies, "calls": [{"role": call.role, **call.line} for call in calls]}
    (deployment.build_dir / "record.json").write_text(json.dumps(kept))
    iam_conditions.apply()
    return Record(parse_roles(policies), calls)


def keep_plans(place: Deployment) -> None:
    shutil.rmtree(place.demo_plans, ignore_errors=True)
    for plan in (place.build_dir / "plans").glob("*/plan.json"):
        kept = place.demo_plans / plan.parent.name
        kept.mkdir(parents=True)
        shutil.copy(plan, kept)


def run_demo(place: Deployment, *options: str) -> None:
    command = [str(Path(sys.executable).parent / "mlops"), "demo", "--port", str(place.port)]
    done = subprocess.run(
        [*command, "--runtime", place.runtime, *options],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        | {"MLOPS_BUILD_DIR": str(place.build_dir), "CI_TOKEN": PLANTED_SECRET},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
