"""The folders and settings SageMaker gives a job, and the SM_* variables its training toolkit makes of them.

Source: "How Amazon SageMaker Provides Training Information", and ENVIRONMENT_VARIABLES.md of the SageMaker
Training Toolkit. Everything hangs on SAGEMAKER_BASE_DIR (/opt/ml unless set), so that a program also runs as
a plain process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_src.errors import JobError

DEFAULT_BASE = "/opt/ml"


def base_folder(environ: Mapping[str, str]) -> Path:
    """What SageMaker calls /opt/ml."""
    return Path(environ.get("SAGEMAKER_BASE_DIR", DEFAULT_BASE))


@dataclass(frozen=True)
class TrainingJob:
    """One training job as its container sees it. `channels` are the input folders by channel name."""

    base: Path
    hyperparameters: Mapping[str, Any]
    resources: Mapping[str, Any]
    inputs: Mapping[str, Any]
    channels: Mapping[str, Path]
    model: Path
    output_data: Path

    @property
    def hosts(self) -> list[str]:
        """The names of all hosts of the job."""
        return list(self.resources.get("hosts", ["localhost"]))

    def channel(self, name: str) -> Path:
        """The folder of one channel. Raises: JobError if the job has no such channel."""
        if name not in self.channels:
            known = ", ".join(self.channels) or "none"
            raise JobError(f"The job has no input channel '{name}' (its channels: {known}).")
        return self.channels[name]


def failure_file(base: Path) -> Path:
    """Where a training job says why it failed; SageMaker shows it as FailureReason."""
    return base / "output" / "failure"


def message_file(base: Path) -> Path:
    """Where a processing job says how it ended; SageMaker shows it as ExitMessage."""
    return base / "output" / "message"


def read_training_job(environ: Mapping[str, str]) -> TrainingJob:
    """The job described by the configuration files, with the SM_* variables that are set going before them.

    Raises: JobError if a configuration file is not what SageMaker writes.
    """
    base = base_folder(environ)
    config = base / "input" / "config"
    inputs = _read_object(config / "inputdataconfig.json")
    return TrainingJob(
        base=base,
        hyperparameters=_hyperparameters(_read_object(config / "hyperparameters.json")),
        resources=_read_object(config / "resourceconfig.json"),
        inputs=inputs,
        channels=_channels(base, inputs, environ),
        model=Path(environ.get("SM_MODEL_DIR", base / "model")),
        output_data=Path(environ.get("SM_OUTPUT_DATA_DIR", base / "output" / "data")),
    )


def variables(job: TrainingJob, *, program: str) -> dict[str, str]:
    """The SM_* variables of the job, as the training toolkit names and writes them."""
    base = job.base
    values: dict[str, Any] = {
        "SAGEMAKER_PROGRAM": program,
        "SM_USER_ENTRY_POINT": program,
        "SM_MODULE_NAME": program,
        "SM_LOG_LEVEL": 20,
        "SM_INPUT_DIR": base / "input",
        "SM_INPUT_CONFIG_DIR": base / "input" / "config",
        "SM_MODEL_DIR": job.model,
        "SM_OUTPUT_DIR": base / "output",
        "SM_OUTPUT_DATA_DIR": job.output_data,
        "SM_OUTPUT_INTERMEDIATE_DIR": base / "output" / "intermediate",
        "SM_HOSTS": job.hosts,
        "SM_CURRENT_HOST": job.resources.get("current_host", job.hosts[0]),
        "SM_NETWORK_INTERFACE_NAME": job.resources.get("network_interface_name", "lo"),
        "SM_RESOURCE_CONFIG": job.resources,
        "SM_INPUT_DATA_CONFIG": job.inputs,
        "SM_CHANNELS": sorted(job.channels),
        "SM_NUM_CPUS": len(os.sched_getaffinity(0)),
        "SM_NUM_GPUS": 0,
        "SM_HPS": job.hyperparameters,
        "SM_USER_ARGS": _user_arguments(job.hyperparameters),
        **{f"SM_CHANNEL_{name.upper()}": folder for name, folder in job.channels.items()},
        **{f"SM_HP_{name.upper()}": value for name, value in job.hyperparameters.items()},
    }
    return {name: _written(value) for name, value in values.items()}


def _read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a configuration file; an empty one where there is no file, as under a plain `docker
    run`.
    """
    if not file.exists():
        return {}
    try:
        value = json.loads(file.read_text())
    except ValueError as error:
        raise JobError(f"{file} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise JobError(f"{file} does not hold a JSON object.")
    return value


def _hyperparameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """The job's own hyperparameters; SageMaker sends every value as text, its SDK as JSON in that text."""
    return {
        name: _decoded(value) for name, value in sorted(values.items()) if not name.startswith("sagemaker_")
    }


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _channels(base: Path, inputs: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Path]:
    data = base / "input" / "data"
    folders = [folder.name for folder in data.iterdir() if folder.is_dir()] if data.is_dir() else []
    channels = {name: data / name for name in sorted({*inputs, *folders})}
    prefix = "SM_CHANNEL_"
    given = {
        name.removeprefix(prefix).lower(): Path(environ[name]) for name in environ if name.startswith(prefix)
    }
    return {**channels, **given}


def _user_arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    return [part for name, value in hyperparameters.items() for part in (f"--{name}", _written(value))]


def _written(value: Any) -> str:
    """Text as it is, anything else as JSON: the toolkit's own way."""
    return str(value) if isinstance(value, str | Path) else json.dumps(value, sort_keys=True)
