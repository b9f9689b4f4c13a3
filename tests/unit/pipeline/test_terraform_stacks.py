from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_terraform import FakeTerraform

from pipeline.errors import UsageError
from pipeline.names import read_names
from pipeline.progress import TerraformProgress
from pipeline.settings import Settings
from pipeline.stack import (
    CORE,
    Stack,
    Workshop,
    child_environment,
    open_stack,
    read_images,
    save_outputs,
)
from pipeline.terraform import Event
from pipeline.toolchain import Toolchain

STAGING = Stack("environment", "staging")


@pytest.fixture
def workshop(settings: Settings, fake_terraform: FakeTerraform) -> Workshop:
    for root in ("core", "environment"):
        (settings.checkout / "iac" / root).mkdir(parents=True)
    toolchain = Toolchain(fake_terraform.binary, "1.11.4", None)
    environ = {"PATH": "/usr/bin:/bin", "TF_WORKSPACE": "staging"}
    return Workshop(
        settings,
        "123456789012",
        "arn:aws:sts::123456789012:assumed-role/mlops-deployer/carol",
        ("carol",),
        toolchain,
        environ,
        "abc1234",
        report=lambda _line: None,
    )


def test_an_environment_is_told_images_package_commit_and_state_bucket(workshop: Workshop) -> None:
    child = child_environment(
        workshop, STAGING, images={"iris": {"training": "r@sha256:1", "serving": "r@sha256:2"}}
    )

    variables = {name: value for name, value in child.items() if name.startswith("TF_VAR_")}
    assert variables == {
        "TF_VAR_project": "mlops",
        "TF_VAR_state_bucket": "mlops-tfstate-123456789012",
        "TF_VAR_images": '{"iris": {"serving": "r@sha256:2", "training": "r@sha256:1"}}',
        "TF_VAR_lambda_package": "../../build/lambda.zip",
        "TF_VAR_commit": "abc1234",
    }
    assert "TF_WORKSPACE" not in child


def test_core_is_told_the_models(workshop: Workshop) -> None:
    assert child_environment(workshop, CORE, images={})["TF_VAR_models"] == '["iris"]'


def test_init_runs_once_until_the_lock_changes(workshop: Workshop, fake_terraform: FakeTerraform) -> None:
    open_stack(workshop, CORE)
    open_stack(workshop, CORE)
    (workshop.settings.checkout / "iac" / "core" / ".terraform.lock.hcl").write_text("provider")
    open_stack(workshop, CORE)

    assert [call.split()[0] for call in fake_terraform.calls] == ["init", "init"]


def test_a_workspace_that_a_new_backend_may_lack_is_forgotten_before_init(workshop: Workshop) -> None:
    chosen = workshop.settings.build / "terraform" / STAGING.name / "environment"
    chosen.parent.mkdir(parents=True)
    chosen.write_text("staging")

    open_stack(workshop, STAGING)

    assert not chosen.exists()


def test_the_workspace_is_the_environment(workshop: Workshop, fake_terraform: FakeTerraform) -> None:
    terraform = open_stack(workshop, STAGING)

    assert fake_terraform.calls[-1] == "workspace select -or-create=true staging"
    assert terraform.var_file == workshop.settings.checkout / "iac" / "environment" / "staging.tfvars"
    assert terraform.data_dir.name == "environment-staging"


def test_an_image_that_is_not_pushed_stops_a_plan_early(settings: Settings) -> None:
    with pytest.raises(UsageError, match="training image of iris is not pushed yet"):
        read_images(settings)


PIPELINE: dict[str, Any] = {
    "environment": "staging",
    "data_bucket": "d",
    "models_bucket": "m",
    "runs_table": "r",
    "ledger_bucket": "l",
    "approval_key_arn": "k",
    "promotes_from": None,
    "redrive_arn": "arn:machine",
    "models": {
        "iris": {
            "endpoint_name": "mlops-staging-iris",
            "dataset_prefix": "datasets/iris/",
        }
    },
}


def test_names_come_from_the_last_apply(settings: Settings) -> None:
    save_outputs(settings, STAGING, {"pipeline": PIPELINE})

    names = read_names(settings, "staging", ask_terraform=lambda _stack: pytest.fail("not needed"))

    assert names.model("iris").endpoint == "mlops-staging-iris"
    with pytest.raises(UsageError, match="staging has no model 'digits'"):
        names.model("digits")


def test_names_come_from_the_state_where_nothing_was_applied_here(settings: Settings) -> None:
    names = read_names(settings, "staging", ask_terraform=lambda _stack: {"pipeline": PIPELINE})

    assert names.runs_table == "r"


def test_an_environment_that_was_never_applied_is_named(settings: Settings) -> None:
    with pytest.raises(UsageError, match="staging is not applied yet"):
        read_names(settings, "staging", ask_terraform=lambda _stack: json.loads("{}"))


def test_progress_is_a_line_now_and_then() -> None:
    lines: list[str] = []
    now = [0.0]
    progress = TerraformProgress(label="core", report=lines.append, clock=lambda: now[0])
    for second, kind, address in [
        (0, "apply_start", "aws_kms_key.a"),
        (1, "apply_start", "aws_s3_bucket.b"),
        (2, "apply_complete", "aws_s3_bucket.b"),
        (6, "apply_progress", "aws_kms_key.a"),
        (7, "apply_complete", "aws_kms_key.a"),
    ]:
        now[0] = second
        progress(Event(kind, address, message=""))
    progress(Event("change_summary", "", message="Apply complete!"))

    assert lines == ["core: 1 resources done, waiting for aws_kms_key.a (6 s)", "core: Apply complete!"]


def test_an_unpushed_image_file_is_no_image(settings: Settings) -> None:
    file: Path = settings.image_file("iris", "training")
    file.parent.mkdir(parents=True)
    file.write_text('{"uri": null}')

    with pytest.raises(UsageError, match="Run `mlops build` and `mlops push` first"):
        read_images(settings)
