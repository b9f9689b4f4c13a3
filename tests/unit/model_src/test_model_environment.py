"""A training job's folders and variables, and the jobs this trainer refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_examples import random_data, write_contract

from model_src.artefact import read_artefact
from model_src.environment import read_training_job, variables
from model_src.errors import DatasetError, JobError
from model_src.training import check_job, run_training

RESOURCES = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}


def write_job(base: Path, **files: Any) -> dict[str, str]:
    """A job's folders under `base`, and the environment its program is started with."""
    config = base / "input" / "config"
    config.mkdir(parents=True)
    for name, value in {"resourceconfig": RESOURCES, **files}.items():
        (config / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    train = base / "input" / "data" / "train"
    train.mkdir(parents=True)
    (train / "data.csv").write_text(random_data("regression", n_rows=40))
    return {"SAGEMAKER_BASE_DIR": str(base)}


def test_variables_are_those_of_the_training_toolkit(tmp_path: Path) -> None:
    environ = write_job(
        tmp_path,
        hyperparameters={
            "alpha": "0.5",
            "solver": "auto",
            "C": '"1"',
            "copy_X": "true",
            "sagemaker_program": "x.py",
            "_tuning_objective_metric": "validation_rmse",
        },
        inputdataconfig={"train": {"ContentType": "text/csv"}, "validation": {}},
    )

    given = variables(read_training_job(environ), program="train")

    assert given["SM_MODEL_DIR"] == f"{tmp_path}/model"
    assert given["SM_OUTPUT_DATA_DIR"] == f"{tmp_path}/output/data"
    assert given["SM_CHANNELS"] == '["train","validation"]'
    assert given["SM_CHANNEL_TRAIN"] == f"{tmp_path}/input/data/train"
    assert given["SM_HPS"] == '{"C":"1","alpha":0.5,"copy_X":true,"solver":"auto"}'
    assert given["SM_HP_COPY_X"] == "true"
    assert json.loads(given["SM_FRAMEWORK_PARAMS"])["sagemaker_program"] == "x.py"
    assert (given["SM_HP_ALPHA"], given["SM_HP_SOLVER"]) == ("0.5", "auto")
    assert given["SM_USER_ARGS"] == '["-C","1","--alpha","0.5","--copy_X","True","--solver","auto"]'
    assert (given["SM_HOSTS"], given["SM_CURRENT_HOST"]) == ('["algo-1"]', "algo-1")
    assert given["SM_NETWORK_INTERFACE_NAME"] == "eth0"
    assert given["SAGEMAKER_PROGRAM"] == "train"
    assert given["SM_MODULE_DIR"] == f"{tmp_path}/code"
    assert json.loads(given["SM_TRAINING_ENV"])["channel_input_dirs"]["train"] == given["SM_CHANNEL_TRAIN"]


def test_instance_groups_are_told_as_the_toolkit_tells_them(tmp_path: Path) -> None:
    group = {"instance_group_name": "workers", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
    resources = {
        **RESOURCES,
        "current_instance_type": "ml.m5.large",
        "current_group_name": "workers",
        "instance_groups": [group],
    }

    given = variables(read_training_job(write_job(tmp_path, resourceconfig=resources)), program="train")

    assert given["SM_CURRENT_INSTANCE_TYPE"] == "ml.m5.large"
    assert given["SM_CURRENT_INSTANCE_GROUP"] == "workers"
    assert given["SM_CURRENT_INSTANCE_GROUP_HOSTS"] == '["algo-1"]'
    assert (given["SM_INSTANCE_GROUPS"], given["SM_IS_HETERO"]) == ('["workers"]', "false")
    assert json.loads(given["SM_INSTANCE_GROUPS_DICT"]) == {"workers": group}


def test_hyperparameters_override_the_contract(tmp_path: Path) -> None:
    environ = write_job(tmp_path, hyperparameters={"alpha": "2.5"})

    run_training(write_contract(tmp_path), environ)

    card = read_artefact(tmp_path / "model").card
    assert card.origin["hyperparameters"] == {"alpha": 2.5}
    assert card.origin["dataset"]["rows"] == 40
    assert environ["SM_HP_ALPHA"] == "2.5"


def test_a_validation_channel_and_sharded_files_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = write_job(tmp_path)
    train = tmp_path / "input" / "data" / "train"
    (train / "more").mkdir()
    (train / "more" / "part-2.csv").write_text(random_data("regression", n_rows=10, seed=1))
    (tmp_path / "input" / "data" / "validation").mkdir()
    (tmp_path / "input" / "data" / "validation" / "v.csv").write_text(random_data("regression", 20, seed=2))

    run_training(write_contract(tmp_path), environ)

    kept = json.loads((tmp_path / "output" / "data" / "metrics.json").read_text())
    logged = capsys.readouterr().out
    assert kept["rows"] == 50
    assert 0 < kept["train_rmse"] < kept["validation_rmse"]
    assert f"validation_rmse={kept['validation_rmse']:g}" in logged


def test_variables_that_are_set_go_before_the_folders(tmp_path: Path) -> None:
    environ = write_job(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "input" / "data" / "train").rename(elsewhere)
    environ |= {"SM_CHANNEL_TRAIN": str(elsewhere), "SM_MODEL_DIR": str(tmp_path / "out")}

    run_training(write_contract(tmp_path), environ)

    assert read_artefact(tmp_path / "out").card.model == "flat"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"hyperparameters": {"alfa": "1"}}, "ridge has no hyperparameter 'alfa'; it has alpha"),
        ({"hyperparameters": "{"}, "hyperparameters.json is not JSON"),
        ({"hyperparameters": "[]"}, "hyperparameters.json does not hold a JSON object"),
        ({"hyperparameters": {"alpha": "[1, 2]"}}, r"'alpha' is \[1, 2\], not one finite value"),
        ({"hyperparameters": {"alpha": "NaN"}}, "'alpha' is not a number"),
        ({"hyperparameters": {"alpha": "-Infinity"}}, "'alpha' is -Infinity, not one finite value"),
        ({"hyperparameters": {"warm_start": "true"}}, "ridge has no hyperparameter 'warm_start'"),
        ({"resourceconfig": {"hosts": ["algo-1", "algo-2"]}}, "runs on one host; the job has 2"),
        ({"inputdataconfig": {"train": {"TrainingInputMode": "Pipe"}}}, "'train' is in Pipe mode; use File"),
        (
            {"inputdataconfig": {"train": {"ContentType": "image/png"}}},
            "is image/png; this trainer reads",
        ),
        ({"inputdataconfig": {"train": {"RecordWrapperType": "RecordIO"}}}, "wrapped as RecordIO; send CSV"),
    ],
)
def test_a_job_it_cannot_do_is_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    environ = write_job(tmp_path, **files)

    with pytest.raises(JobError, match=message):
        run_training(write_contract(tmp_path), environ)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "files",
    [
        {"resourceconfig": {"hosts": "algo-1"}},
        {"resourceconfig": {"hosts": None}},
        {"resourceconfig": {"hosts": []}},
        {"resourceconfig": {"hosts": [1]}},
        {"resourceconfig": {"current_group_name": ["a"]}},
        {"resourceconfig": {"instance_groups": 1}},
        {"resourceconfig": {"instance_groups": [{"hosts": []}]}},
        {"inputdataconfig": {"train": "text/csv"}},
        {"inputdataconfig": {"train": None}},
    ],
)
def test_a_configuration_of_another_shape_is_refused_by_its_file(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    environ = write_job(tmp_path, **files)
    (name,) = files

    with pytest.raises(JobError, match=rf"{name}\.json: .* (is|is not|is no) "):
        run_training(write_contract(tmp_path), environ)


@pytest.mark.parametrize(
    "content_type", ["text/csv; charset=utf-8", 'TEXT/CSV;charset="UTF-8"; header=present']
)
def test_parameters_of_a_channels_type_are_understood(tmp_path: Path, content_type: str) -> None:
    job = read_training_job(write_job(tmp_path, inputdataconfig={"train": {"ContentType": content_type}}))

    check_job(job)

    with pytest.raises(JobError, match="this trainer reads text/csv"):
        check_job(replace(job, inputs={"train": {"ContentType": "text/csv; charset=latin-1"}}))


def test_a_job_without_data_is_refused(tmp_path: Path) -> None:
    environ = write_job(tmp_path)
    file = tmp_path / "input" / "data" / "train" / "data.csv"

    file.write_text("")
    with pytest.raises(DatasetError, match=r"data.csv:1: the file is empty"):
        run_training(write_contract(tmp_path), environ)
    file.unlink()
    with pytest.raises(JobError, match="The input channel 'train' is empty"):
        run_training(write_contract(tmp_path), environ)
    file.parent.rmdir()
    with pytest.raises(JobError, match="no input channel 'train'"):
        run_training(write_contract(tmp_path), {"SAGEMAKER_BASE_DIR": str(tmp_path)})
