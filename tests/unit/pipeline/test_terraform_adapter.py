from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_terraform import FakeTerraform

from pipeline.errors import SetupError, TerraformError
from pipeline.plans import Change
from pipeline.terraform import Event, Operation, Terraform, measure_waiting, time_operations
from pipeline.toolchain import find_toolchain, terraform_environment


def adapter(fake: FakeTerraform, folder: Path, **options: Any) -> Terraform:
    root = folder / "root"
    root.mkdir(exist_ok=True)
    environ = {"PATH": os.environ["PATH"]}
    return Terraform(binary=fake.binary, root=root, data_dir=folder / "data", environ=environ, **options)


def diagnostic(summary: str, detail: str) -> dict[str, Any]:
    told = {
        "severity": "error",
        "summary": summary,
        "detail": detail,
        "address": "aws_s3_bucket.data",
        "range": {"filename": "main.tf", "start": {"line": 7}},
    }
    return {"@level": "error", "@message": f"Error: {summary}", "type": "diagnostic", "diagnostic": told}


def hook(kind: str, address: str, action: str = "create") -> dict[str, Any]:
    return {
        "type": kind,
        "@message": f"{address}: {kind}",
        "hook": {"resource": {"addr": address}, "action": action},
    }


def test_init_connects_the_backend_and_never_changes_the_lock(
    fake_terraform: FakeTerraform, tmp_path: Path
) -> None:
    adapter(fake_terraform, tmp_path).init({"bucket": "mlops-tfstate-1", "region": "eu-west-1"})

    (call,) = fake_terraform.calls
    assert call.startswith("init ")
    assert "-lockfile=readonly" in call
    assert "-reconfigure" in call
    assert "-backend-config=bucket=mlops-tfstate-1 -backend-config=region=eu-west-1" in call


