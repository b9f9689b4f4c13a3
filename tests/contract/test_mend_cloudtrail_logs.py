"""Trails deliver log files and signed digests."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from mend_servers import ACCOUNT, REGION, Server, mended, plain, unique, until
from test_mend_cloudtrail_events import bucket_for_logs

from localaws.mends.cloudtrail_logs import string_to_sign

LOG_NAME = re.compile(
    rf"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/\d{{4}}/\d\d/\d\d/"
    rf"{ACCOUNT}_CloudTrail_{REGION}_\d{{8}}T\d{{4}}Z_[A-Za-z0-9]{{16}}\.json\.gz"
)


def create_trail(server: Server, bucket: str, watched: str) -> str:
    trails, name = server.client("cloudtrail"), unique("trail")
    trails.create_trail(Name=name, S3BucketName=bucket, EnableLogFileValidation=True)
    resources = [
        {"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{watched}/", f"arn:aws:s3:::{bucket}/"]}
    ]
    selector = {"ReadWriteType": "All", "IncludeManagementEvents": False, "DataResources": resources}
    trails.put_event_selectors(TrailName=name, EventSelectors=[selector])
    trails.start_logging(Name=name)
    return name


def keys(server: Server, bucket: str, kind: str) -> list[str]:
    listed = server.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"AWSLogs/{ACCOUNT}/{kind}/")
    return [item["Key"] for item in listed.get("Contents", [])]


def read(server: Server, bucket: str, key: str) -> tuple[bytes, dict[str, str]]:
    answer = server.client("s3").get_object(Bucket=bucket, Key=key)
    return gzip.decompress(answer["Body"].read()), answer["Metadata"]


def watched_bucket(server: Server) -> str:
    bucket = unique("bucket")
    server.client("s3").create_bucket(Bucket=bucket)
    return bucket


def test_ministack_still_delivers_no_file() -> None:
    server, watched = plain(), watched_bucket(plain())
    bucket = bucket_for_logs(server)
    name = create_trail(server, bucket, watched)
    server.client("s3").put_object(Bucket=watched, Key="a", Body=b"a")

    server.client("cloudtrail").stop_logging(Name=name)

    assert keys(server, bucket, "CloudTrail") == []


def test_records_are_delivered_within_seconds_and_told_in_the_status() -> None:
    server, watched = mended(), watched_bucket(mended())
    bucket = bucket_for_logs(server)
    name = create_trail(server, bucket, watched)

    server.client("s3").put_object(Bucket=watched, Key="a", Body=b"a")
    server.client("s3").get_object(Bucket=watched, Key="a")
    found = until(lambda: keys(server, bucket, "CloudTrail"), bool)

    assert LOG_NAME.fullmatch(found[0])
    records = json.loads(read(server, bucket, found[0])[0])["Records"]
    written = [record for record in records if record["requestParameters"]["bucketName"] == watched]
    assert [record["eventName"] for record in written] == ["PutObject", "GetObject"]
    assert "LatestDeliveryTime" in server.client("cloudtrail").get_trail_status(Name=name)
    server.client("cloudtrail").delete_trail(Name=name)


def test_a_trail_that_watches_its_own_bucket_does_not_feed_itself() -> None:
    server, watched = mended(), watched_bucket(mended())
    bucket = bucket_for_logs(server)
    name = create_trail(server, bucket, watched)
    server.client("s3").put_object(Bucket=watched, Key="a", Body=b"a")

    for _ in range(3):
        server.client("cloudtrail").stop_logging(Name=name)

    assert len(keys(server, bucket, "CloudTrail")) == 1


def public_key(server: Server) -> rsa.RSAPublicKey:
    value = server.client("cloudtrail").list_public_keys()["PublicKeyList"][0]["Value"]
    key = serialization.load_der_public_key(_with_algorithm(value))
    assert isinstance(key, rsa.RSAPublicKey)
    return key


def _with_algorithm(pkcs1: bytes) -> bytes:
    """PKCS #1 wrapped as SubjectPublicKeyInfo, which is what the library reads."""
    bits = b"\x03" + _length(len(pkcs1) + 1) + b"\x00" + pkcs1
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return b"\x30" + _length(len(algorithm) + len(bits)) + algorithm + bits


def _length(size: int) -> bytes:
    return bytes([0x82]) + size.to_bytes(2, "big")


def test_digests_are_signed_and_chained_and_name_the_files_by_hash() -> None:
    server, watched = mended(), watched_bucket(mended())
    bucket = bucket_for_logs(server)
    name = create_trail(server, bucket, watched)
    trails = server.client("cloudtrail")
    for key in ("a", "b"):
        trails.start_logging(Name=name)
        server.client("s3").put_object(Bucket=watched, Key=key, Body=b"a")
        trails.stop_logging(Name=name)

    files = sorted((read(server, bucket, key) for key in keys(server, bucket, "CloudTrail-Digest")), key=_end)

    previous: dict[str, Any] = {"signature": None, "hash": None}
    for text, metadata in files:
        digest = json.loads(text)
        assert digest["previousDigestSignature"] == previous["signature"]
        assert digest["previousDigestHashValue"] == previous["hash"]
        signed = string_to_sign(digest, text).encode()
        public_key(server).verify(
            bytes.fromhex(metadata["signature"]), signed, padding.PKCS1v15(), hashes.SHA256()
        )
        for log in digest["logFiles"]:
            content, _ = read(server, log["s3Bucket"], log["s3Object"])
            assert log["hashValue"] == hashlib.sha256(content).hexdigest()
        previous = {"signature": metadata["signature"], "hash": hashlib.sha256(text).hexdigest()}
    assert len(files) == 2


def _end(file: tuple[bytes, dict[str, str]]) -> tuple[str, bool]:
    digest = json.loads(file[0])
    return digest["digestEndTime"], digest["previousDigestSignature"] is not None


def test_a_bucket_that_refuses_cloudtrail_is_refused() -> None:
    server = mended()
    closed = watched_bucket(server)

    with pytest.raises(ClientError, match="InsufficientS3BucketPolicyException"):
        server.client("cloudtrail").create_trail(Name=unique("trail"), S3BucketName=closed)
    with pytest.raises(ClientError, match="S3BucketDoesNotExistException"):
        server.client("cloudtrail").create_trail(Name=unique("trail"), S3BucketName=unique("none"))
