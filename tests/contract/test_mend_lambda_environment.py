"""A function sees its own environment, its role's keys, and the packages that Lambda has."""

from __future__ import annotations

import json
from typing import Any

from mend_servers import ACCOUNT, Server, allow, mended, plain, unique

SHOW = """
import importlib.util, os
def handler(event, context):
    return {
        "environment": dict(os.environ),
        "packages": [n for n in ("boto3", "botocore", "ministack", "typer") if importlib.util.find_spec(n)],
    }
"""
CALL = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket=event["bucket"], Key="a", Body=b"a")
    return boto3.client("sts").get_caller_identity()["Arn"]
"""


def show(server: Server, **options: Any) -> dict[str, Any]:
    answer = server.client("lambda").invoke(FunctionName=server.function(SHOW, **options))
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return result


def test_ministack_still_hands_out_its_own_environment_and_packages() -> None:
    seen = show(plain())

    assert seen["environment"]["MARKER_OF_THE_SERVER"] == "seen"
    assert "ministack" in seen["packages"]


def test_only_what_lambda_has_is_seen() -> None:
    seen = show(mended(), Environment={"Variables": {"OWN": "1"}})

    assert seen["packages"] == ["boto3", "botocore"]
    assert seen["environment"]["OWN"] == "1"
    assert seen["environment"]["AWS_ENDPOINT_URL"] == mended().endpoint
    assert seen["environment"]["AWS_REGION"] == "us-east-1"
    assert seen["environment"]["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    leaked = {"MARKER_OF_THE_SERVER", "USE_SSL", "SSL_CERT_FILE", "MINISTACK_SSL_KEY", "GATEWAY_PORT", "AUTH"}
    assert not leaked & seen["environment"].keys()
    assert mended().root["aws_secret_access_key"] not in json.dumps(seen)


def test_a_function_acts_in_its_role() -> None:
    server, bucket = mended(), unique("bucket")
    server.client("s3").create_bucket(Bucket=bucket)
    role = server.role("lambda", allow("s3:PutObject", resource=f"arn:aws:s3:::{bucket}/*"))
    allowed, refused = server.function(CALL, role=role), server.function(CALL)

    answers = [
        json.loads(
            server.client("lambda")
            .invoke(FunctionName=arn, Payload=json.dumps({"bucket": bucket}))["Payload"]
            .read()
        )
        for arn in (allowed, refused)
    ]

    name = allowed.rsplit(":", 1)[-1]
    assert answers[0] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rsplit('/', 1)[-1]}/{name}"
    assert answers[1]["errorType"] == "AccessDenied"
