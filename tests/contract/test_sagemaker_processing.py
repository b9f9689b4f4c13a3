"""Processing and transform jobs run for real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import LocalAws, wait_until

EVALUATE = """
import os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
text = (base / "processing/input/holdout/holdout.csv").read_text()
pathlib.Path(sys.argv[1]).write_text("rows=%d" % len(text.split()))
(base / "output/message").write_text("evaluated")
"""
FAIL = """
import os, pathlib, sys
(pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "output/message").write_text("the model is not ONNX")
sys.exit(1)
"""
SLEEP = "import time\ntime.sleep(60)\n"
SERVE = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if "x" in body:
            return self.answer(415, b"not a number")
        self.answer(200, "\\n".join(str(2 * int(line)) for line in body.split()).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def process(
    aws: LocalAws, name: str, role_arn: str, bucket: str, build_image: Callable[..., str]
) -> Callable[..., dict[str, Any]]:
    """Runs a processing job on a holdout of two rows, to its end."""

    def run(program: str, **changes: Any) -> dict[str, Any]:
        aws.client("s3").put_object(Bucket=bucket, Key=f"{name}/holdout.csv", Body=b"a\n1\n")
        aws.client("sagemaker").create_processing_job(
            **{
                "ProcessingJobName": name,
                "AppSpecification": {
                    "ImageUri": build_image({"evaluate": program}),
                    "ContainerEntrypoint": ["evaluate"],
                    "ContainerArguments": ["/opt/ml/processing/output/evaluation.txt"],
                },
                "RoleArn": role_arn,
                "ProcessingInputs": [
                    {
                        "InputName": "holdout",
                        "S3Input": {
                            "S3Uri": f"s3://{bucket}/{name}/holdout.csv",
                            "LocalPath": "/opt/ml/processing/input/holdout",
                            "S3DataType": "S3Prefix",
                            "S3InputMode": "File",
                        },
                    }
                ],
                "ProcessingOutputConfig": {
                    "Outputs": [
                        {
                            "OutputName": "evaluation",
                            "S3Output": {
                                "S3Uri": f"s3://{bucket}/{name}/evaluation",
                                "LocalPath": "/opt/ml/processing/output",
                                "S3UploadMode": "EndOfJob",
                            },
                        }
                    ]
                },
                "ProcessingResources": {
                    "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
                },
                **changes,
            }
        )
        return processed(aws, name)

    return run


def processed(aws: LocalAws, name: str) -> dict[str, Any]:
    def describe() -> dict[str, Any] | None:
        job = aws.client("sagemaker").describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return dict(wait_until(describe))


def test_processing_job_reads_inputs_and_leaves_outputs(
    aws: LocalAws, name: str, process: Callable[..., dict[str, Any]]
) -> None:
    job = process(EVALUATE)

    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ExitMessage"] == "evaluated"
    body = (
        aws.client("s3")
        .get_object(Bucket="test-bucket", Key=f"{name}/evaluation/evaluation.txt")["Body"]
        .read()
    )
    assert body == b"rows=2"


def test_processing_failure_carries_the_exit_code_and_message(process: Callable[..., dict[str, Any]]) -> None:
    job = process(FAIL)

    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert job["FailureReason"].endswith("exit code: 1")
    assert job["ExitMessage"] == "the model is not ONNX"


def test_processing_job_is_stopped_at_its_time_limit(process: Callable[..., dict[str, Any]]) -> None:
    job = process(SLEEP, StoppingCondition={"MaxRuntimeInSeconds": 1})

    assert job["ProcessingJobStatus"] == "Stopped"
    assert "MaxRuntimeExceeded" in job["FailureReason"]


def test_program_that_the_image_lacks_fails_the_job(
    process: Callable[..., dict[str, Any]], aws: LocalAws
) -> None:
    job = process(
        EVALUATE,
        ProcessingInputs=[],
        AppSpecification={
            "ImageUri": aws.client("ecr").describe_repositories()["repositories"][0]["repositoryUri"]
            + ":none",
        },
    )

    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Cannot find the image")


def test_local_path_outside_processing_is_refused(process: Callable[..., dict[str, Any]]) -> None:
    outside = {"S3Uri": "s3://test-bucket/x", "LocalPath": "/etc", "S3UploadMode": "EndOfJob"}

    with pytest.raises(ClientError, match="/etc is not below"):
        process(EVALUATE, ProcessingOutputConfig={"Outputs": [{"OutputName": "x", "S3Output": outside}]})


@pytest.fixture
def transform(
    aws: LocalAws, name: str, role_arn: str, bucket: str, build_image: Callable[..., str]
) -> Callable[..., dict[str, Any]]:
    """Runs a transform job over two files, to its end."""

    def run(second: bytes, **changes: Any) -> dict[str, Any]:
        s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
        s3.put_object(Bucket=bucket, Key=f"{name}/in/a.csv", Body=b"1\n2\n3\n")
        s3.put_object(Bucket=bucket, Key=f"{name}/in/b.csv", Body=second)
        sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": build_image({"serve": SERVE})},
            ExecutionRoleArn=role_arn,
        )
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/in/"}}
        sagemaker.create_transform_job(
            **{
                "TransformJobName": name,
                "ModelName": name,
                "BatchStrategy": "SingleRecord",
                "TransformInput": {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
                "TransformOutput": {"S3OutputPath": f"s3://{bucket}/{name}/out", "AssembleWith": "Line"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
                **changes,
            }
        )

        def describe() -> dict[str, Any] | None:
            job = sagemaker.describe_transform_job(TransformJobName=name)
            return job if job["TransformJobStatus"] in ("Completed", "Failed") else None

        return dict(wait_until(describe))

    return run


@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_transform_job_answers_every_line(
    aws: LocalAws, name: str, transform: Callable[..., dict[str, Any]], strategy: str
) -> None:
    job = transform(b"40\n", BatchStrategy=strategy)

    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    s3 = aws.client("s3")
    outputs = {
        key: s3.get_object(Bucket="test-bucket", Key=f"{name}/out/{key}.out")["Body"].read()
        for key in ("a.csv", "b.csv")
    }
    assert outputs == {"a.csv": b"2\n4\n6\n", "b.csv": b"80\n"}


def test_transform_job_fails_at_a_line_the_model_refuses(transform: Callable[..., dict[str, Any]]) -> None:
    job = transform(b"4x\n")

    assert job["TransformJobStatus"] == "Failed"
    assert "b.csv: the model server answered 415: not a number" in job["FailureReason"]
