"""Calls are recorded as on AWS, and those that change something become events."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, Server, allow, allow_service, mended, plain, policy, unique, until

from localaws.mends.cloudtrail_selectors import may_select, selects


def bucket_for_logs(server: Server) -> str:
    bucket = unique("logs")
    server.client("s3").create_bucket(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}"
    document = policy(
        {**allow_service("cloudtrail", "s3:GetBucketAcl"), "Resource": arn},
        {
            **allow_service("cloudtrail", "s3:PutObject"),
            "Resource": f"{arn}/AWSLogs/{ACCOUNT}/*",
            "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
        },
    )
    server.client("s3").put_bucket_policy(Bucket=bucket, Policy=document)
    return bucket


def watched_bucket(server: Server) -> tuple[str, str]:
    """A versioned bucket whose data events a trail logs, and the URL of the queue that gets them."""
    s3, trails, events = server.client("s3"), server.client("cloudtrail"), server.client("events")
    bucket, trail, rule = unique("bucket"), unique("trail"), unique("rule")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    trails.create_trail(Name=trail, S3BucketName=bucket_for_logs(server))
    resources = [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{bucket}/datasets/"]}]
    selector = {"ReadWriteType": "All", "IncludeManagementEvents": False, "DataResources": resources}
    trails.put_event_selectors(TrailName=trail, EventSelectors=[selector])
    trails.start_logging(Name=trail)
    url, arn = server.queue(allow_service("events", "sqs:SendMessage"))
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {"requestParameters": {"bucketName": [bucket]}},
    }
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    return bucket, url


def details(server: Server, url: str, *, count: int = 1, timeout_s: float = 10) -> list[dict[str, Any]]:
    messages = server.messages(url, count=count, timeout_s=timeout_s)
    return [json.loads(message["Body"])["detail"] for message in messages]


def session(server: Server, bucket: str) -> tuple[str, dict[str, str]]:
    """Credentials of a user's session in a role that may write the bucket, and the role's ARN."""
    iam, user = server.client("iam"), unique("alice")
    user_arn = iam.create_user(UserName=user)["User"]["Arn"]
    keys = iam.create_access_key(UserName=user)["AccessKey"]
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=policy(allow("sts:AssumeRole")))
    trust = {"Effect": "Allow", "Principal": {"AWS": user_arn}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=unique("role"), AssumeRolePolicyDocument=policy(trust))["Role"]
    statement = allow("s3:PutObject", resource=f"arn:aws:s3:::{bucket}/datasets/*")
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="own", PolicyDocument=policy(statement))
    assumed = server.client("sts", keys).assume_role(RoleArn=role["Arn"], RoleSessionName="alice")
    return role["Arn"], assumed["Credentials"]


def s3v4(server: Server, credentials: dict[str, str] | None = None) -> Any:
    """A client that signs forms as an encrypted bucket wants it."""
    s3 = server.client("s3", credentials)
    keys = s3._request_signer._credentials
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


def post_form(
    server: Server, s3: Any, bucket: str, key: str, *, file: str = "a.csv", signature: str | None = None
) -> requests.Response:
    """A browser's upload, by the form that whoever has `s3` signed."""
    form = s3.generate_presigned_post(bucket, key)
    changed = {"x-amz-signature": signature} if signature else {}
    return requests.post(
        form["url"],
        data={**form["fields"], **changed},
        files={"file": (file, b"abc")},
        verify=str(server.ca_file),
        timeout=60,
    )


def test_ministack_still_sends_no_event_of_an_api_call() -> None:
    bucket, url = watched_bucket(plain())

    plain().client("s3").put_object(Bucket=bucket, Key="datasets/a.csv", Body=b"a")

    assert details(plain(), url, timeout_s=2) == []


