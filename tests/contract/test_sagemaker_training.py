"""Training jobs run for real: what they read, what they leave, and how they fail."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import LocalAws, create_role, wait_until

from localaws import control
from localaws.errors import LocalAwsError

ROOT = Path(__file__).parents[2]

TRAIN = """
import json, os, pathlib
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
rows = (base / "input/data/train/data.csv").read_text().split()
parameters = json.loads((base / "input/config/hyperparameters.json").read_text())
print("training on", len(rows), "rows", flush=True)
model = {"rows": len(rows), "parameters": parameters, "env": dict(os.environ)}
(base / "model/model.json").write_text(json.dumps(model))
"""
FAIL = """
import os, pathlib, sys
(pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/failure").write_text("no column 'species'")
sys.exit(3)
"""
SLEEP = "import time\nprint('started', flush=True)\ntime.sleep(60)\n"


def request(name: str, *, image: str, role_arn: str, bucket: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/train/"}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": role_arn,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{name}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "HyperParameters": {"max_depth": "3"},
        **changes,
    }


RESUME = """
import os, pathlib, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
step = base / "checkpoints/step"
if not step.exists():
    step.write_text("7")
    print("saved", flush=True)
    time.sleep(60)
(base / "model/model.json").write_text('{"resumed_at": %s}' % step.read_text())
"""


@pytest.fixture
def start(
    aws: LocalAws, name: str, role_arn: str, bucket: str, build_image: Callable[..., str]
) -> Callable[..., str]:
    """Starts a training job on three rows."""

    def start_job(program: str, **changes: Any) -> str:
        aws.client("s3").put_object(Bucket=bucket, Key=f"{name}/train/data.csv", Body=b"a\n1\n2\n")
        image = changes.pop("image", None) or build_image({"train": program})
        role = changes.pop("role_arn", role_arn)
        aws.client("sagemaker").create_training_job(
            **request(name, image=image, role_arn=role, bucket=bucket, **changes)
        )
        return str(changes.get("TrainingJobName", name))

    return start_job


def ended(aws: LocalAws, name: str) -> dict[str, Any]:
    def describe() -> dict[str, Any] | None:
        job = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return dict(wait_until(describe))


def read_log(aws: LocalAws, name: str) -> list[str]:
    logs, group = aws.client("logs"), "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/algo-1-")[
        "logStreams"
    ]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    return [event["message"] for event in events]


def read_model(aws: LocalAws, uri: str) -> dict[str, Any]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        file = archive.extractfile("model.json")
        assert file is not None
        return dict(json.load(file))


def test_training_job_reads_its_channel_and_leaves_a_model(aws: LocalAws, start: Callable[..., str]) -> None:
    name = start(TRAIN)

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert (
        job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://test-bucket/{name}/out/{name}/output/model.tar.gz"
    )
    model = read_model(aws, job["ModelArtifacts"]["S3ModelArtifacts"])
    assert model["rows"] == 3
    assert model["parameters"] == {"max_depth": "3"}
    statuses = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def test_training_program_sees_nothing_of_the_servers_environment(
    aws: LocalAws, start: Callable[..., str]
) -> None:
    name = start(TRAIN)

    environment = read_model(aws, ended(aws, name)["ModelArtifacts"]["S3ModelArtifacts"])["env"]

    assert environment["TRAINING_JOB_NAME"] == name
    assert not [variable for variable in environment if "SECRET" in variable or "ACCESS_KEY" in variable]


def test_training_job_logs_to_cloudwatch_under_its_name(aws: LocalAws, start: Callable[..., str]) -> None:
    name = start(TRAIN)

    ended(aws, name)

    assert read_log(aws, name) == ["training on 3 rows"]


def test_a_role_that_may_make_no_log_group_writes_to_the_one_that_is_there(
    aws: LocalAws, name: str, start: Callable[..., str]
) -> None:
    logs = aws.client("logs")
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")
    role = create_role(aws, name, ["s3:*", "ecr:*", "logs:CreateLogStream", "logs:PutLogEvents"])

    ended(aws, start(TRAIN, role_arn=role))

    assert read_log(aws, name) == ["training on 3 rows"]


def test_training_failure_carries_the_programs_own_reason(aws: LocalAws, start: Callable[..., str]) -> None:
    name = start(FAIL)

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no column 'species', exit code: 3"


def test_training_job_is_stopped_at_its_time_limit(aws: LocalAws, start: Callable[..., str]) -> None:
    name = start(SLEEP, StoppingCondition={"MaxRuntimeInSeconds": 1})

    job = ended(aws, name)

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_training_job_is_stopped_on_request(aws: LocalAws, start: Callable[..., str]) -> None:
    name = start(SLEEP)
    sagemaker = aws.client("sagemaker")
    wait_until(lambda: sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training")

    sagemaker.stop_training_job(TrainingJobName=name)

    job = ended(aws, name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName=name)


def test_training_without_data_fails_naming_the_prefix(aws: LocalAws, start: Callable[..., str]) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://test-bucket/nothing/here"}}
    name = start(TRAIN, InputDataConfig=[{"ChannelName": "train", "DataSource": source}])

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed: No S3 objects found")
    assert "s3://test-bucket/nothing/here" in job["FailureReason"]


def test_key_that_is_no_files_name_fails_the_job_as_the_clients_fault(
    aws: LocalAws, start: Callable[..., str], name: str
) -> None:
    for key in (f"{name}/a", f"{name}/a/b"):
        aws.client("s3").put_object(Bucket="test-bucket", Key=key, Body=b"1")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://test-bucket/{name}/"}}
    start(TRAIN, InputDataConfig=[{"ChannelName": "train", "DataSource": source}])

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(f"ClientError: Data download failed: s3://test-bucket/{name}/a/b")


def test_training_reads_with_the_permissions_of_its_role_only(
    aws: LocalAws, start: Callable[..., str], name: str
) -> None:
    role = create_role(aws, name, ["ecr:*", "logs:*"])
    start(TRAIN, role_arn=role)

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


def test_role_that_does_not_trust_sagemaker_is_refused(
    aws: LocalAws, start: Callable[..., str], name: str
) -> None:
    role = create_role(aws, name, ["s3:*"], principal="lambda.amazonaws.com")

    with pytest.raises(ClientError, match="Could not assume role") as refused:
        start(TRAIN, role_arn=role)

    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_name_of_a_training_job_is_used_once(aws: LocalAws, start: Callable[..., str]) -> None:
    start(TRAIN)

    with pytest.raises(ClientError) as refused:
        start(TRAIN)

    assert refused.value.response["Error"]["Code"] == "ResourceInUse"


def test_image_that_is_not_there_fails_the_job(aws: LocalAws, start: Callable[..., str]) -> None:
    name = start(TRAIN, image=f"{aws.settings.registry}/test-image@sha256:{'0' * 64}")

    job = ended(aws, name)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Cannot find the image")


# This repository's own trainer. The second checkpoint is held, written but not in place, until SIGTERM comes.
SPOT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
renamed, interruptions = [], []
def hold(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("checkpoint.npz"):
        renamed.append(event)
        if len(renamed) == 2 and {hold}:
            print("a checkpoint is being written", flush=True)
            while not interruptions[0].arrived:
                time.sleep(0.01)
sys.addaudithook(hold)
from model_src import checkpoint
from model_src.failure import run_job
from model_src.training import run_training
checkpoint.Checkpoints.__init__.__kwdefaults__["interval_s"] = 0.0
def work(interruption):
    interruptions.append(interruption)
    run_training(Path({root!r}) / "model_src/models/penguins", os.environ, interruption)
sys.exit(run_job(work, reason_file=Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/failure"))
"""


def train_on_spot(aws: LocalAws, start: Callable[..., str], name: str, *, hold: bool) -> dict[str, Any]:
    """The model's files of a Spot job, interrupted or not while a checkpoint is written."""
    data = (ROOT / "model_src/models/penguins/train.csv").read_bytes()
    aws.client("s3").put_object(Bucket="test-bucket", Key=f"{name}/penguins/train.csv", Body=data)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://test-bucket/{name}/penguins/"}
    start(
        SPOT.format(root=str(ROOT), hold=hold),
        TrainingJobName=name,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 600},
        CheckpointConfig={"S3Uri": f"s3://test-bucket/{name}/checkpoints"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        HyperParameters={"max_iter": "30"},
        Environment={"OMP_NUM_THREADS": "1"},
    )
    if hold:
        wait_until(lambda: "a checkpoint is being written" in log_of(aws, name))
        control.interrupt(aws.settings, name)
    job = ended(aws, name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


def log_of(aws: LocalAws, name: str) -> str:
    logs, group = aws.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    events = [
        logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        for stream in streams
    ]
    return "\n".join(event["message"] for stream in events for event in stream)


def files_of(aws: LocalAws, job: dict[str, Any]) -> dict[str, bytes]:
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_spot_training_interrupted_during_a_checkpoint_ends_with_the_same_model(
    aws: LocalAws, start: Callable[..., str], name: str
) -> None:
    undisturbed = train_on_spot(aws, start, f"{name}-1", hold=False)

    interrupted = train_on_spot(aws, start, f"{name}-2", hold=True)

    statuses = [step["Status"] for step in interrupted["SecondaryStatusTransitions"]]
    begin = ["Starting", "Downloading", "Training"]
    assert statuses == [*begin, "Interrupted", *begin, "Uploading", "Completed"]
    log = log_of(aws, f"{name}-2")
    assert "Stopped: SIGTERM arrived after 20 of 30 iterations" in log
    assert "Training is resumed after 20 iterations." in log
    assert files_of(aws, interrupted) == files_of(aws, undisturbed)


def test_spot_training_is_asked_for_with_a_time_to_wait(start: Callable[..., str]) -> None:
    with pytest.raises(ClientError, match="Invalid MaxWaitTimeInSeconds"):
        start(TRAIN, EnableManagedSpotTraining=True)


def test_only_a_spot_job_in_training_can_be_interrupted(aws: LocalAws, name: str) -> None:
    with pytest.raises(LocalAwsError, match=f"No training job '{name}' is in training on a Spot instance"):
        control.interrupt(aws.settings, name, timeout_s=0.2)


def test_stopped_training_resumes_from_its_checkpoint(
    aws: LocalAws, start: Callable[..., str], name: str
) -> None:
    checkpoints = {"CheckpointConfig": {"S3Uri": f"s3://test-bucket/{name}/checkpoints"}}
    first = start(RESUME, **checkpoints)
    s3 = aws.client("s3")
    # It is in S3 while the program still runs.
    wait_until(
        lambda: s3.list_objects_v2(Bucket="test-bucket", Prefix=f"{name}/checkpoints/").get("Contents")
    )
    aws.client("sagemaker").stop_training_job(TrainingJobName=first)
    assert ended(aws, first)["TrainingJobStatus"] == "Stopped"

    second = start(RESUME, TrainingJobName=f"{name}-2", **checkpoints)

    job = ended(aws, second)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert read_model(aws, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"resumed_at": 7}
