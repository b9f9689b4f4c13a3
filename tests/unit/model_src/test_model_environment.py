"""A training job's folders and variables, and the jobs this trainer refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from model_examples import random_data, write_contract

from model_src.artefact import read_artefact
from model_src.environment import read_training_job, variables
from model_src.errors import DatasetError, JobError
from model_src.training import run_training

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
        hyperparameters={"alpha": "0.5", "solver": "auto", "sagemaker_program": "x.py"},
        inputdataconfig={"train": {"ContentType": "text/csv"}, "validation": {}},
    )

    given = variables(read_training_job(environ), program="train")

    assert given["SM_MODEL_DIR"] == f"{tmp_path}/model"
    assert given["SM_OUTPUT_DATA_DIR"] == f"{tmp_path}/output/data"
    assert given["SM_CHANNELS"] == '["train", "validation"]'
    assert given["SM_CHANNEL_TRAIN"] == f"{tmp_path}/input/data/train"
    assert json.loads(given["SM_HPS"]) == {"alpha": 0.5, "solver": "auto"}
    assert (given["SM_HP_ALPHA"], given["SM_HP_SOLVER"]) == ("0.5", "auto")
    assert given["SM_USER_ARGS"] == '["--alpha", "0.5", "--solver", "auto"]'
    assert (given["SM_HOSTS"], given["SM_CURRENT_HOST"]) == ('["algo-1"]', "algo-1")
    assert given["SM_NETWORK_INTERFACE_NAME"] == "eth0"
    assert given["SAGEMAKER_PROGRAM"] == "train"


def test_hyperparameters_override_the_contract(tmp_path: Path) -> None:
    environ = write_job(tmp_path, hyperparameters={"alpha": "2.5"})

    run_training(write_contract(tmp_path), environ)

    card = read_artefact(tmp_path / "model").card
    assert card.origin["hyperparameters"] == {"alpha": 2.5}
    assert card.origin["dataset"]["rows"] == 40
    assert environ["SM_HP_ALPHA"] == "2.5"


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
        ({"resourceconfig": {"hosts": ["algo-1", "algo-2"]}}, "runs on one host; the job has 2"),
    ],
)
def test_a_job_it_cannot_do_is_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    environ = write_job(tmp_path, **files)

    with pytest.raises(JobError, match=message):
        run_training(write_contract(tmp_path), environ)
    assert not (tmp_path / "model").exists()


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
