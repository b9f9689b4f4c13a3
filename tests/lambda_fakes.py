"""Small stand-ins for the AWS services that the Lambdas call; each keeps state and answers as AWS does."""

# The arguments bear AWS's names, and AWS has some that a stand-in needs no use of.
# ruff: noqa: N803, ARG002

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from botocore.paginate import PageIterator
from botocore.response import StreamingBody
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils


def client_error(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class FakeS3:
    """Versioned buckets with conditional writes. `before_put` runs ahead of each put, to race with it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], list[bytes]] = {}
        self.written_at: dict[tuple[str, str], datetime] = {}
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.times: dict[tuple[str, str], list[datetime]] = {}
        self.before_put: Callable[[str], None] = str

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **options: Any) -> dict[str, Any]:
        self.before_put(Key)
        if options.get("IfNoneMatch") == "*" and (Bucket, Key) in self.objects:
            raise client_error("PreconditionFailed")
        self.objects.setdefault((Bucket, Key), []).append(Body)
        # As S3 tells it: to the second.
        self.written_at[Bucket, Key] = datetime.now(UTC).replace(microsecond=0)
        self.times.setdefault((Bucket, Key), []).append(self.now)
        return {"VersionId": f"v{len(self.objects[Bucket, Key])}"}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> dict[str, Any]:
        versions = self.objects.get((Bucket, Key))
        if not versions:
            raise client_error("NoSuchKey", Key)
        version_id = VersionId or f"v{len(versions)}"
        body = versions[int(version_id[1:]) - 1]
        return {"Body": StreamingBody(io.BytesIO(body), len(body)), "VersionId": version_id}

    def copy(self, source: dict[str, str], bucket: str, key: str, *, ExtraArgs: Any) -> None:
        self.put_object(Bucket=bucket, Key=key, Body=self.get_object(**source)["Body"].read())

    def get_paginator(self, operation: str) -> FakeListing | FakeVersionListing:
        return {"list_objects_v2": FakeListing, "list_object_versions": FakeVersionListing}[operation](self)

    def text(self, bucket: str, key: str) -> str:
        return self.objects[bucket, key][-1].decode()


class FakeListing:
    def __init__(self, s3: FakeS3) -> None:
        self._s3 = s3

    def paginate(self, *, Bucket: str, Prefix: str, StartAfter: str = "") -> Iterator[dict[str, Any]]:
        keys = sorted(key for bucket, key in self._s3.objects if bucket == Bucket and key.startswith(Prefix))
        after = [key for key in keys if key > StartAfter]
        for start in range(0, len(after), 3):
            page = after[start : start + 3]
            yield {
                "Contents": [
                    {"Key": key, "LastModified": self._s3.written_at.get((Bucket, key), LONG_AGO)}
                    for key in page
                ]
            }
        yield {}


class FakeVersionListing(PageIterator):
    """Versions as S3 lists them: by key, the newest first; a page holds two."""

    def __init__(self, s3: FakeS3) -> None:
        self._s3 = s3
        self._pages: list[dict[str, Any]] = []

    def paginate(self, *, Bucket: str, Prefix: str) -> FakeVersionListing:
        found = [
            {
                "Key": key,
                "VersionId": f"v{number}",
                "LastModified": self._s3.times[bucket, key][number - 1],
            }
            for (bucket, key), versions in sorted(self._s3.objects.items())
            if bucket == Bucket and key.startswith(Prefix)
            for number in range(len(versions), 0, -1)
        ]
        self._pages = [{"Versions": found[start : start + 2]} for start in range(0, len(found), 2)] + [{}]
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._pages)


class FakeDynamoDB:
    """One table, with the few expressions that the runs table uses."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}

    def put_item(
        self,
        *,
        TableName: str,
        Item: dict[str, Any],
        ConditionExpression: str,
        ExpressionAttributeNames: dict[str, str] | None = None,
        ExpressionAttributeValues: dict[str, Any] | None = None,
    ) -> None:
        run_id, names, values = Item["run_id"]["S"], ExpressionAttributeNames, ExpressionAttributeValues
        self._check(ConditionExpression, self.items.get(run_id, {}), names or {}, values or {})
        self.items[run_id] = Item

    def get_item(self, *, TableName: str, Key: Any, ConsistentRead: bool) -> dict[str, Any]:
        assert ConsistentRead
        item = self.items.get(Key["run_id"]["S"])
        return {"Item": item} if item else {}

    def update_item(
        self,
        *,
        TableName: str,
        Key: Any,
        UpdateExpression: str,
        ExpressionAttributeValues: dict[str, Any],
        ConditionExpression: str = "",
        ExpressionAttributeNames: dict[str, str] | None = None,
    ) -> None:
        names = ExpressionAttributeNames or {}
        item = self.items.get(Key["run_id"]["S"], {})
        self._check(ConditionExpression, item, names, ExpressionAttributeValues)
        self.items[Key["run_id"]["S"]] = item
        for assignment in UpdateExpression.removeprefix("SET ").split(", "):
            name, value = assignment.split(" = ")
            item[names.get(name, name)] = ExpressionAttributeValues[value]

    def get_paginator(self, operation: str) -> FakeDynamoDB:
        assert operation == "scan"
        return self

    def paginate(self, *, TableName: str) -> list[dict[str, Any]]:
        return [{"Items": [item]} for item in self.items.values()]

    @staticmethod
    def _check(expression: str, item: Any, names: dict[str, str], values: dict[str, Any]) -> None:
        for term in filter(None, expression.split(" AND ")):
            if match := re.fullmatch(r"attribute_(not_)?exists\((\w+)\)", term):
                held = (match[2] in item) != bool(match[1])
            elif match := re.fullmatch(r"(#\w+) IN \((.*)\)", term):
                held = item.get(names[match[1]]) in [values[value] for value in match[2].split(", ")]
            elif match := re.fullmatch(r"(#?\w+) = (:\w+)", term):
                held = item.get(names.get(match[1], match[1])) == values[match[2]]
            else:
                raise AssertionError(f"the fake does not know {term}")
            if not held:
                raise client_error("ConditionalCheckFailedException")


class FakeKms:
    """A real key of the same kind as the approval key."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, Any]:
        assert (MessageType, SigningAlgorithm) == ("DIGEST", "ECDSA_SHA_256")
        return {"Signature": self._key.sign(Message, self._algorithm())}

    def verify(
        self,
        *,
        KeyId: str,
        Message: bytes,
        MessageType: str,
        SigningAlgorithm: str,
        Signature: bytes,
    ) -> dict[str, Any]:
        try:
            self._key.public_key().verify(Signature, Message, self._algorithm())
        except InvalidSignature:
            raise client_error("KMSInvalidSignatureException") from None
        return {"SignatureValid": True}

    @staticmethod
    def _algorithm() -> ec.ECDSA:
        return ec.ECDSA(utils.Prehashed(hashes.SHA256()))


class FakeStepFunctions:
    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.dead: set[str] = set()
        self.executions: dict[str, str] = {}
        self.started: list[tuple[str, dict[str, Any]]] = []

    def start_execution(self, **request: str) -> None:
        self.started.append((request["stateMachineArn"], json.loads(request["input"])))

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:
        status = self.executions.get(executionArn, "RUNNING")
        refused = {"GONE": "ExecutionDoesNotExist", "DENIED": "AccessDeniedException"}
        if status in refused:
            raise client_error(refused[status], executionArn)
        return {"status": status}

    def send_task_success(self, *, taskToken: str, output: str) -> None:
        if taskToken in self.answers or taskToken in self.dead:
            raise client_error("TaskTimedOut")
        self.answers[taskToken] = output


class FakeAutoscaling:
    """Scalable targets and the policy of each, by resource id."""

    def __init__(self) -> None:
        self.targets: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}

    def describe_scalable_targets(self, *, ServiceNamespace: str, ResourceIds: list[str]) -> dict[str, Any]:
        return {"ScalableTargets": [self.targets[name] for name in ResourceIds if name in self.targets]}

    def register_scalable_target(self, **request: Any) -> None:
        self.targets[request["ResourceId"]] = request

    def deregister_scalable_target(
        self, *, ServiceNamespace: str, ResourceId: str, ScalableDimension: str
    ) -> None:
        del self.targets[ResourceId]
        self.policies.pop(ResourceId, None)

    def put_scaling_policy(self, **request: Any) -> None:
        if request["ResourceId"] not in self.targets:
            raise client_error("ObjectNotFoundException")
        self.policies[request["ResourceId"]] = request


class FakeSageMaker:
    """Models, endpoint configurations and endpoints; a test ends a deployment with `finish`."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.calls: list[str] = []

    def describe_model_package(self, *, ModelPackageName: str) -> dict[str, Any]:
        return self.packages[ModelPackageName]

    def create_model(self, **request: Any) -> None:
        self._create("model", self.models, request["ModelName"], request)

    def describe_model(self, *, ModelName: str) -> dict[str, Any]:
        return self._find("model", self.models, ModelName)

    def delete_model(self, *, ModelName: str) -> None:
        self._delete("model", self.models, ModelName)

    def create_endpoint_config(self, **request: Any) -> None:
        name = request["EndpointConfigName"]
        request["EndpointConfigArn"] = f"arn:config/{name}"
        self._create("endpoint configuration", self.configs, name, request)
        self.tags[request["EndpointConfigArn"]] = {tag["Key"]: tag["Value"] for tag in request["Tags"]}

    def describe_endpoint_config(self, *, EndpointConfigName: str) -> dict[str, Any]:
        return self._find("endpoint configuration", self.configs, EndpointConfigName)

    def delete_endpoint_config(self, *, EndpointConfigName: str) -> None:
        self._delete("endpoint configuration", self.configs, EndpointConfigName)

    def create_endpoint(self, **request: Any) -> None:
        name = request["EndpointName"]
        self._create("endpoint", self.endpoints, name, {**request, "EndpointStatus": "Creating"})

    def update_endpoint(self, **request: Any) -> None:
        endpoint = self.endpoints[request["EndpointName"]]
        assert endpoint["EndpointStatus"] == "InService"
        self.calls.append("update endpoint")
        endpoint["EndpointStatus"] = "Updating"
        endpoint["PendingDeploymentSummary"] = {"EndpointConfigName": request["EndpointConfigName"]}
        endpoint["LastRequest"] = request

    def describe_endpoint(self, *, EndpointName: str) -> dict[str, Any]:
        return self._find("endpoint", self.endpoints, EndpointName)

    def delete_endpoint(self, *, EndpointName: str) -> None:
        if self.endpoints[EndpointName]["EndpointStatus"] == "Creating":
            raise client_error("ValidationException", "Cannot delete endpoint while it is being created")
        self._delete("endpoint", self.endpoints, EndpointName)

    def list_tags(self, *, ResourceArn: str) -> dict[str, Any]:
        return {"Tags": [{"Key": k, "Value": v} for k, v in self.tags[ResourceArn].items()]}

    def add_tags(self, *, ResourceArn: str, Tags: list[dict[str, str]]) -> None:
        self.tags[ResourceArn].update({tag["Key"]: tag["Value"] for tag in Tags})

    def finish(self, endpoint_name: str, status: str = "InService", **facts: Any) -> None:
        """End the deployment under way, on the new configuration when it is in service without a failure."""
        endpoint = self.endpoints[endpoint_name]
        pending = endpoint.pop("PendingDeploymentSummary", None)
        endpoint.update({"EndpointStatus": status, **facts})
        if pending and status == "InService" and "FailureReason" not in facts:
            endpoint["EndpointConfigName"] = pending["EndpointConfigName"]

    def _create(self, kind: str, store: dict[str, Any], name: str, request: dict[str, Any]) -> None:
        if name in store:
            raise client_error("ValidationException", f"Cannot create already existing {kind}")
        self.calls.append(f"create {kind}")
        store[name] = request

    def _find(self, kind: str, store: dict[str, Any], name: str) -> dict[str, Any]:
        if name not in store:
            raise client_error("ValidationException", f'Could not find {kind} "{name}".')
        found: dict[str, Any] = store[name]
        return found

    def _delete(self, kind: str, store: dict[str, Any], name: str) -> None:
        self.calls.append(f"delete {kind}")
        del store[name]