def test_each_root_has_a_data_folder_of_its_own(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    adapter(fake_terraform, tmp_path).select_workspace("staging")

    assert fake_terraform.calls == ["workspace select -or-create=true staging"]
    assert fake_terraform.environment["TF_DATA_DIR"] == str(tmp_path / "data")


def test_plan_takes_exit_code_two_for_changes(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    change = {"resource": {"addr": "aws_sqs_queue.dead"}, "action": "create"}
    fake_terraform.answer_lines("plan", {"type": "planned_change", "change": change}, code=2)

    changes = adapter(fake_terraform, tmp_path, var_file=Path("staging.tfvars")).plan(
        tmp_path / "plan.tfplan"
    )

    assert changes == (Change("aws_sqs_queue.dead", "create"),)
    assert "-detailed-exitcode" in fake_terraform.calls[0]
    assert "-var-file=staging.tfvars" in fake_terraform.calls[0]


def test_a_variable_that_the_root_does_not_have_is_refused(
    fake_terraform: FakeTerraform, tmp_path: Path
) -> None:
    warning = {
        "severity": "warning",
        "summary": "Value for undeclared variable",
        "detail": 'The root module does not declare a variable named "ttl_hour".',
    }
    fake_terraform.answer_lines("plan", {"type": "diagnostic", "@level": "warn", "diagnostic": warning})
    plan = tmp_path / "plan.tfplan"

    with pytest.raises(TerraformError, match='does not declare a variable named "ttl_hour"'):
        adapter(fake_terraform, tmp_path, var_file=Path("staging.tfvars")).plan(plan)
    assert not plan.exists()


def test_apply_gives_exactly_the_saved_plan(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    adapter(fake_terraform, tmp_path).apply(tmp_path / "plan.tfplan")

    assert fake_terraform.calls == [f"apply -no-color -json {tmp_path / 'plan.tfplan'}"]


def test_a_failure_carries_terraforms_own_diagnosis(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    fake_terraform.answer_lines("apply", diagnostic("creating S3 Bucket", "Exists"), code=1)

    with pytest.raises(TerraformError) as failure:
        adapter(fake_terraform, tmp_path).apply(tmp_path / "plan.tfplan")

    assert str(failure.value) == (
        "terraform apply in root failed: creating S3 Bucket [aws_s3_bucket.data] (main.tf:7): Exists"
    )


def test_a_framed_error_of_a_plain_command_loses_its_frame(
    fake_terraform: FakeTerraform, tmp_path: Path
) -> None:
    fake_terraform.answer(
        "workspace", err="╷\n│ \x1b[31mError: state lock\x1b[0m\n│ \n│ held by carol\n╵\n", code=1
    )

    with pytest.raises(
        TerraformError, match=r"workspace select in root failed: Error: state lock held by carol$"
    ):
        adapter(fake_terraform, tmp_path).select_workspace("staging")


def test_a_missing_state_bucket_leads_to_bootstrap(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    said = 'S3 bucket "b" does not exist.\n\nThe referenced S3 bucket must have been previously created.\n'
    fake_terraform.answer("workspace", err=said, code=1)

    with pytest.raises(TerraformError, match="Run `mlops bootstrap` first"):
        adapter(fake_terraform, tmp_path).select_workspace("staging")


def test_an_unreachable_provider_is_a_matter_of_setup(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    fake_terraform.answer("init", err="Error: Failed to query available provider packages\n", code=1)

    with pytest.raises(SetupError, match="AWS provider cannot be had: run `make setup`"):
        adapter(fake_terraform, tmp_path).init()


def test_a_command_out_of_time_is_interrupted(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    # `exec` would be needed for the signal to reach sleep itself; the shell ends after it.
    fake_terraform.answer("output", "{}", sleep_s=0.4)
    began = time.monotonic()

    with pytest.raises(TerraformError, match=r"terraform output in root was ended after 0.1 s"):
        adapter(fake_terraform, tmp_path, timeout_s=0.1).output()

    assert time.monotonic() - began < 5


def test_the_terminals_own_interrupt_does_not_reach_terraform_beside_ours(
    fake_terraform: FakeTerraform, tmp_path: Path
) -> None:
    fake_terraform.binary.write_text(
        f"#!{sys.executable}\nimport json, os\n"
        "print(json.dumps({'group': {'value': os.getpgrp()}, 'parent': {'value': os.getppid()}}))\n"
    )

    told = adapter(fake_terraform, tmp_path).output()

    assert told["parent"] == os.getpid()
    assert told["group"] != os.getpgrp()


def test_output_gives_values_alone(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    fake_terraform.answer("output", '{"state_bucket": {"value": "b", "type": "string", "sensitive": false}}')

    assert adapter(fake_terraform, tmp_path).output() == {"state_bucket": "b"}


def test_events_tell_of_resources_and_not_of_data_sources(
    fake_terraform: FakeTerraform, tmp_path: Path
) -> None:
    lines = (
        hook("apply_start", "data.aws_region.r", action="read"),
        hook("apply_start", "aws_kms_key.k"),
        hook("apply_complete", "aws_kms_key.k"),
    )
    fake_terraform.answer_lines("apply", *lines)
    seen: list[Event] = []

    applied = adapter(fake_terraform, tmp_path, on_event=seen.append).apply(tmp_path / "p")

    assert [(event.kind, event.address) for event in seen] == [
        ("apply_start", "aws_kms_key.k"),
        ("apply_complete", "aws_kms_key.k"),
    ]
    assert [operation.address for operation in applied.operations] == ["aws_kms_key.k"]


def test_a_line_that_is_no_json_does_no_harm(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    fake_terraform.answer("apply", "a provider's debug print\n[1, 2]\n")

    assert adapter(fake_terraform, tmp_path).apply(tmp_path / "p").operations == ()


def test_operations_are_timed_by_the_readers_clock() -> None:
    ticks = iter([100.0, 101.0, 113.0, 120.0])
    lines = [hook("apply_start", "a"), hook("apply_complete", "a")]

    applied = time_operations(lines, clock=lambda: next(ticks))

    assert applied.seconds == 20.0
    assert applied.operations == (Operation("a", 1.0, 13.0),)


def test_waiting_counts_overlapping_operations_once_and_short_ones_not_at_all() -> None:
    operations = [
        Operation("a", 0, 10),
        Operation("b", 5, 12),
        Operation("c", 20, 24.9),
        Operation("d", 30, 35),
    ]

    assert measure_waiting(operations) == 17.0


def test_the_workspace_variable_and_a_missing_configuration_never_reach_terraform(tmp_path: Path) -> None:
    environ = {"TF_WORKSPACE": "staging", "TF_CLI_CONFIG_FILE": str(tmp_path / "absent"), "AWS_PROFILE": "p"}

    child = terraform_environment(environ, terraform_rc=None)

    assert child == {
        "AWS_PROFILE": "p",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        "GOGC": "400",
        "GOMEMLIMIT": "768MiB",
    }


def test_who_calls_says_how_terraform_uses_memory() -> None:
    assert terraform_environment({"GOGC": "50"}, terraform_rc=None)["GOGC"] == "50"


def test_a_missing_terraform_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"Terraform is missing.*make setup"):
        find_toolchain(tmp_path, {"PATH": str(tmp_path)})


def test_an_old_terraform_is_refused(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    fake_terraform.answer("version", '{"terraform_version": "1.10.5"}')
    environ = {"PATH": f"{fake_terraform.binary.parent}:{os.environ['PATH']}"}

    with pytest.raises(SetupError, match=r"Terraform 1\.10\.5 at .* is too old, 1\.11 or newer"):
        find_toolchain(tmp_path, environ)


def test_setups_own_terraform_goes_before_the_path(fake_terraform: FakeTerraform, tmp_path: Path) -> None:
    fake_terraform.answer("version", '{"terraform_version": "1.11.0"}')
    tools = tmp_path / ".tools"
    tools.mkdir()
    (tools / "setup.json").write_text(f'{{"terraform": "{fake_terraform.binary}", "terraform_rc": null}}')

    found = find_toolchain(tmp_path, {"PATH": os.environ["PATH"]})

    assert (found.terraform, found.version) == (fake_terraform.binary, "1.11.0")
