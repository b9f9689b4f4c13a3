"""What every command needs to know before it talks to anything: where, for which project, which models."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import UsageError

Environment = Literal["staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
# The targets of container/Dockerfile: one trains, the other evaluates and serves.
Target = Literal["training", "serving"]
TARGETS: tuple[Target, ...] = get_args(Target)

SETTINGS_FILE = "mlops.toml"
_SHORT_NAMES = {"pro": "production"}
_KNOWN_KEYS = {"project", "region", "models"}
# As iac/modules/names says; here too, because buckets and images are looked for before Terraform is asked.
PROJECT_PATTERN = "^[a-z][a-z0-9-]{1,11}$"
MODEL_PATTERN = "^[a-z][a-z0-9-]{1,19}$"


@dataclass(frozen=True)
class Settings:
    """Paths are absolute. `build` holds everything the pipeline writes; it can be deleted at any time."""

    checkout: Path
    build: Path
    project: str
    region: str
    models: tuple[str, ...]

    @property
    def wheelhouse(self) -> Path:
        """In the checkout whatever `build` is, because the checkout is the Docker build context."""
        return self.checkout / "build" / "wheelhouse"

    def model_folder(self, model: str) -> Path:
        return self.checkout / "model_src" / "models" / model

    def image_file(self, model: str, target: Target) -> Path:
        """What was built and pushed of one model's image, as JSON."""
        return self.build / "image" / f"{model}-{target}.json"


def parse_environment(name: str) -> Environment:
    """The environment; `pro` means production."""
    environment = _SHORT_NAMES.get(name, name)
    if environment not in ENVIRONMENTS:
        raise UsageError(f"There is no environment {name!r}. Use one of: {', '.join(ENVIRONMENTS)} (or pro).")
    return environment


def check_workspace(environment: Environment, environ: Mapping[str, str]) -> None:
    """Raises: UsageError where TF_WORKSPACE is set and means another environment."""
    workspace = environ.get("TF_WORKSPACE")
    if workspace and parse_environment(workspace) != environment:
        raise UsageError(
            f"TF_WORKSPACE is {workspace}, but {environment} is asked for. Leave one of both out, or let "
            "them agree."
        )


def read_settings(environ: Mapping[str, str] = os.environ, *, start: Path | None = None) -> Settings:
    """The settings of the checkout around `start` (default: the current folder), overridden by `environ`."""
    checkout = find_checkout(start or Path.cwd())
    file = checkout / SETTINGS_FILE
    values = _parse_file(file)
    given = [name.strip() for name in environ.get("MLOPS_MODELS", "").split(",")]
    models = [name for name in given if name] or values.get("models", [])
    if not models:
        raise UsageError(f"{file}: `models` names no model folder.")
    project = environ.get("MLOPS_PROJECT") or values.get("project", "mlops")
    _check_name(project, PROJECT_PATTERN, what="project (mlops.toml or MLOPS_PROJECT)")
    for name in models:
        _check_name(name, MODEL_PATTERN, what="model (mlops.toml or MLOPS_MODELS)")
    if twice := sorted({name for name in models if models.count(name) > 1}):
        raise UsageError(f"{file}: named twice among the models: {', '.join(twice)}.")
    return Settings(
        checkout=checkout,
        build=checkout / environ.get("MLOPS_BUILD_DIR", "build"),
        project=project,
        region=environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
        or values.get("region", "us-east-1"),
        models=tuple(models),
    )


def _parse_file(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text())
    except ValueError as error:
        raise UsageError(f"{file} is not TOML: {error}.") from error
    if unknown := set(values) - _KNOWN_KEYS:
        raise UsageError(f"{file}: unknown keys {sorted(unknown)}. Known: {sorted(_KNOWN_KEYS)}.")
    models = values.get("models", [])
    if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
        raise UsageError(f"{file}: `models` must be a list of folder names.")
    for name in ("project", "region"):
        if not isinstance(values.get(name, ""), str):
            raise UsageError(f"{file}: `{name}` must be a text.")
    return values


def _check_name(name: str, pattern: str, *, what: str) -> None:
    if not re.fullmatch(pattern, name):
        raise UsageError(
            f"{name!r} cannot be a {what}: names on AWS are built from it, so it must match {pattern}."
        )


def find_checkout(start: Path) -> Path:
    """The nearest folder at or above `start` that holds mlops.toml; else the one this package stands in."""
    for folder in (start, *start.parents, Path(__file__).resolve().parent.parent):
        if (folder / SETTINGS_FILE).is_file():
            return folder.resolve()
    raise UsageError(f"No {SETTINGS_FILE} here or in a folder above {start}. Run mlops inside a checkout.")


def pick_model(settings: Settings, model: str | None) -> str:
    """The model asked for, or the only one."""
    if model is None:
        if len(settings.models) > 1:
            raise UsageError(f"Which model? Add --model with one of: {', '.join(settings.models)}.")
        return settings.models[0]
    if model not in settings.models:
        raise UsageError(
            f"There is no model {model!r} in {SETTINGS_FILE}. It names: {', '.join(settings.models)}."
        )
    return model
