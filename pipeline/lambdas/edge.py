"""Where the Lambdas meet the world: settings, clients and the clock, made once per cold start."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from pipeline.ledger import Ledger
from pipeline.runs_table import RunsTable

# Throttling is answered by the SDK's own jittered retries first, by the state machine's after that.
SDK = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=60)


@dataclass(frozen=True)
class Settings:
    """What Terraform tells every function."""

    environment: str
    project: str
    runs_table: str
    data_bucket: str
    models_bucket: str
    ledger_bucket: str
    state_bucket: str
    approval_key_id: str
    approval_required: bool
    commit: str


def read_settings(variables: Mapping[str, str]) -> Settings:
    """The settings out of the process environment; a missing one is an error at once."""
    return Settings(
        environment=variables["ENVIRONMENT"],
        project=variables["PROJECT"],
        runs_table=variables["RUNS_TABLE"],
        data_bucket=variables["DATA_BUCKET"],
        models_bucket=variables["MODELS_BUCKET"],
        ledger_bucket=variables["LEDGER_BUCKET"],
        state_bucket=variables["STATE_BUCKET"],
        approval_key_id=variables["APPROVAL_KEY_ID"],
        approval_required=variables["APPROVAL_REQUIRED"] == "true",
        commit=variables["COMMIT"],
    )


@cache
def settings() -> Settings:
    """The settings of this function."""
    return read_settings(os.environ)


@cache
def client(service: Any) -> Any:
    """The client of one AWS service."""
    return boto3.client(service, config=SDK)


@cache
def runs() -> RunsTable:
    """The runs of the environment that retrains."""
    return RunsTable(settings().runs_table, dynamodb=client("dynamodb"))


@cache
def ledger() -> Ledger:
    """The ledger; kept warm because it remembers where its end was."""
    return Ledger(settings().ledger_bucket, s3=client("s3"), now=now, sleep=time.sleep)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)
