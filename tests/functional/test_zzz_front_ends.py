"""Both front ends deliver a commit with the real commands, from the checks to an endpoint that answers.

Each delivers a new commit to the deployment that is there. Jenkins and GitHub are the models of tests/ci;
make, mlops, Terraform, the roles and the gates are what they are. After all else, because production then
runs another commit.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from byte_search import find_markers
from kept_demo import AGENTS, PLANTED_SECRET, ROOT, Deployment
from scratch_repository import Repository, make_repository

sys.path.insert(0, str(ROOT / "tests" / "ci"))

from front_ends import run_groovy, run_node
from machine.packages import ensure_scanner

# What a front end calls is the same whichever way images run.
pytestmark = [
    pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session"),
    pytest.mark.terraform,
]

TIMEOUT_S = 1500
AUTHOR, REVIEWER = "ann", "octo-cat"
STACKS = ("core", "staging", "production")
GATES = [f"Apply this plan of {stack}?" for stack in STACKS]
# The suite around this test is `make test`; inside of it the stages check and test run a part of it.
A_PART = {
    "TESTS": "-n 0 tests/unit/project/test_iac_readmes.py",
    "PYTEST_ADDOPTS": "-k readmes --ignore=tests/unit/localaws --ignore=tests/unit/model_src "
    "--ignore=tests/unit/pipeline --ignore=tests/unit/lambdas",
}


@dataclass(frozen=True)
class Site:
    """One delivery: the repository with its new commit, and a folder for what it leaves."""

    deployment: Deployment
    repository: Repository
    folder: Path
    agents_keys: Mapping[str, str]

    def environ(self) -> dict[str, str]:
        """What an agent has, before it takes on any role."""
        aws = self.deployment.aws_variables()
        del aws["AWS_PROFILE"]
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            # The commit's own code, whosever the packages are.
            "PYTHONPATH": ".",
            "PYTHON": sys.executable,
            "MYPY_CACHE_DIR": str(self.folder.parent / "mypy"),
            # An agent without an engine: images are plain processes here.
            "DOCKER_HOST": f"unix://{self.folder}/no-engine",
            "CI_TOKEN": PLANTED_SECRET,
            **A_PART,
            **aws,
        }

    def secrets(self) -> dict[str, bytes]:
        """Everybody's keys, the agents' session and the jobs' tokens: no log and no plan may show them."""
        sessions = configparser.RawConfigParser()
        sessions.read(self.folder / "aws-config")
        given = {
            f"{section}'s {name}": sessions[section][name].encode()
            for section in sessions.sections()
            for name in ("aws_secret_access_key", "aws_session_token")
            if name in sessions[section]
        }
        tokens = {file.name: file.read_bytes() for file in self.folder.glob("token-*")}
        own = {"the agents' key": self.agents_keys["aws_secret_access_key"].encode()}
        return self.deployment.secrets() | own | given | tokens


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    ensure_scanner(ROOT)
    folder = tmp_path_factory.mktemp("delivery")
    return make_repository(folder / "repository")


@pytest.fixture
def site(
    deployment: Deployment, ci: Mapping[str, str], agents_keys: Mapping[str, str], repository: Repository
) -> Site:
    """A new commit of ann's, which nobody has delivered yet."""
    number = len(repository.git("log", "--format=%h").splitlines())
    with (repository.path / "CHANGELOG.md").open("a") as file:
        file.write(f"- Change {number}.\n")
    repository.commit(f"Change {number}", author=AUTHOR)
    folder = repository.path.parent / f"delivery-{number}"
    folder.mkdir()
    return Site(deployment, repository, folder, agents_keys)


def deliver_by_github(site: Site, *, reviewer: str) -> dict[str, Any]:
    scenario = {
        "name": "real",
        "environ": site.environ(),
        "github": {"event_name": "push", "ref": "refs/heads/main", "actor": AUTHOR, "run_id": "1"},
        "vars": {"AWS_ACCOUNT_ID": "123456789012", "AWS_REGION": "us-east-1"},
        "reviewers": dict.fromkeys(STACKS, reviewer),
        "protected": list(STACKS),
        "folder": str(site.folder),
        "source": str(site.repository.path),
    }
    file = site.repository.path / ".github" / "workflows" / "deliver.yml"
    (answer,) = run_node(site.folder, [{"file": str(file), "scenarios": [scenario]}], timeout_s=TIMEOUT_S)
    outcome: dict[str, Any] = answer["outcomes"][0]
    results = {job["result"] for job in outcome["results"].values()}
    said = "".join(event.get("said", "") for event in outcome["events"])
    return {
        "result": "SUCCESS" if results == {"success"} else "FAILURE",
        "said": said,
        "events": outcome["events"],
    }


