"""Terraform refuses each wrong input of iac/testing/refusals.toml, and says which rule it breaks."""

from __future__ import annotations

import json
import shutil
import tomllib
from typing import Any

import pytest
from iac_copy import IAC, ROOTS, IacCopy

from pipeline.errors import UsageError
from pipeline.variables import check_variables

REFUSALS = tomllib.loads((IAC / "testing" / "refusals.toml").read_text())
CASES = [
    pytest.param(
        root,
        case["refused"],
        case["given"],
        case.get("workspace", "staging"),
        id=f"{root}: {case['refused']}",
    )
    for root in ROOTS
    for case in REFUSALS[root]
]
IMAGE = f"registry.example/mlops-iris@sha256:{'a' * 64}"
GOOD: dict[str, dict[str, Any]] = {
    "bootstrap": {
        f"{role}_principals": [f"arn:aws:iam::123456789012:user/{name}"]
        for role, name in {"approver": "bob", "data_scientist": "alice", "deployer": "carol"}.items()
    },
    "core": {"models": ["iris"]},
    "environment": {
        "environment": "staging",
        "models": {"iris": {}},
        "images": {"iris": {"training": IMAGE, "serving": IMAGE}},
        "lambda_package": "variables.tf",  # any file: nothing is uploaded
        "commit": "abcdef1",
        "state_bucket": "mlops-tfstate-123456789012",
    },
}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> IacCopy:
    """The roots without anything but their variables, which need neither provider nor backend."""
    folder = tmp_path_factory.mktemp("variables")
    copy = IacCopy(folder, data=folder / "data")
    for root in ROOTS:
        for file in (copy.iac / root).glob("*.tf"):
            if not file.read_text().lstrip().startswith("variable "):
                file.unlink()
        shutil.rmtree(copy.iac / root / "tests", ignore_errors=True)
        (copy.iac / root / ".terraform.lock.hcl").unlink()
    return copy


def plan(copy: IacCopy, root: str, given: dict[str, Any], workspace: str = "staging", *options: str) -> str:
    """What Terraform says."""
    (copy.iac / root / "given.auto.tfvars.json").write_text(json.dumps(GOOD[root] | given))
    workspaces = {"workspace": workspace} if root == "environment" else {}
    return copy.run(root, "plan", "-input=false", *options, **workspaces)


@pytest.mark.terraform
@pytest.mark.parametrize("root", ROOTS)
def test_good_input_is_taken(variables: IacCopy, root: str) -> None:
    variables_only = plan(variables, root, {})

    assert ("Changes to Outputs" if root == "environment" else "No changes") in variables_only


@pytest.mark.terraform
def test_a_setting_that_terraform_drops_is_found_in_its_plan(variables: IacCopy) -> None:
    given = {"models": {"iris": {"serving": {"network_isolaton": False}}}}
    plan(variables, "environment", given, "staging", "-out=saved.tfplan")
    shown = variables.run("environment", "show", "-json", "saved.tfplan")

    with pytest.raises(UsageError, match=r"no setting models\.iris\.serving\.network_isolaton"):
        check_variables(json.loads(shown), variables.iac / "environment" / "given.auto.tfvars.json")


@pytest.mark.terraform
@pytest.mark.parametrize(("root", "refused", "given", "workspace"), CASES)
def test_wrong_input_is_refused_with_the_rule(
    variables: IacCopy, root: str, refused: str, given: dict[str, Any], workspace: str
) -> None:
    with pytest.raises(AssertionError) as told:
        plan(variables, root, given, workspace)

    assert refused in " ".join(str(told.value).split())
