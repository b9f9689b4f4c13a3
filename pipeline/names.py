"""The names of one environment, as Terraform's output `pipeline` gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UsageError
from pipeline.settings import Environment, Settings
from pipeline.stack import Stack, output_file


@dataclass(frozen=True)
class ModelNames:
    endpoint: str
    dataset_prefix: str | None


@dataclass(frozen=True)
class PipelineNames:
    environment: str
    data_bucket: str | None
    models_bucket: str
    runs_table: str
    ledger_bucket: str
    approval_key_arn: str
    promotes_from: str | None
    redrive_arn: str
    models: Mapping[str, ModelNames]

    def model(self, name: str) -> ModelNames:
        if name not in self.models:
            raise UsageError(f"{self.environment} has no model {name!r}. It has: {', '.join(self.models)}.")
        return self.models[name]


def read_names(
    settings: Settings, environment: Environment, *, ask_terraform: Callable[[Stack], Mapping[str, Any]]
) -> PipelineNames:
    """From the last apply's outputs in this checkout; where there are none, from the Terraform state."""
    stack = Stack("environment", environment)
    file = output_file(settings, stack)
    outputs = json.loads(file.read_text()) if file.is_file() else ask_terraform(stack)
    if "pipeline" not in outputs:
        raise UsageError(f"{environment} is not applied yet. Run `{stack.plan_command}` and `mlops apply`.")
    return parse_names(outputs["pipeline"])


def parse_names(output: Mapping[str, Any]) -> PipelineNames:
    models = {
        name: ModelNames(
            endpoint=model["endpoint_name"],
            dataset_prefix=model["dataset_prefix"],
        )
        for name, model in output["models"].items()
    }
    return PipelineNames(
        environment=output["environment"],
        data_bucket=output["data_bucket"],
        models_bucket=output["models_bucket"],
        runs_table=output["runs_table"],
        ledger_bucket=output["ledger_bucket"],
        approval_key_arn=output["approval_key_arn"],
        promotes_from=output["promotes_from"],
        redrive_arn=output["redrive_arn"],
        models=models,
    )