def deliver_by_jenkins(site: Site, *, reviewer: str) -> dict[str, Any]:
    environ = site.environ() | {"AWS_CONFIG_FILE": str(write_agents_profiles(site))}
    scenario = {
        "name": "real",
        "environ": environ,
        "answers": {gate: {"by": reviewer, "groups": ["mlops-approvers"]} for gate in GATES},
        "folder": str(site.folder),
        "source": str(site.repository.path),
    }
    file = site.repository.path / "Jenkinsfile"
    (answer,) = run_groovy(site.folder, [{"file": str(file), "scenarios": [scenario]}], timeout_s=TIMEOUT_S)
    outcome: dict[str, Any] = answer["outcomes"][0]
    said = "".join(event.get("log", "") for event in outcome["events"])
    return {"result": outcome["result"], "said": said, "events": outcome["events"]}


def write_agents_profiles(site: Site) -> Path:
    """An agent's AWS configuration, as docs/ci.md has it; its own credentials are those of a session."""
    aws = site.deployment.aws_variables()
    sts = boto3.client(
        "sts",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        verify=aws["AWS_CA_BUNDLE"],
        region_name=aws["AWS_REGION"],
        **site.agents_keys,
    )
    role = f"arn:aws:iam::123456789012:role/{AGENTS}"
    session = sts.assume_role(RoleArn=role, RoleSessionName="agent-1")["Credentials"]
    config = configparser.RawConfigParser()
    config["profile agent"] = {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
        "region": "us-east-1",
    }
    for role in ("mlops-ci-plan", "mlops-ci-approve", "mlops-ci-apply", "mlops-data-scientist"):
        config[f"profile {role}"] = {
            "role_arn": f"arn:aws:iam::123456789012:role/{role}",
            "source_profile": "agent",
            "role_session_name": "jenkins",
            "region": "us-east-1",
        }
    file = site.folder / "aws-config"
    with file.open("w") as stream:
        config.write(stream)
    return file


FRONT_ENDS = {"jenkins": deliver_by_jenkins, "github": deliver_by_github}


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_commit_is_delivered_to_an_endpoint_that_answers(
    deployment: Deployment, site: Site, front_end: str
) -> None:
    done = FRONT_ENDS[front_end](site, reviewer=REVIEWER)
    assert done["result"] == "SUCCESS", done["said"][-6000:]
    run_id = re.findall(r"\biris-[0-9a-f]{16}\b", done["said"])[-1]
    approved = deployment.mlops("approve", run_id, "--reason", "as good", profile="approver")
    released = deployment.mlops("watch", run_id, "--env", "production")
    status = deployment.mlops("status", "--env", "production", "--json").json
    answer = deployment.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=status["endpoint"], ContentType="text/csv", Accept="text/csv", Body=b"5.1,3.5,1.4,0.2\n"
    )

    assert (approved.exit_code, released.exit_code) == (0, 0), approved.stderr + released.stderr
    assert run_id in status["endpoint_config"]
    assert status["approved_by"] == "bob"
    assert answer["Body"].read().decode().split() == ["setosa"]
    assert {deployed_commit(deployment, name) for name in ("staging", "production")} == {site.repository.head}
    assert find_secrets(site, done["events"]) == []


def find_secrets(site: Site, events: list[dict[str, Any]]) -> list[str]:
    """Where a secret stands in what the delivery said, its summaries and its plans, or a credential's id."""
    said = json.dumps(events).encode()
    files = [file for file in site.folder.rglob("build/plans/*/*") if file.is_file()]
    plans = [(str(file), file.read_bytes()) for file in files]
    assert plans
    shown = [f"the log: {found.decode()}" for found in re.findall(rb"\bA(?:KIA|SIA)[0-9A-F]{16}\b", said)]
    return find_markers([("the log", said), *plans], site.secrets()) + shown


def deployed_commit(deployment: Deployment, environment: str) -> str:
    """What the environment's functions were built from."""
    function = deployment.client("lambda").get_function_configuration(
        FunctionName=f"mlops-{environment}-record"
    )
    commit: str = function["Environment"]["Variables"]["COMMIT"]
    return commit


def test_nobody_lets_their_own_change_through(deployment: Deployment, site: Site) -> None:
    """Of one front end, because it costs a minute: the command refuses, and in tests/ci that ends both."""
    done = deliver_by_github(site, reviewer=AUTHOR)

    assert done["result"] == "FAILURE"
    assert f"{AUTHOR} made or planned the change in plan" in done["said"]
    assert "applying the plan" not in done["said"]
    assert deployed_commit(deployment, "production") != site.repository.head
