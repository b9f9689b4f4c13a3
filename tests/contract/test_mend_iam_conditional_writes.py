"""A bucket's policy can demand that nothing is written over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import Server, allow, mended, plain, policy, unique


def writer(server: Server) -> Any:
    """S3 as somebody whom IAM lets do everything there."""
    iam, name = server.client("iam"), unique("user")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(allow("s3:*")))
    return server.client("s3", iam.create_access_key(UserName=name)["AccessKey"])


def bucket_written_once(server: Server) -> str:
    """A bucket below whose `kept/` nobody writes but under the condition that nothing is there."""
    s3, name = server.client("s3"), unique("bucket")
    s3.create_bucket(Bucket=name)
    statement = {
        "Sid": "WrittenOnce",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/kept/*",
        "Condition": {"Null": {"s3:if-none-match": "true"}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return name


def test_ministack_still_takes_a_conditional_write_for_an_unconditional_one() -> None:
    name = bucket_written_once(plain())

    with pytest.raises(ClientError, match="AccessDenied"):
        writer(plain()).put_object(Bucket=name, Key="kept/1", Body=b"first", IfNoneMatch="*")


def test_only_a_conditional_write_passes() -> None:
    s3, name = writer(mended()), bucket_written_once(mended())

    s3.put_object(Bucket=name, Key="kept/1", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=name, Key="kept/2", Body=b"any")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=name, Key="kept/1", Body=b"second")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=name, Key="kept/1", Body=b"second", IfNoneMatch="*")
    s3.put_object(Bucket=name, Key="elsewhere", Body=b"any")

    assert s3.get_object(Bucket=name, Key="kept/1")["Body"].read() == b"first"


def test_writing_in_parts_is_no_way_around_it() -> None:
    s3, name = writer(mended()), bucket_written_once(mended())

    with pytest.raises(ClientError, match="AccessDenied"):
        s3.create_multipart_upload(Bucket=name, Key="kept/1")


def test_copying_is_no_way_around_it() -> None:
    s3, name = writer(mended()), bucket_written_once(mended())
    s3.put_object(Bucket=name, Key="elsewhere", Body=b"any")

    with pytest.raises(ClientError, match="AccessDenied"):
        s3.copy_object(Bucket=name, Key="kept/1", CopySource={"Bucket": name, "Key": "elsewhere"})
