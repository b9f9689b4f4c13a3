"""The model team's side of the border: model.yaml, read by its own program and never by this package."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from pipeline.errors import UsageError
from pipeline.settings import Settings


def check_models(settings: Settings) -> None:
    """Raises: UsageError with file, line and rule of what is wrong in any model.yaml."""
    for model in settings.models:
        _ask(settings, "check", model)


def read_model(settings: Settings, model: str) -> dict[str, Any]:
    """The checked model.yaml as plain data."""
    parsed: dict[str, Any] = json.loads(_ask(settings, "show", model))
    return parsed


def _ask(settings: Settings, question: str, model: str) -> str:
    command = [sys.executable, "-m", "model_src", question, str(settings.model_folder(model))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=settings.checkout, timeout=120)
    if done.returncode != 0:
        raise UsageError(f"Model {model} is not valid: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
