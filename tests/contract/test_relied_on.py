"""What the pipeline relies on and ministack does by itself: an upgrade that loses it must be seen here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from local_aws import LocalAws

from localaws.settings import ACCOUNT_ID


@pytest.fixture
def new_bucket(aws: LocalAws, name: str) -> Callable[..., str]:
    def create(**options: Any) -> str:
        aws.client("s3").create_bucket(Bucket=name, **options)
        return name

    return create


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


def test_a_conditional_put_creates_once(aws: LocalAws, new_bucket: Callable[..., str]) -> None:
    s3, bucket = aws.client("s3"), new_bucket()
    s3.put_object(Bucket=bucket, Key="approvals/1", Body=b"first", IfNoneMatch="*")

    refused = code(lambda: s3.put_object(Bucket=bucket, Key="approvals/1", Body=b"second", IfNoneMatch="*"))

    assert refused == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="approvals/1")["Body"].read() == b"first"


def test_a_locked_object_is_deleted_only_by_a_bypass(aws: LocalAws, new_bucket: Callable[..., str]) -> None:
    s3, bucket = aws.client("s3"), new_bucket(ObjectLockEnabledForBucket=True)
    retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
    )
    version = {"Bucket": bucket, "Key": "ledger/1"}
    version["VersionId"] = s3.put_object(**version, Body=b"entry")["VersionId"]

    assert code(lambda: s3.delete_object(**version)) == "AccessDenied"
    s3.delete_object(**version, BypassGovernanceRetention=True)
    assert code(lambda: s3.get_object(**version)) == "NoSuchVersion"


def test_encryption_by_a_key_is_read_back(aws: LocalAws, new_bucket: Callable[..., str]) -> None:
    s3, bucket = aws.client("s3"), new_bucket()
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]

    s3.put_object(Bucket=bucket, Key="a", Body=b"a", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    found = s3.head_object(Bucket=bucket, Key="a")

    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)


def test_an_approval_is_signed_and_verified(aws: LocalAws) -> None:
    kms = aws.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    request = {"KeyId": key, "Message": b"record", "MessageType": "RAW", "SigningAlgorithm": "ECDSA_SHA_256"}

    signature = kms.sign(**request)["Signature"]

    assert kms.verify(**request, Signature=signature)["SignatureValid"] is True
    forged = {**request, "Message": b"another"}
    assert code(lambda: kms.verify(**forged, Signature=signature)) == "KMSInvalidSignatureException"
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, b"record", ec.ECDSA(hashes.SHA256()))


def test_a_claim_is_taken_once(aws: LocalAws, name: str) -> None:
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
    )
    claim = {
        "TableName": name,
        "Item": {"run_id": {"S": "iris-1"}},
        "ConditionExpression": "attribute_not_exists(run_id)",
    }
    dynamodb.put_item(**claim)

    assert code(lambda: dynamodb.put_item(**claim)) == "ConditionalCheckFailedException"


def _table(aws: LocalAws, name: str, tags: list[dict[str, str]]) -> None:
    aws.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        Tags=tags,
    )


def test_what_is_left_over_is_found_by_its_tags(aws: LocalAws, name: str) -> None:
    tags = [{"Key": "Project", "Value": name}]
    pairs = {"Project": name}
    aws.client("s3").create_bucket(Bucket=name)
    aws.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    _table(aws, name, tags)
    aws.client("sqs").create_queue(QueueName=name, tags=pairs)
    aws.client("sns").create_topic(Name=name, Tags=tags)
    aws.client("logs").create_log_group(logGroupName=name, tags=pairs)
    aws.client("kms").create_key(Tags=[{"TagKey": "Project", "TagValue": name}])
    aws.client("ecr").create_repository(repositoryName=name, tags=tags)
    aws.client("events").put_rule(Name=name, EventPattern='{"source": ["none"]}', Tags=tags)
    aws.client("sagemaker").create_model_package_group(ModelPackageGroupName=name, Tags=tags)
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="n",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Tags=tags,
    )

    found = aws.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "Project", "Values": [name]}]
    )["ResourceTagMappingList"]

    services = {mapping["ResourceARN"].split(":")[2] for mapping in found}
    expected = {"s3", "dynamodb", "sqs", "sns", "logs", "kms", "ecr", "events", "sagemaker", "cloudwatch"}
    assert expected - services == set()


def test_a_user_assumes_a_role_under_her_own_name_only(aws: LocalAws, name: str) -> None:
    iam = aws.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
    iam.put_user_policy(
        UserName=name,
        PolicyName="assume",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    sts = aws.client(
        "sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )

    assumed = sts.assume_role(RoleArn=role, RoleSessionName=name)["AssumedRoleUser"]["Arn"]

    assert assumed == f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/{name}"
    assert code(lambda: sts.assume_role(RoleArn=role, RoleSessionName="another")) == "AccessDenied"
