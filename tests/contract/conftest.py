"""One local AWS for the contract tests' session, with jobs as plain processes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from local_aws import LocalAws, create_role
from machine_stage import Stage
from ports import free_port
from process_image import push_process_image

from localaws import control
from localaws.settings import Settings


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The session's server: process runtime, a free port."""
    settings = Settings(free_port(), tmp_path_factory.mktemp("localaws"), "process")
    control.start(settings)
    try:
        yield LocalAws(settings)
    finally:
        control.stop(settings)


@pytest.fixture(scope="session")
def role_arn(aws: LocalAws) -> str:
    """A role that SageMaker may assume and that may do what a job needs."""
    return create_role(aws, "test-sagemaker", ["s3:*", "ecr:*", "logs:*", "kms:*"])


@pytest.fixture(scope="session")
def bucket(aws: LocalAws) -> str:
    aws.client("s3").create_bucket(Bucket="test-bucket")
    return "test-bucket"


@pytest.fixture(scope="session")
def build_image(aws: LocalAws) -> Callable[[dict[str, str]], str]:
    """Pushes programs as a process image and gives its URI by digest."""
    aws.client("ecr").create_repository(repositoryName="test-image", imageTagMutability="IMMUTABLE")
    registry = aws.registry()

    def build(programs: dict[str, str]) -> str:
        reference = push_process_image(registry, "test-image", uuid.uuid4().hex, programs)
        return f"{aws.settings.registry}/{reference}"

    return build


@pytest.fixture(scope="session")
def stage(aws: LocalAws) -> Stage:
    """What the state machines of both environments share."""
    return Stage(aws)


@pytest.fixture
def name() -> str:
    """A resource name that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"