def test_an_upload_tells_who_what_and_which_version() -> None:
    server = mended()
    bucket, url = watched_bucket(server)
    role_arn, credentials = session(server, bucket)

    answer = server.client("s3", credentials).put_object(Bucket=bucket, Key="datasets/a b.csv", Body=b"abc")
    detail = details(server, url)[0]

    assert (detail["eventName"], detail["eventSource"]) == ("PutObject", "s3.amazonaws.com")
    assert (detail["readOnly"], detail["managementEvent"], detail["eventCategory"]) == (False, False, "Data")
    assert detail["requestParameters"]["key"] == "datasets/a b.csv"
    assert detail["responseElements"]["x-amz-version-id"] == answer["VersionId"]
    assert detail["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/datasets/a b.csv"} in detail[
        "resources"
    ]
    assert detail["additionalEventData"]["bytesTransferredIn"] == 3
    identity = detail["userIdentity"]
    issuer = identity["sessionContext"]["sessionIssuer"]
    assert (identity["type"], identity["accountId"]) == ("AssumedRole", ACCOUNT)
    assert identity["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role_arn.rsplit('/', 1)[-1]}/alice"
    assert identity["principalId"] == f"{issuer['principalId']}:alice"
    assert (issuer["type"], issuer["arn"]) == ("Role", role_arn)


def test_each_way_to_write_an_object_has_its_name() -> None:
    server = mended()
    bucket, url = watched_bucket(server)
    s3, key = server.client("s3"), {"Bucket": bucket, "Key": "datasets/a.csv"}

    s3.put_object(**key, Body=b"a")
    copied = s3.copy_object(**key, CopySource={**key})
    upload = s3.create_multipart_upload(**key)["UploadId"]
    part = s3.upload_part(**key, UploadId=upload, PartNumber=1, Body=b"b")
    completed = s3.complete_multipart_upload(
        **key, UploadId=upload, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    )
    posted = post_form(server, s3v4(server), bucket, "datasets/${filename}", file="a b.csv")
    s3.delete_object(**key)
    s3.get_object(**key, VersionId=copied["VersionId"])
    found = {detail["eventName"]: detail for detail in details(server, url, count=7)}

    assert found.keys() == {
        "PutObject",
        "CopyObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "PostObject",
        "DeleteObject",
    }
    assert found["PostObject"]["requestParameters"]["key"] == "datasets/a b.csv"
    assert found["PostObject"]["responseElements"]["x-amz-version-id"] == posted.headers["x-amz-version-id"]
    assert found["CopyObject"]["responseElements"]["x-amz-version-id"] == copied["VersionId"]
    assert found["CompleteMultipartUpload"]["responseElements"]["x-amz-version-id"] == completed["VersionId"]
    assert found["DeleteObject"]["responseElements"]["x-amz-delete-marker"] == "true"


def test_a_browsers_form_is_told_of_with_who_signed_it() -> None:
    server = mended()
    bucket, url = watched_bucket(server)
    role_arn, credentials = session(server, bucket)
    _, others = session(server, "another-bucket")

    refused = post_form(server, s3v4(server, others), bucket, "datasets/a.csv")
    beside = post_form(server, s3v4(server, credentials), bucket, "elsewhere/a.csv")
    forged = post_form(server, s3v4(server, credentials), bucket, "datasets/b.csv", signature="0" * 64)
    taken = post_form(server, s3v4(server, credentials), bucket, "datasets/c.csv")
    told = {detail["requestParameters"]["key"]: detail for detail in details(server, url, count=2)}

    assert (refused.status_code, beside.status_code, forged.status_code) == (403, 403, 403)
    assert taken.status_code == 204
    assert told["datasets/a.csv"]["errorCode"] == "AccessDenied"
    assert told["datasets/c.csv"]["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == role_arn
    assert "errorCode" not in told["datasets/c.csv"]
    assert told.get("datasets/b.csv", {"errorCode": "not told"})["errorCode"]


def test_a_browsers_form_into_an_encrypted_bucket_asks_for_the_key_as_who_signed_it() -> None:
    server = mended()
    bucket, _ = watched_bucket(server)
    role_arn, credentials = session(server, bucket)
    key = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    server.client("s3").put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )

    refused = post_form(server, s3v4(server, credentials), bucket, "datasets/a.csv")
    server.client("iam").put_role_policy(
        RoleName=role_arn.rpartition("/")[2],
        PolicyName="key",
        PolicyDocument=policy(allow("kms:GenerateDataKey", resource=key)),
    )
    taken = post_form(server, s3v4(server, credentials), bucket, "datasets/a.csv")

    assert (refused.status_code, taken.status_code) == (403, 204)
    assert "kms:GenerateDataKey" in refused.text


def test_a_refused_upload_is_told_as_an_error() -> None:
    server = mended()
    bucket, url = watched_bucket(server)
    _, credentials = session(server, "another-bucket")

    with pytest.raises(ClientError, match="AccessDenied"):
        server.client("s3", credentials).put_object(Bucket=bucket, Key="datasets/a.csv", Body=b"a")
    detail = details(server, url)[0]

    assert (detail["errorCode"], detail["responseElements"]) == ("AccessDenied", None)


def test_a_forged_request_is_attributed_to_nobody() -> None:
    server = mended()
    bucket, url = watched_bucket(server)
    forged = {"AccessKeyId": server.root["aws_access_key_id"], "SecretAccessKey": "guessed"}

    forger = Server(server.endpoint, server.ca_file, server.root).client("s3", forged)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        forger.put_object(Bucket=bucket, Key="datasets/a.csv", Body=b"a")

    assert details(server, url, timeout_s=1.5) == []


def test_what_the_selectors_leave_out_is_not_told() -> None:
    server = mended()
    bucket, url = watched_bucket(server)

    server.client("s3").put_object(Bucket=bucket, Key="models/a", Body=b"a")

    assert details(server, url, timeout_s=1.5) == []


def test_events_are_looked_up_with_the_caller() -> None:
    server, queue = mended(), unique("queue")
    server.client("sqs").create_queue(QueueName=queue)

    attributes = [{"AttributeKey": "EventName", "AttributeValue": "CreateQueue"}]
    found = until(
        lambda: [
            json.loads(event["CloudTrailEvent"])
            for event in server.client("cloudtrail").lookup_events(LookupAttributes=attributes)["Events"]
        ],
        bool,
    )

    record = next(record for record in found if record["requestParameters"]["queueName"] == queue)
    assert record["userIdentity"]["type"] == "Root"
    assert record["managementEvent"] is True


def record(**fields: Any) -> dict[str, Any]:
    resource = {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::data/datasets/a"}
    return {
        "eventName": "PutObject",
        "eventSource": "s3.amazonaws.com",
        "eventCategory": "Data",
        "readOnly": False,
        "managementEvent": False,
        "resources": [resource],
        **fields,
    }


def advanced(**fields: dict[str, list[str]]) -> list[dict[str, Any]]:
    named = {name.replace("__", "."): value for name, value in fields.items()}
    return [{"FieldSelectors": [{"Field": name, **value} for name, value in named.items()]}]


@pytest.mark.parametrize(
    ("selectors", "wanted"),
    [
        ([{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}], True),
        ([{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::data/"]}]}], True),
        ([{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::data/models"]}]}], False),
        ([{"DataResources": [], "IncludeManagementEvents": True}], False),
        (advanced(eventCategory={"Equals": ["Data"]}, resources__type={"Equals": ["AWS::S3::Object"]}), True),
        (advanced(eventCategory={"Equals": ["Data"]}, readOnly={"Equals": ["true"]}), False),
        (advanced(resources__ARN={"StartsWith": ["arn:aws:s3:::data/datasets/"]}), True),
        (advanced(resources__ARN={"NotStartsWith": ["arn:aws:s3:::data/"]}), False),
        (advanced(eventName={"NotEquals": ["DeleteObject"]}), True),
        (advanced(eventCategory={"Equals": ["Management"]}), False),
    ],
)
def test_selectors(selectors: list[dict[str, Any]], wanted: bool) -> None:
    assert selects(selectors, record()) is wanted


@pytest.mark.parametrize(
    ("selectors", "kind", "wanted"),
    [
        (
            [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}],
            "AWS::S3::Object",
            True,
        ),
        (
            [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}],
            "AWS::SQS::Queue",
            False,
        ),
        ([{"IncludeManagementEvents": True}], "AWS::S3::Object", False),
        (advanced(resources__type={"Equals": ["AWS::S3::Object"]}), "AWS::S3::Object", True),
        (advanced(resources__type={"Equals": ["AWS::S3::Object"]}), None, False),
        (advanced(eventCategory={"Equals": ["Data"]}), "AWS::S3::Object", True),
    ],
)
def test_a_quick_look_at_the_selectors(
    selectors: list[dict[str, Any]], kind: str | None, wanted: bool
) -> None:
    assert may_select(selectors, kind) is wanted
