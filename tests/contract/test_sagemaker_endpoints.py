"""Endpoints serve for real: health, variants, blue/green updates with rollback, capture, metrics."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import LocalAws, create_role, wait_until

SERVE = """
import http.server, json, os, pathlib
model = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.txt").read_text()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"bad":
            return self.answer(400, b"no such column")
        if body == b"crash":
            return self.answer(500, b"out of luck")
        if body == b"where":
            return self.answer(200, json.dumps({"host": self.server.server_address[0]}).encode())
        reply = {"model": model, "greeting": os.environ.get("GREETING"), "got": body.decode()}
        self.answer(200, json.dumps(reply).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

print("serving", model, flush=True)
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
host = os.environ.get("BIND_HOST", "0.0.0.0")
http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
"""
EXITS = "import sys\nprint('no model here', flush=True)\nsys.exit(4)\n"
ALL_AT_ONCE = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 1}


class Stand:
    """Models, configurations and endpoints of one test, removed at its end."""

    def __init__(self, aws: LocalAws, name: str, *, role_arn: str, bucket: str, images: dict[str, str]):
        self.aws = aws
        self.name = name
        self.sagemaker = aws.client("sagemaker")
        self.runtime = aws.client("sagemaker-runtime")
        self._role_arn = role_arn
        self._bucket = bucket
        self._images = images

    def model(self, text: str, *, image: str = "serve", role_arn: str | None = None) -> str:
        model_name = f"{self.name}-{uuid.uuid4().hex[:6]}"
        self.aws.client("s3").put_object(Bucket=self._bucket, Key=f"{model_name}.tar.gz", Body=archive(text))
        container = {
            "Image": self._images[image],
            "ModelDataUrl": f"s3://{self._bucket}/{model_name}.tar.gz",
            "Environment": {"GREETING": "hello"},
        }
        self.sagemaker.create_model(
            ModelName=model_name, PrimaryContainer=container, ExecutionRoleArn=role_arn or self._role_arn
        )
        return model_name

    def config(self, *variants: dict[str, Any], **more: Any) -> str:
        config_name = f"{self.name}-{uuid.uuid4().hex[:6]}"
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=config_name, ProductionVariants=list(variants), **more
        )
        return config_name

    def single(self, text: str, *, image: str = "serve", count: int = 1) -> str:
        return self.config(variant("main", self.model(text, image=image), count=count))

    def create(self, config: str) -> dict[str, Any]:
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=config)
        return self.settled()

    def update(self, config: str, **more: Any) -> dict[str, Any]:
        self.sagemaker.update_endpoint(EndpointName=self.name, EndpointConfigName=config, **more)
        return self.settled()

    def settled(self) -> dict[str, Any]:
        def describe() -> dict[str, Any] | None:
            endpoint = self.sagemaker.describe_endpoint(EndpointName=self.name)
            return endpoint if endpoint["EndpointStatus"] in ("InService", "Failed") else None

        return dict(wait_until(describe))

    def invoke(self, body: bytes = b"1", **more: Any) -> dict[str, Any]:
        answer = self.runtime.invoke_endpoint(
            EndpointName=self.name, Body=body, ContentType="text/csv", **more
        )
        return {"variant": answer["InvokedProductionVariant"], **json.load(answer["Body"])}

    def remove(self) -> None:
        try:
            self.settled()
            self.sagemaker.delete_endpoint(EndpointName=self.name)
        except ClientError:
            return
        wait_until(lambda: not self.exists())

    def exists(self) -> bool:
        return bool(self.sagemaker.list_endpoints(NameContains=self.name)["Endpoints"])


def variant(name: str, model: str, *, weight: float = 1, count: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
        **more,
    }


def archive(text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("model.txt")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def images(build_image: Callable[[dict[str, str]], str]) -> dict[str, str]:
    return {"serve": build_image({"serve": SERVE}), "exits": build_image({"serve": EXITS})}


@pytest.fixture
def stand(aws: LocalAws, name: str, role_arn: str, bucket: str, images: dict[str, str]) -> Iterator[Stand]:
    made = Stand(aws, name, role_arn=role_arn, bucket=bucket, images=images)
    yield made
    made.remove()


def test_endpoint_answers_with_the_model_it_was_given(stand: Stand, images: dict[str, str]) -> None:
    endpoint = stand.create(stand.single("one"))

    answer = stand.invoke(b"5.1,3.5")

    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert answer == {"variant": "main", "model": "one", "greeting": "hello", "got": "5.1,3.5"}
    (deployed,) = endpoint["ProductionVariants"][0]["DeployedImages"]
    assert deployed["SpecifiedImage"] == deployed["ResolvedImage"] == images["serve"]


def test_process_of_an_endpoint_is_told_to_listen_on_this_machine_only(stand: Stand) -> None:
    stand.create(stand.single("one"))

    answer = stand.invoke(b"where")

    assert answer["host"] == "127.0.0.1"


def test_endpoint_whose_container_exits_fails_with_the_reason(stand: Stand) -> None:
    endpoint = stand.create(stand.single("one", image="exits"))

    assert endpoint["EndpointStatus"] == "Failed"
    assert "ended with exit code 4" in endpoint["FailureReason"]
    with pytest.raises(ClientError, match="in status Failed"):
        stand.update(stand.single("one"))
    streams = stand.aws.client("logs").describe_log_streams(
        logGroupName=f"/aws/sagemaker/Endpoints/{stand.name}"
    )
    assert streams["logStreams"][0]["logStreamName"].startswith("main/i-")


def test_endpoint_without_its_model_data_fails_naming_the_url(stand: Stand) -> None:
    model = stand.model("one")
    stand.aws.client("s3").delete_object(Bucket="test-bucket", Key=f"{model}.tar.gz")

    endpoint = stand.create(stand.config(variant("main", model)))

    assert endpoint["EndpointStatus"] == "Failed"
    assert f"s3://test-bucket/{model}.tar.gz" in endpoint["FailureReason"]


def test_model_data_that_leads_out_of_its_folder_fails_the_endpoint(stand: Stand) -> None:
    model = stand.model("one")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped"))
    stand.aws.client("s3").put_object(Bucket="test-bucket", Key=f"{model}.tar.gz", Body=buffer.getvalue())

    endpoint = stand.create(stand.config(variant("main", model)))

    assert endpoint["EndpointStatus"] == "Failed"
    assert "cannot be unpacked" in endpoint["FailureReason"]
    assert not list(stand.aws.settings.state_dir.rglob("escaped"))


def test_traffic_follows_the_weights_and_the_target(stand: Stand) -> None:
    stand.create(
        stand.config(variant("a", stand.model("one"), weight=3), variant("b", stand.model("two"), weight=1))
    )

    answered = Counter(stand.invoke()["variant"] for _ in range(80))
    targeted = {stand.invoke(TargetVariant="b")["model"] for _ in range(5)}

    assert answered["a"] > answered["b"] > 5
    assert targeted == {"two"}


def test_weights_are_changed_without_an_update(stand: Stand) -> None:
    stand.create(stand.config(variant("a", stand.model("one")), variant("b", stand.model("two"))))

    stand.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=stand.name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0},
            {"VariantName": "b", "DesiredWeight": 1, "DesiredInstanceCount": 3},
        ],
    )

    endpoint = stand.settled()
    assert {stand.invoke()["variant"] for _ in range(10)} == {"b"}
    assert endpoint["ProductionVariants"][1]["CurrentInstanceCount"] == 3


def test_weights_are_changed_all_or_none(stand: Stand) -> None:
    stand.create(stand.single("one"))

    with pytest.raises(ClientError, match='Could not find variant "nobody"') as refused:
        stand.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=stand.name,
            DesiredWeightsAndCapacities=[
                {"VariantName": "main", "DesiredWeight": 7},
                {"VariantName": "nobody", "DesiredWeight": 1},
            ],
        )

    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert stand.settled()["ProductionVariants"][0]["CurrentWeight"] == 1


def test_update_replaces_the_fleet_without_losing_a_request(stand: Stand) -> None:
    stand.create(stand.single("one"))
    answers: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(stand.invoke()["model"])

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        second = stand.single("two")
        endpoint = stand.update(second)
        done.set()

    assert endpoint["EndpointConfigName"] == second
    assert "FailureReason" not in endpoint
    assert stand.invoke()["model"] == "two"
    assert [future.exception() for future in asking] == [None] * 3
    assert set(answers) == {"one", "two"}


def test_failed_update_leaves_the_old_fleet_in_service_with_a_reason(stand: Stand) -> None:
    first = stand.single("one")
    stand.create(first)

    endpoint = stand.update(stand.single("two", image="exits"))

    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", first)
    assert "ended with exit code 4" in endpoint["FailureReason"]
    assert stand.invoke()["model"] == "one"


def alarm(stand: Stand, *, state: str) -> dict[str, Any]:
    cloudwatch = stand.aws.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=stand.name,
        Namespace="Test",
        MetricName="Nothing",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    cloudwatch.set_alarm_state(AlarmName=stand.name, StateValue=state, StateReason="test")
    return {"Alarms": [{"AlarmName": stand.name}]}


def test_alarm_during_the_bake_rolls_the_update_back(stand: Stand) -> None:
    first = stand.single("one", count=2)
    stand.create(first)
    routing = {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 30,
    }
    stand.sagemaker.update_endpoint(
        EndpointName=stand.name,
        EndpointConfigName=stand.single("two", count=2),
        DeploymentConfig={
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
            "AutoRollbackConfiguration": alarm(stand, state="OK"),
        },
    )
    wait_until(lambda: stand.invoke()["model"] == "two")

    stand.aws.client("cloudwatch").set_alarm_state(
        AlarmName=stand.name, StateValue="ALARM", StateReason="test"
    )

    endpoint = stand.settled()
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", first)
    assert f"ALARM state: {stand.name}" in endpoint["FailureReason"]
    assert {stand.invoke()["model"] for _ in range(20)} == {"one"}


def test_update_is_refused_by_an_alarm_that_is_already_on(stand: Stand) -> None:
    first = stand.single("one")
    stand.create(first)

    endpoint = stand.update(
        stand.single("two"),
        DeploymentConfig={
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": ALL_AT_ONCE},
            "AutoRollbackConfiguration": alarm(stand, state="ALARM"),
        },
    )

    assert endpoint["EndpointConfigName"] == first
    assert "ALARM state" in endpoint["FailureReason"]


def test_canary_of_one_instance_is_refused(stand: Stand) -> None:
    stand.create(stand.single("one"))
    routing = {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 1,
    }

    with pytest.raises(ClientError, match="at least two instances"):
        stand.update(
            stand.single("two"),
            DeploymentConfig={"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}},
        )


def test_update_in_progress_is_not_disturbed(stand: Stand) -> None:
    stand.create(stand.single("one"))
    second = stand.single("two")
    stand.sagemaker.update_endpoint(
        EndpointName=stand.name,
        EndpointConfigName=second,
        DeploymentConfig={"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": ALL_AT_ONCE}},
    )

    for change in (
        lambda: stand.sagemaker.update_endpoint(EndpointName=stand.name, EndpointConfigName=second),
        lambda: stand.sagemaker.delete_endpoint(EndpointName=stand.name),
    ):
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            change()


def test_deleted_endpoint_answers_no_more(stand: Stand) -> None:
    stand.create(stand.single("one"))

    stand.remove()

    with pytest.raises(ClientError, match="Could not find endpoint"):
        stand.sagemaker.describe_endpoint(EndpointName=stand.name)
    with pytest.raises(ClientError, match="not found") as refused:
        stand.invoke()
    assert refused.value.response["Error"]["Code"] == "ValidationError"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [(b"bad", 400, "client error (400)"), (b"crash", 500, "server error (500)")],
)
def test_containers_error_is_passed_on(stand: Stand, body: bytes, status: int, words: str) -> None:
    stand.create(stand.single("one"))

    with pytest.raises(ClientError) as failed:
        stand.invoke(body)

    response = failed.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert words in response["Error"]["Message"]
    assert response["OriginalStatusCode"] == status
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_body_over_the_limit_is_refused(stand: Stand) -> None:
    stand.create(stand.single("one"))

    with pytest.raises(ClientError, match="length exceeded") as refused:
        stand.invoke(b"1" * (25 * 1024 * 1024 + 1))

    assert refused.value.response["Error"]["Code"] == "413"


def test_requests_and_answers_are_captured(stand: Stand) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://test-bucket/capture/{stand.name}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json"],
        },
    }
    stand.create(stand.config(variant("main", stand.model("one")), DataCaptureConfig=capture))

    stand.invoke(b"5.1,3.5")

    s3 = stand.aws.client("s3")
    prefix = f"capture/{stand.name}/{stand.name}/main/"
    (found,) = wait_until(lambda: s3.list_objects_v2(Bucket="test-bucket", Prefix=prefix).get("Contents"))
    (line,) = s3.get_object(Bucket="test-bucket", Key=found["Key"])["Body"].read().decode().splitlines()
    data = json.loads(line)["captureData"]
    assert data["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "5.1,3.5",
        "encoding": "CSV",
    }
    assert json.loads(data["endpointOutput"]["data"])["model"] == "one"


def test_capture_goes_on_once_its_role_is_back(aws: LocalAws, name: str, stand: Stand) -> None:
    role_arn = create_role(aws, name, ["s3:*", "ecr:*", "logs:*"])
    model = stand.model("one", role_arn=role_arn)
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://test-bucket/capture/{name}",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    stand.create(stand.config(variant("main", model), DataCaptureConfig=capture))
    iam = aws.client("iam")
    iam.delete_role_policy(RoleName=name, PolicyName="allow")
    iam.delete_role(RoleName=name)
    stand.invoke(b"lost")
    wait_until(lambda: f"captures of endpoint {name} are lost" in aws.settings.log_file.read_text())
    create_role(aws, name, ["s3:*", "ecr:*", "logs:*"])

    stand.invoke(b"kept")

    listing = {"Bucket": "test-bucket", "Prefix": f"capture/{name}/"}
    assert len(wait_until(lambda: aws.client("s3").list_objects_v2(**listing).get("Contents"))) == 1


def test_requests_are_counted_in_cloudwatch(stand: Stand) -> None:
    stand.create(stand.single("one"))
    for body in (b"1", b"2", b"bad"):
        try:
            stand.invoke(body)
        except ClientError:
            continue

    def total(metric: str) -> float:
        now = datetime.now(UTC)
        points = stand.aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": stand.name},
                {"Name": "VariantName", "Value": "main"},
            ],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    wait_until(lambda: total("Invocations") == 3)
    assert total("Invocation4XXErrors") == 1
    assert total("Invocation5XXErrors") == 0
    assert total("ModelLatency") > 0


def test_shadow_gets_a_copy_and_answers_nobody(stand: Stand) -> None:
    stand.create(
        stand.config(
            variant("main", stand.model("one")),
            ShadowProductionVariants=[variant("shadow", stand.model("two"))],
        )
    )

    answers = {stand.invoke()["model"] for _ in range(5)}

    assert answers == {"one"}
    assert stand.settled()["ShadowProductionVariants"][0]["VariantName"] == "shadow"

    def shadowed() -> bool:
        metrics = stand.aws.client("cloudwatch").list_metrics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[
                {"Name": "EndpointName", "Value": stand.name},
                {"Name": "VariantName", "Value": "shadow"},
            ],
        )
        return bool(metrics["Metrics"])

    wait_until(shadowed)


def test_invoking_needs_a_permission_on_the_endpoint(stand: Stand) -> None:
    stand.create(stand.single("one"))
    runtime = stand.aws.client("sagemaker-runtime", profile="alice")

    with pytest.raises(ClientError, match="sagemaker:InvokeEndpoint") as refused:
        runtime.invoke_endpoint(EndpointName=stand.name, Body=b"1")

    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
