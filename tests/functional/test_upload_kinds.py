"""Each way to write an object starts one run by each of the two routes, whichever of them is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from kept_demo import Deployment
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from pipeline.artefact import Version
from pipeline.runs_table import RunsTable, run_id

# What starts a run is the same whichever way images run; one runtime is enough.
pytestmark = pytest.mark.parametrize("runtime", ["process"], indirect=True, scope="session")

BODY = b"no dataset\n"
RULES = {"s3": "mlops-staging-upload-iris", "cloudtrail": "mlops-staging-upload-trail-iris"}
Write = Callable[[Deployment, str, str], str]


def put(deployment: Deployment, bucket: str, key: str) -> str:
    s3 = deployment.client("s3", profile="uploader")
    return str(s3.put_object(Bucket=bucket, Key=key, Body=BODY)["VersionId"])


def copy(deployment: Deployment, bucket: str, key: str) -> str:
    s3 = deployment.client("s3")
    s3.put_object(Bucket=bucket, Key=f"elsewhere/{key}", Body=BODY)
    return str(s3.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/elsewhere/{key}")["VersionId"])


def multipart(deployment: Deployment, bucket: str, key: str) -> str:
    s3, where = deployment.client("s3", profile="uploader"), {"Bucket": bucket, "Key": key}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    part = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=BODY)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    return str(s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)["VersionId"])


def post(deployment: Deployment, bucket: str, key: str) -> str:
    """As a browser's form does, signed by somebody who may upload."""
    deployment.client("s3", profile="uploader")
    aws = deployment.aws_variables()
    session = boto3.Session(profile_name="uploader", region_name=aws["AWS_REGION"])
    s3 = session.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    form = s3.generate_presigned_post(bucket, key)
    answer = requests.post(
        form["url"],
        data=form["fields"],
        files={"file": ("a.csv", BODY)},
        verify=aws["AWS_CA_BUNDLE"],
        timeout=60,
    )
    answer.raise_for_status()
    return answer.headers["x-amz-version-id"]


WRITES: dict[str, Write] = {"put": put, "copy": copy, "multipart": multipart, "post": post}


@contextmanager
def without(deployment: Deployment, rule: str) -> Iterator[None]:
    rules = deployment.client("events")
    rules.disable_rule(Name=rule)
    try:
        yield
    finally:
        rules.enable_rule(Name=rule)


@pytest.mark.parametrize(("route", "other"), [("s3", "cloudtrail"), ("cloudtrail", "s3")])
def test_each_kind_of_upload_makes_one_run_by_this_route_alone(
    deployment: Deployment, route: str, other: str
) -> None:
    runs = RunsTable("mlops-staging-runs", dynamodb=deployment.client("dynamodb"))
    buckets = [bucket["Name"] for bucket in deployment.client("s3").list_buckets()["Buckets"]]
    (bucket,) = [name for name in buckets if name.startswith("mlops-staging-data-")]
    with without(deployment, RULES[other]):
        uploads = {
            kind: Version(bucket, key, write(deployment, bucket, key))
            for kind, write in WRITES.items()
            for key in [f"datasets/iris/{route}-{kind}.csv"]
        }
        ended = {kind: wait_for_end(runs, run_id("iris", upload)) for kind, upload in uploads.items()}

    assert {kind: run["status"] for kind, run in ended.items()} == dict.fromkeys(WRITES, "Quarantined")
    assert {kind: run["route"] for kind, run in ended.items()} == dict.fromkeys(WRITES, route)
    assert {kind: count_runs(runs, upload) for kind, upload in uploads.items()} == dict.fromkeys(WRITES, 1)
    named = {kind: (run.get("uploaded_by") or "").rpartition("/")[2] for kind, run in ended.items()}
    told = {"put": "alice", "multipart": "alice", "post": "alice"} if route == "cloudtrail" else {}
    assert {kind: named[kind] for kind in told} == told


def wait_for_end(runs: RunsTable, name: str) -> dict[str, Any]:
    waiting = Retrying(
        retry=retry_if_result(lambda run: run.get("status") in (None, "Running")),
        stop=stop_after_delay(300),
        wait=wait_fixed(0.2),
    )
    found: dict[str, Any] = waiting(lambda: runs.get(name) if runs.has(name) else {})
    return found


def count_runs(runs: RunsTable, upload: Version) -> int:
    same = [run for run in runs.all() if (run["key"], run["version_id"]) == (upload.key, upload.version_id)]
    return len(same)
