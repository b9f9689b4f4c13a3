"""The folders and settings SageMaker gives a job, and the SM_* variables its training toolkit makes of them.

Source: "How Amazon SageMaker Provides Training Information", and ENVIRONMENT_VARIABLES.md of the SageMaker
Training Toolkit. Everything hangs on SAGEMAKER_BASE_DIR (/opt/ml unless set), so that a program also runs as
a plain process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_src.cpus import count_cpus
from model_src.errors import JobError

DEFAULT_BASE = "/opt/ml"
_NAMES = ("current_host", "current_instance_type", "current_group_name", "network_interface_name")
_TOOLKITS_OWN = ("_tuning_objective_metric", "default_user_module_name")


def base_folder(environ: Mapping[str, str]) -> Path:
    """What SageMaker calls /opt/ml."""
    return Path(environ.get("SAGEMAKER_BASE_DIR") or DEFAULT_BASE)


@dataclass(frozen=True)
class TrainingJob:
    """One training job as its container sees it. `channels` are the input folders by channel name.

    SageMaker makes the folder `checkpoints` for a job that has a place in S3 for it.
    """

    base: Path
    hyperparameters: Mapping[str, Any]
    framework_parameters: Mapping[str, Any]
    resources: Mapping[str, Any]
    inputs: Mapping[str, Any]
    channels: Mapping[str, Path]
    model: Path
    output_data: Path
    checkpoints: Path

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
    for name, channel in inputs.items():
        if not isinstance(channel, dict):
            raise JobError(
                f"{config / 'inputdataconfig.json'}: the channel '{name[:100]}' is no JSON object."
            )
    own, others = _split_hyperparameters(_read_object(config / "hyperparameters.json"))
    return TrainingJob(
        base=base,
        hyperparameters=own,
        framework_parameters=others,
        resources=_read_resources(config / "resourceconfig.json"),
        inputs=inputs,
        channels=_channels(base, inputs, environ),
        model=Path(environ.get("SM_MODEL_DIR", base / "model")),
        output_data=Path(environ.get("SM_OUTPUT_DATA_DIR", base / "output" / "data")),
        checkpoints=base / "checkpoints",
    )


def variables(job: TrainingJob, *, program: str) -> dict[str, str]:
    """The SM_* variables of the job, as the training toolkit names and writes them."""
    base, resources = job.base, job.resources
    group = resources.get("current_group_name", "homogeneousCluster")
    groups = {one["instance_group_name"]: one for one in resources.get("instance_groups", [])}
    values: dict[str, Any] = {
        "user_entry_point": program,
        "module_name": program,
        "module_dir": base / "code",
        "framework_module": None,
        "framework_params": job.framework_parameters,
        "log_level": 20,
        "input_dir": base / "input",
        "input_config_dir": base / "input" / "config",
        "model_dir": job.model,
        "output_dir": base / "output",
        "output_data_dir": job.output_data,
        "output_intermediate_dir": base / "output" / "intermediate",
        "hosts": job.hosts,
        "current_host": resources.get("current_host", job.hosts[0]),
        "current_instance_type": resources.get("current_instance_type", "local"),
        "current_instance_group": group,
        "current_instance_group_hosts": groups.get(group, {}).get("hosts", []),
        "instance_groups": list(groups),
        "instance_groups_dict": groups,
        "distribution_instance_groups": [],
        "is_hetero": len(groups) > 1,
        "network_interface_name": resources.get("network_interface_name", "eth0"),
        "resource_config": resources,
        "input_data_config": job.inputs,
        "channels": sorted(job.channels),
        "num_cpus": count_cpus(),
        "num_gpus": 0,
        "hps": job.hyperparameters,
        "user_args": _user_arguments(job.hyperparameters),
    }
    training = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    training |= {"channel_input_dirs": {name: str(folder) for name, folder in job.channels.items()}}
    values |= {f"channel_{name}": folder for name, folder in job.channels.items()}
    values |= {f"hp_{name}": value for name, value in job.hyperparameters.items()}
    values |= {"training_env": training}
    return {
        "SAGEMAKER_PROGRAM": program,
        **{f"SM_{name.upper()}": _written(value) for name, value in values.items()},
    }


def _read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a configuration file; an empty one where there is no file, as under a plain `docker
    run`.
    """
    if not file.exists():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise JobError(f"{file} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise JobError(f"{file} does not hold a JSON object.")
    return value


def _read_resources(file: Path) -> dict[str, Any]:
    """The hosts of the job. Raises: JobError where they are not as SageMaker writes them."""
    resources = _read_object(file)
    if not _are_names(hosts := resources.get("hosts", ["localhost"])) or not hosts:
        raise JobError(f"{file}: hosts is not a list of names.")
    if not _are_names([resources[name] for name in _NAMES if name in resources]):
        raise JobError(f"{file}: one of {', '.join(_NAMES)} is no name.")
    groups = resources.get("instance_groups", [])
    if not isinstance(groups, list) or not all(
        isinstance(group, dict)
        and isinstance(group.get("instance_group_name"), str)
        and _are_names(group.get("hosts", []))
        for group in groups
    ):
        raise JobError(
            f"{file}: instance_groups is not a list of objects with instance_group_name and hosts."
        )
    return resources


def _are_names(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _split_hyperparameters(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The job's own hyperparameters, and those for SageMaker's toolkits; every value comes as text."""
    decoded = {name: _decoded(value) for name, value in sorted(values.items())}
    others = {name for name in decoded if name.startswith("sagemaker_") or name in _TOOLKITS_OWN}
    own = {name: value for name, value in decoded.items() if name not in others}
    for name, value in own.items():
        if not isinstance(value, str | int | float | bool | None) or value in (math.inf, -math.inf):
            raise JobError(f"The hyperparameter '{name}' is {json.dumps(value)[:200]}, not one finite value.")
        if value != value:
            raise JobError(f"The hyperparameter '{name}' is not a number.")
    return own, {name: decoded[name] for name in others}


def _decoded(value: Any) -> Any:
    """What SageMaker's SDK has written as JSON; text that is no JSON is meant as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
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
    """`--name value`, or `-n value` for a name of one letter."""
    arguments = []
    for name, value in sorted(hyperparameters.items()):
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", "" if value is None else str(value)]
    return arguments


def _written(value: Any) -> str:
    """Text as it is, nothing for None, anything else as JSON without spaces: the toolkit's own way."""
    if value is None:
        return ""
    if isinstance(value, str | Path):
        return str(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
