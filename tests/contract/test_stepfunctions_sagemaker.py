"""Step Functions runs SageMaker's jobs: waits for them, fails with them, and stops them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from local_aws import LocalAws, create_role, wait_until

TRAIN = "import os, pathlib\n(pathlib.Path(os.environ['SAGEMAKER_BASE_DIR']) / 'model/m').write_text('m')\n"
FAIL = (
    "import os, pathlib, sys\n"
    "(pathlib.Path(os.environ['SAGEMAKER_BASE_DIR']) / 'output/failure').write_text('no column')\n"
    "sys.exit(1)\n"
)
SLEEP = "import time\ntime.sleep(60)\n"
SYNC = "arn:aws:states:::sagemaker:createTrainingJob.sync"


@pytest.fixture(scope="session")
def states_role(aws: LocalAws) -> str:
    """A role for state machines that may train and hand over the job's role."""
    actions = ["sagemaker:*", "iam:PassRole", "events:PutRule", "events:PutTargets", "events:DescribeRule"]
    return create_role(aws, "test-states-sagemaker", actions, principal="states.amazonaws.com")


@pytest.fixture
def start(
    aws: LocalAws,
    name: str,
    role_arn: str,
    states_role: str,
    bucket: str,
    build_image: Callable[[dict[str, str]], str],
) -> Callable[..., str]:
    """Starts an execution that trains with the program; the execution's ARN."""

    def start_execution(program: str, *, machine: str = "machine", **fields: Any) -> str:
        parameters = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": build_image({"train": program}),
                "TrainingInputMode": "File",
            },
            "RoleArn": role_arn,
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{name}"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        state = {"Type": "Task", "Resource": SYNC, "Parameters": parameters, "End": True, **fields}
        definition = json.dumps({"StartAt": "Train", "States": {"Train": state}})
        states = aws.client("stepfunctions")
        created = states.create_state_machine(
            name=f"{name}-{machine}", definition=definition, roleArn=states_role
        )
        started = states.start_execution(stateMachineArn=created["stateMachineArn"])
        return str(started["executionArn"])

    return start_execution


def ended(aws: LocalAws, execution: str) -> dict[str, Any]:
    def describe() -> dict[str, Any] | None:
        answer = aws.client("stepfunctions").describe_execution(executionArn=execution)
        return answer if answer["status"] != "RUNNING" else None

    return dict(wait_until(describe))


def job_status(aws: LocalAws, name: str) -> str:
    job = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
    return str(job["TrainingJobStatus"])


def test_the_task_gives_the_finished_jobs_description(
    aws: LocalAws, name: str, start: Callable[..., str]
) -> None:
    execution = ended(aws, start(TRAIN))

    output = json.loads(execution["output"])
    assert (output["TrainingJobName"], output["TrainingJobStatus"]) == (name, "Completed")
    assert output["ModelArtifacts"]["S3ModelArtifacts"].endswith("/output/model.tar.gz")
    assert isinstance(output["CreationTime"], int)


def test_a_failed_job_fails_the_task_with_its_reason(
    aws: LocalAws, name: str, start: Callable[..., str]
) -> None:
    execution = ended(aws, start(FAIL))

    cause = json.loads(execution["cause"])
    assert execution["error"] == "States.TaskFailed"
    assert (cause["TrainingJobName"], cause["TrainingJobStatus"]) == (name, "Failed")
    assert "no column" in cause["FailureReason"]


@pytest.mark.parametrize("ending", ["stopped", "timed out"])
def test_the_job_ends_with_its_task(aws: LocalAws, name: str, start: Callable[..., str], ending: str) -> None:
    fields = {"TimeoutSeconds": 3} if ending == "timed out" else {}
    execution = start(SLEEP, **fields)
    wait_until(lambda: _exists(aws, name))

    if ending == "stopped":
        aws.client("stepfunctions").stop_execution(executionArn=execution)

    assert wait_until(lambda: job_status(aws, name) == "Stopped")
    assert ended(aws, execution)["status"] == ("ABORTED" if ending == "stopped" else "FAILED")


def test_a_name_that_is_taken_is_an_error_of_sagemaker(aws: LocalAws, start: Callable[..., str]) -> None:
    ended(aws, start(TRAIN))

    again = ended(aws, start(TRAIN, machine="again"))

    assert again["error"] == "SageMaker.ResourceInUseException"


def _exists(aws: LocalAws, name: str) -> bool:
    return bool(aws.client("sagemaker").list_training_jobs(NameContains=name)["TrainingJobSummaries"])
