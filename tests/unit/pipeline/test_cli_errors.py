from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSOTokenLoadError,
)
from typer.testing import CliRunner

from pipeline.aws import Aws
from pipeline.cli import app, docs, main, report_error, translate_error
from pipeline.cli.infrastructure import pick_stack
from pipeline.errors import BuildError, PipelineError, SetupError, UsageError
from pipeline.settings import (
    MODEL_PATTERN,
    PROJECT_PATTERN,
    Settings,
    check_workspace,
    parse_environment,
    pick_model,
    read_settings,
)
from pipeline.stack import CORE

ROOT = Path(__file__).resolve().parents[3]
MLOPS_TOML = 'project = "mlops"\nregion = "us-east-1"\nmodels = ["iris"]\n'


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mlops.toml").write_text(MLOPS_TOML)
    monkeypatch.chdir(tmp_path)
    for name in ("MLOPS_BUILD_DIR", "MLOPS_MODELS", "MLOPS_PROJECT", "TF_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mlops", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_our_errors_are_one_line_and_their_code(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_main(monkeypatch, "push")

    assert code == BuildError.exit_code == 4
    assert capsys.readouterr().err == (
        "error: There is no training image of iris yet. Run `mlops build` first.\n"
    )


@pytest.mark.parametrize("option", ["--plan", "--by", "--valid-for-h"])
def test_an_option_about_plans_is_refused_for_a_run(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    code = run_main(monkeypatch, "approve", "iris-0000000000000000", "--reason", "good", option, "24")

    assert code == UsageError.exit_code == 2
    assert "are about plans; a run's model is answered for by who asks" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--part", "some"], ["--no-such-option"], []])
def test_with_json_a_wrong_call_is_one_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    image = ["image:1"] if wrong else []

    code = run_main(monkeypatch, "check-image", *image, *wrong, "--json")

    error = json.loads(capsys.readouterr().err)["error"]
    assert (code, error["type"], error["exit_code"]) == (2, "UsageError", 2)


def test_with_json_an_error_is_one_object(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_main(monkeypatch, "push", "--json")

    said = capsys.readouterr()
    assert (code, said.out) == (4, "")
    assert json.loads(said.err) == {
        "error": {
            "type": "BuildError",
            "message": "There is no training image of iris yet. Run `mlops build` first.",
            "exit_code": 4,
        }
    }


def test_a_message_of_many_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(PipelineError("first\n  second"), as_json=False)

    assert capsys.readouterr().err == "error: first second\n"


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ([], "Which runs?"),
        (["iris-1", "--all"], "Runs by name and --all exclude each other."),
    ],
)
def test_track_wants_runs_by_name_or_all_of_them(
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    choice: list[str],
    told: str,
) -> None:
    assert run_main(monkeypatch, "track", *choice) == UsageError.exit_code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["destroy", "--env", "production"],
        ["destroy", "--env", "pro"],
        ["destroy", "--all"],
        ["destroy", "--env", "production", "--confirm", "staging"],
    ],
)
def test_production_is_destroyed_only_by_its_name(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run_main(monkeypatch, *arguments) == UsageError.exit_code
    assert "Add `--confirm production`" in capsys.readouterr().err


@pytest.mark.parametrize("confirmation", [[], ["--confirm", "production"]])
def test_core_with_its_ledger_is_destroyed_only_by_its_name(
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    confirmation: list[str],
) -> None:
    assert run_main(monkeypatch, "destroy", "core", *confirmation) == UsageError.exit_code
    assert "Add `--confirm core`" in capsys.readouterr().err


def test_an_unknown_environment_is_wrong_usage(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_main(monkeypatch, "plan", "--env", "test") == UsageError.exit_code


@pytest.mark.parametrize(
    "problem",
    [
        NoCredentialsError(),
        PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        SSOTokenLoadError(error_msg="expired"),
        ReadTimeoutError(endpoint_url="https://127.0.0.1:1"),
    ],
)
def test_a_closed_way_to_aws_is_a_matter_of_setup(problem: Exception) -> None:
    error = translate_error(problem)

    assert isinstance(error, SetupError)
    assert "AWS_PROFILE" in str(error)


def test_an_address_that_is_none_is_a_matter_of_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")

    with pytest.raises(SetupError, match="Invalid endpoint: localhost"):
        Aws("us-east-1").client("sts")


def client_error(code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "m"}}
    return ClientError(answer, "DescribeTable")


def test_a_refusal_by_aws_is_a_matter_of_setup() -> None:
    assert isinstance(translate_error(client_error("AccessDeniedException")), SetupError)


def test_an_environment_that_is_gone_is_a_matter_of_setup() -> None:
    error = translate_error(client_error("ResourceNotFoundException"))

    assert isinstance(error, SetupError)
    assert "What was applied from this checkout is not there" in str(error)


def test_every_other_error_keeps_its_traceback() -> None:
    assert translate_error(client_error("InternalError")) is None
    assert translate_error(KeyError("x")) is None


def test_each_command_has_help_and_json() -> None:
    commands = [
        command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback
    ]
    for name in commands:
        shown = CliRunner().invoke(app, [name, "--help"]).output

        assert "--json" in shown, name
        assert "[[" not in shown, name
    assert len(commands) == 26


def test_docs_list_every_exit_code_once() -> None:
    codes = [code for code, _meaning in docs.list_exit_codes()]

    assert codes == list(range(1, 15))


def test_pro_means_production() -> None:
    assert parse_environment("pro") == "production"


def test_settings_come_from_the_file_and_the_environment_wins(checkout: Path) -> None:
    inside = checkout / "some" / "folder"
    inside.mkdir(parents=True)

    settings = read_settings({"AWS_REGION": "eu-west-1", "MLOPS_BUILD_DIR": "elsewhere"}, start=inside)

    expected = Settings(checkout.resolve(), checkout.resolve() / "elsewhere", "mlops", "eu-west-1", ("iris",))
    assert settings == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('models = ["iris"', "not TOML"),
        ('models = "iris"', "`models` must be a list"),
        ("models = [1]", "`models` must be a list"),
        ("models = []", "names no model"),
        ("project = 1", "`project` must be a text"),
        ('project = "My Project"\nmodels = ["iris"]', "'My Project' cannot be a project"),
        ('project = "x"\nmodels = ["iris"]', "'x' cannot be a project"),
        ('models = ["../iris"]', "'../iris' cannot be a model"),
        ('models = ["iris", ""]', "'' cannot be a model"),
        ('models = ["iris", "iris"]', "named twice among the models: iris"),
    ],
)
def test_a_settings_file_that_makes_no_sense_is_refused(checkout: Path, text: str, rule: str) -> None:
    (checkout / "mlops.toml").write_text(text)

    with pytest.raises(UsageError, match=rule):
        read_settings({}, start=checkout)


