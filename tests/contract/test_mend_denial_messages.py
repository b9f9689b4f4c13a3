"""A refusal names the resource."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, REGION, Server, mended, plain, unique


def refusal(server: Server, service: str) -> str:
    iam, name, bucket = server.client("iam"), unique("user"), unique("bucket")
    server.client("s3").create_bucket(Bucket=bucket)
    iam.create_user(UserName=name)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    client = server.client(service, keys)
    calls = {
        "dynamodb": lambda: client.get_item(TableName="runs", Key={"id": {"S": "1"}}),
        "s3": lambda: client.get_object(Bucket=bucket, Key="a"),
    }
    with pytest.raises(ClientError) as refused:
        calls[service]()
    return str(refused.value).replace(bucket, "data")


def test_ministack_still_leaves_it_out() -> None:
    assert "on resource" not in refusal(plain(), "dynamodb")


@pytest.mark.parametrize(
    ("service", "resource"),
    [("dynamodb", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/runs"), ("s3", "arn:aws:s3:::data/a")],
)
def test_the_resource_is_named(service: str, resource: str) -> None:
    assert f"on resource: {resource} because no identity-based policy allows" in refusal(mended(), service)
