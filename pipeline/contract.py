"""The model team's side of the border: model.yaml, checked by its own program and never read here."""

from __future__ import annotations

import subprocess
import sys

from pipeline.errors import UsageError
from pipeline.settings import Settings


def check_models(settings: Settings) -> None:
    """Raises: UsageError with file, line and rule of what is wrong in any model.yaml."""
    for model in settings.models:
        check_model(settings, model)


def check_model(settings: Settings, model: str) -> None:
    command = [sys.executable, "-m", "model_src", "check", str(settings.model_folder(model))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=settings.checkout, timeout=120)
    if done.returncode != 0:
        raise UsageError(f"Model {model} is not valid: {done.stderr.strip() or done.stdout.strip()}")