def test_names_are_held_to_the_rules_of_the_infrastructure() -> None:
    rules = (ROOT / "iac/modules/names/variables.tf").read_text()

    assert f'can(regex("{PROJECT_PATTERN}", var.project))' in rules
    assert f'can(regex("{MODEL_PATTERN}", model))' in rules


def test_spaces_and_a_last_comma_name_no_model(checkout: Path) -> None:
    assert read_settings({"MLOPS_MODELS": "iris, penguins,"}, start=checkout).models == ("iris", "penguins")


def test_a_port_beyond_the_last_is_wrong_usage(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_main(monkeypatch, "local", "up", "--port", "65536") == UsageError.exit_code
    assert run_main(monkeypatch, "demo", "--port", "65536") == UsageError.exit_code


def test_a_model_without_a_folder_is_not_built(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_COMMIT", "0" * 40)

    assert run_main(monkeypatch, "build", "--engine", "none") == UsageError.exit_code
    assert "there is no model.yaml" in capsys.readouterr().err


def test_an_unknown_setting_is_refused(checkout: Path) -> None:
    (checkout / "mlops.toml").write_text('projekt = "x"\n')

    with pytest.raises(UsageError, match="unknown keys"):
        read_settings({})


def test_an_unknown_model_is_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no model 'digits'"):
        pick_model(settings, "digits")


@pytest.mark.parametrize("workspace", ["", "production", "pro"])
def test_a_workspace_that_agrees_is_taken(workspace: str) -> None:
    check_workspace("production", {"TF_WORKSPACE": workspace})


def test_a_workspace_of_another_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_WORKSPACE", "staging")

    with pytest.raises(UsageError, match="TF_WORKSPACE is staging, but production is asked for"):
        pick_stack("environment", "production")

    assert pick_stack("core", "production") == CORE
