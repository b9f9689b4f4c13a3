"""S3's events as S3 sends them to EventBridge."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from mend_servers import ACCOUNT, Server, allow_service, mended, plain, unique


def watched_bucket(server: Server, *, versioned: bool = True) -> tuple[str, str]:
    """A bucket and the URL of the queue that gets its events."""
    s3, events = server.client("s3"), server.client("events")
    bucket, rule = unique("bucket"), unique("rule")
    s3.create_bucket(Bucket=bucket)
    if versioned:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    url, arn = server.queue(allow_service("events", "sqs:SendMessage"))
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    return bucket, url


def event(server: Server, url: str) -> dict[str, Any]:
    message = server.messages(url)[0]
    server.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    decoded: dict[str, Any] = json.loads(message["Body"])
    return decoded


def put(s3: Any, bucket: str) -> Any:
    return s3.put_object(Bucket=bucket, Key="datasets/a b.csv", Body=b"x,y\n1,2\n")


def copy(s3: Any, bucket: str) -> Any:
    s3.create_bucket(Bucket=f"{bucket}-source")
    s3.put_object(Bucket=f"{bucket}-source", Key="a", Body=b"x,y\n1,2\n")
    return s3.copy_object(Bucket=bucket, Key="datasets/a b.csv", CopySource=f"{bucket}-source/a")


def multipart(s3: Any, bucket: str) -> Any:
    key = {"Bucket": bucket, "Key": "datasets/a b.csv"}
    upload = s3.create_multipart_upload(**key)["UploadId"]
    part = s3.upload_part(**key, UploadId=upload, PartNumber=1, Body=b"x,y\n1,2\n")
    parts = [{"ETag": part["ETag"], "PartNumber": 1}]
    return s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})


def post(s3: Any, bucket: str) -> dict[str, Any]:
    """A browser's form; the answer as the others'."""
    form = s3.generate_presigned_post(bucket, "datasets/a b.csv")
    files = {"file": ("a.csv", b"x,y\n1,2\n")}
    answer = requests.post(
        form["url"], data=form["fields"], files=files, verify=str(mended().ca_file), timeout=60
    )
    headers = answer.headers
    return {
        "VersionId": headers["x-amz-version-id"],
        "ETag": headers["ETag"],
        "ResponseMetadata": {"RequestId": headers["x-amzn-requestid"]},
    }


def test_ministack_still_leaves_out_the_version_id() -> None:
    bucket, url = watched_bucket(plain())

    put(plain().client("s3"), bucket)

    assert "version-id" not in event(plain(), url)["detail"]["object"]


@pytest.mark.parametrize(
    ("upload", "reason"),
    [(put, "PutObject"), (copy, "CopyObject"), (multipart, "CompleteMultipartUpload"), (post, "POST Object")],
)
def test_an_upload_is_told_with_version_etag_size_and_sequencer(upload: Any, reason: str) -> None:
    server = mended()
    bucket, url = watched_bucket(server)

    answer = upload(server.client("s3"), bucket)
    told = event(server, url)

    detail = told["detail"]
    assert (told["detail-type"], told["resources"]) == ("Object Created", [f"arn:aws:s3:::{bucket}"])
    assert (detail["reason"], detail["requester"]) == (reason, ACCOUNT)
    assert detail["object"]["version-id"] == answer["VersionId"]
    assert detail["object"]["key"] == "datasets/a b.csv"
    assert detail["object"]["size"] == 8
    etag = answer.get("ETag") or answer["CopyObjectResult"]["ETag"]
    assert detail["object"]["etag"] == etag.strip('"')
    assert detail["request-id"] == answer["ResponseMetadata"]["RequestId"]
    assert detail["source-ip-address"] == "127.0.0.1"
    assert detail.keys() == {
        "version",
        "bucket",
        "object",
        "request-id",
        "requester",
        "source-ip-address",
        "reason",
    }
    assert len(told["time"]) == len("2026-01-01T00:00:00Z")


def test_sequencers_order_the_versions_of_a_key() -> None:
    server = mended()
    bucket, url = watched_bucket(server)

    versions = [put(server.client("s3"), bucket)["VersionId"] for _ in range(3)]
    told = [json.loads(message["Body"])["detail"]["object"] for message in server.messages(url, count=3)]

    assert [item["version-id"] for item in sorted(told, key=lambda item: item["sequencer"])] == versions


def test_a_deletion_is_told_without_a_size() -> None:
    server = mended()
    bucket, url = watched_bucket(server)
    version = put(server.client("s3"), bucket)["VersionId"]
    event(server, url)

    marker = server.client("s3").delete_object(Bucket=bucket, Key="datasets/a b.csv")["VersionId"]
    marked = event(server, url)
    server.client("s3").delete_object(Bucket=bucket, Key="datasets/a b.csv", VersionId=version)
    deleted = event(server, url)

    assert {marked["detail-type"], deleted["detail-type"]} == {"Object Deleted"}
    assert marked["detail"]["deletion-type"] == "Delete Marker Created"
    assert marked["detail"]["object"]["version-id"] == marker
    assert deleted["detail"]["deletion-type"] == "Permanently Deleted"
    assert deleted["detail"]["object"]["version-id"] == version
    assert deleted["detail"]["reason"] == "DeleteObject"
    assert deleted["detail"]["object"].keys() == {"key", "sequencer", "version-id"}


def test_an_unversioned_bucket_has_no_version_id() -> None:
    server = mended()
    bucket, url = watched_bucket(server, versioned=False)

    put(server.client("s3"), bucket)

    assert "version-id" not in event(server, url)["detail"]["object"]
