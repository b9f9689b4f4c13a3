"""An object under a KMS key is written and read by those who may use the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import Server, allow, mended, plain, policy, unique

VIA_S3 = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}


def bucket(server: Server, *, bucket_key: bool = True) -> tuple[str, str]:
    """A bucket with one object, encrypted under a key of its own; and the key's ARN."""
    key = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3, name = server.client("s3"), unique("bucket")
    s3.create_bucket(Bucket=name)
    encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule = {"ApplyServerSideEncryptionByDefault": encryption, "BucketKeyEnabled": bucket_key}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket=name, Key="there", Body=b"text")
    return name, key


def person(server: Server, *statements: dict[str, Any]) -> Any:
    """S3 as a new user, who may do anything with objects and with the key what the statements say."""
    iam, name = server.client("iam"), unique("user")
    objects = allow("s3:GetObject", "s3:PutObject", "s3:ListBucket")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(objects, *statements))
    return server.client("s3", iam.create_access_key(UserName=name)["AccessKey"])


def read(s3: Any, name: str) -> None:
    s3.get_object(Bucket=name, Key="there")["Body"].read()


def write(s3: Any, name: str) -> None:
    s3.put_object(Bucket=name, Key="new", Body=b"text")


def copy(s3: Any, name: str) -> None:
    s3.copy_object(Bucket=name, Key="copied", CopySource={"Bucket": name, "Key": "there"})


def upload_in_parts(s3: Any, name: str) -> None:
    upload = s3.create_multipart_upload(Bucket=name, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=name, Key="parts", UploadId=upload, PartNumber=1, Body=b"text")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=name, Key="parts", UploadId=upload, MultipartUpload=parts)


NEEDS = [
    (read, {"kms:Decrypt"}),
    (write, {"kms:GenerateDataKey"}),
    (copy, {"kms:Decrypt", "kms:GenerateDataKey"}),
    (upload_in_parts, {"kms:Decrypt", "kms:GenerateDataKey"}),
]
Act = Callable[[Any, str], None]


@pytest.mark.parametrize(("act", "needed"), NEEDS)
def test_who_may_use_the_key_may_use_the_object(act: Act, needed: set[str]) -> None:
    name, key = bucket(mended())

    act(person(mended(), allow(*needed, resource=key) | {"Condition": VIA_S3}), name)


@pytest.mark.parametrize(
    ("act", "lacking"), [(act, action) for act, needed in NEEDS for action in sorted(needed)]
)
def test_who_lacks_one_permission_of_the_key_is_refused(act: Act, lacking: str) -> None:
    name, key = bucket(mended())
    rest = {"kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"} - {lacking}

    with pytest.raises(ClientError) as refused:
        act(person(mended(), allow(*rest, resource=key)), name)

    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert lacking in refused.value.response["Error"]["Message"]
    assert key in refused.value.response["Error"]["Message"]


@pytest.mark.parametrize(("bucket_key", "named"), [(True, ""), (False, "/there")])
def test_the_encryption_context_names_bucket_or_object(bucket_key: bool, named: str) -> None:
    name, key = bucket(mended(), bucket_key=bucket_key)
    keys = {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{name}{named}"}

    read(person(mended(), allow("kms:Decrypt", resource=key) | {"Condition": {"StringEquals": keys}}), name)


def test_what_an_object_is_like_is_known_without_its_key() -> None:
    name, _ = bucket(mended())

    answer = person(mended()).head_object(Bucket=name, Key="there")

    assert answer["ServerSideEncryption"] == "aws:kms"


def test_without_the_mend_the_key_is_asked_of_nobody() -> None:
    name, _ = bucket(plain())

    read(person(plain()), name)
    write(person(plain()), name)
