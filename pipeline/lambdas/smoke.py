"""Show that the endpoint runs what was released, and answers. Flow: approval, last step but one.

InService alone proves nothing: SageMaker also says so after it has rolled back by itself. So the
configuration, the failure reason and the running image's digest are compared first.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from pipeline.artefact import read_json
from pipeline.errors import SmokeError
from pipeline.lambdas import edge
from pipeline.release import Release


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{release, golden_uri} -> {passed, requests, image_digest}"""
    model, _ = read_json(event["golden_uri"], s3=edge.client("s3"))
    return smoke(
        Release(**event["release"]),
        golden=model["golden"],
        sagemaker=edge.client("sagemaker"),
        runtime=edge.client("sagemaker-runtime"),
        clock=time.perf_counter,
    )


def smoke(
    release: Release,
    *,
    golden: list[dict[str, Any]],
    sagemaker: Any,
    runtime: Any,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """The evidence that the release works. Raises: SmokeError with the first thing that is wrong."""
    check_deployment(sagemaker.describe_endpoint(EndpointName=release.endpoint_name), release=release)
    if not golden:
        raise SmokeError(f"Model {release.model} has no golden requests, so nothing can be shown to work.")
    requests = [
        _ask(request, number=number, release=release, runtime=runtime, clock=clock)
        for number, request in enumerate(golden, start=1)
    ]
    return {"passed": True, "requests": requests, "image_digest": release.image_digest}


def check_deployment(endpoint: Mapping[str, Any], *, release: Release) -> None:
    """Nothing, when the endpoint runs the released configuration and image and nothing failed."""
    name = release.endpoint_name
    if endpoint.get("FailureReason"):
        raise SmokeError(f"Endpoint {name} reports a failure: {endpoint['FailureReason']}")
    if endpoint["EndpointStatus"] != "InService":
        raise SmokeError(f"Endpoint {name} is {endpoint['EndpointStatus']}, not InService.")
    if endpoint["EndpointConfigName"] != release.endpoint_config_name:
        raise SmokeError(
            f"Endpoint {name} runs {endpoint['EndpointConfigName']}, not {release.endpoint_config_name}: "
            "it was rolled back or changed by another release."
        )
    images = [
        image["ResolvedImage"]
        for variant in endpoint["ProductionVariants"]
        for image in variant.get("DeployedImages", [])
    ]
    wrong = [image for image in images if image.partition("@")[2] != release.image_digest]
    if wrong or not images:
        raise SmokeError(f"Endpoint {name} runs image {wrong or 'unknown'}, not {release.image_digest}.")


def check_prediction(prediction: Mapping[str, Any], expect: Mapping[str, Any]) -> str | None:
    """None for the expected prediction, else what is wrong with it."""
    if "label" in expect:
        if prediction.get("label") == expect["label"]:
            return None
        return f"label {prediction.get('label')!r} instead of {expect['label']!r}"
    value, tolerance = prediction.get("value"), expect.get("tolerance", 0.0)
    if isinstance(value, int | float) and math.isclose(
        value, expect["value"], rel_tol=0.0, abs_tol=tolerance
    ):
        return None
    return f"value {value} instead of {expect['value']} ± {tolerance}"


def _ask(
    request: Mapping[str, Any],
    *,
    number: int,
    release: Release,
    runtime: Any,
    clock: Callable[[], float],
) -> dict[str, Any]:
    began = clock()
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=release.endpoint_name,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps({"instances": [request["instance"]]}).encode(),
        )
        content = answer["Body"].read()
    except ClientError as error:
        raise SmokeError(f"Endpoint {release.endpoint_name}, golden request {number}: {error}") from error
    latency_ms = round((clock() - began) * 1000, 2)
    prediction = _parse_prediction(content, number=number, release=release)
    wrong = check_prediction(prediction, request["expect"])
    if wrong:
        raise SmokeError(f"Endpoint {release.endpoint_name}, golden request {number}: {wrong}.")
    return {"number": number, "latency_ms": latency_ms, "prediction": prediction}


def _parse_prediction(content: bytes, *, number: int, release: Release) -> dict[str, Any]:
    try:
        (prediction,) = json.loads(content)["predictions"]
        return dict(prediction)
    except (ValueError, KeyError, TypeError):
        shown = content[:200].decode(errors="replace")
        raise SmokeError(
            f"Endpoint {release.endpoint_name}, golden request {number}: the answer is not one prediction: "
            f"{shown}"
        ) from None
