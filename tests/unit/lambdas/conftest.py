"""A run and its surroundings, as the Lambdas meet them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lambda_fakes import FakeDynamoDB, FakeKms, FakeS3, FakeSageMaker

from pipeline.lambdas.edge import Settings
from pipeline.runs_table import RunsTable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms()


@pytest.fixture
def sagemaker() -> FakeSageMaker:
    return FakeSageMaker()


@pytest.fixture
def runs() -> RunsTable:
    return RunsTable("runs", dynamodb=FakeDynamoDB())


@pytest.fixture
def production() -> Settings:
    return Settings(
        environment="production",
        project="mlops",
        runs_table="runs",
        data_bucket="production-data",
        models_bucket="production-models",
        ledger_bucket="ledger",
        state_bucket="state",
        approval_key_id="approval-key",
        approval_required=True,
        commit="0123abc",
    )
