"""What a state machine's definition must say of itself and of what it makes at run time.

Pure: a definition in, faults out. Source: AWS Step Functions, "Amazon States Language"; SageMaker API
reference, CreateTrainingJob and CreateProcessingJob.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_JOBS = ("createTrainingJob", "createProcessingJob")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_DEFINITION_LIMIT_BYTES = 1024**2


def find_unbounded(definition: Mapping[str, Any]) -> Iterator[str]:
    """Tasks without a time limit, a bounded retry with jitter, or a catch of everything."""
    if not definition.get("TimeoutSeconds"):
        yield "the machine has no TimeoutSeconds"
    for name, task in tasks(definition):
        if not (task.get("TimeoutSeconds") or task.get("TimeoutSecondsPath")):
            yield f"{name} has no TimeoutSeconds"
        retriers = task.get("Retry", [])
        if not retriers or any(retrier.get("JitterStrategy") != "FULL" for retrier in retriers):
            yield f"{name} is not retried with jitter"
        if any(retrier.get("MaxAttempts", 3) > 100 for retrier in retriers):
            yield f"{name} is retried without end"
        if not any("States.ALL" in catcher["ErrorEquals"] for catcher in task.get("Catch", [])):
            yield f"{name} does not catch States.ALL"


def find_unprotected_jobs(definition: Mapping[str, Any]) -> Iterator[str]:
    """Jobs whose volume or output is not encrypted, that reach the network, or that may run for ever."""
    for name, parameters in jobs(definition):
        cluster = parameters.get("ResourceConfig") or parameters.get("ProcessingResources", {}).get(
            "ClusterConfig", {}
        )
        if not cluster.get("VolumeKmsKeyId"):
            yield f"{name}: the volume has no KMS key"
        output = parameters.get("OutputDataConfig") or parameters.get("ProcessingOutputConfig", {})
        if not output.get("KmsKeyId"):
            yield f"{name}: the output has no KMS key"
        if not _isolation(parameters).get("EnableNetworkIsolation"):
            yield f"{name}: no network isolation"
        if not parameters.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"):
            yield f"{name}: no MaxRuntimeInSeconds"


def find_open_traffic(definition: Mapping[str, Any]) -> Iterator[str]:
    """Jobs of several instances that talk to each other in plain text."""
    for name, parameters in jobs(definition):
        cluster = parameters.get("ResourceConfig") or parameters.get("ProcessingResources", {}).get(
            "ClusterConfig", {}
        )
        if cluster.get("InstanceCount", 1) > 1 and not _isolation(parameters).get(
            "EnableInterContainerTrafficEncryption"
        ):
            yield f"{name}: instances talk to each other unencrypted"


def find_moving_images(definition: Mapping[str, Any]) -> Iterator[str]:
    """Images that are named by a tag: what runs must be what was built."""
    for name, parameters in jobs(definition):
        image = (parameters.get("AlgorithmSpecification") or parameters.get("AppSpecification", {})).get(
            "TrainingImage"
        ) or parameters.get("AppSpecification", {}).get("ImageUri", "")
        if not _DIGEST.search(image):
            yield f"{name}: {image or 'no image'} is not named by digest"


def find_unprotected_endpoints(definition: Mapping[str, Any]) -> Iterator[str]:
    """Endpoints that a deploy would make without isolation, or with one instance where a fleet is split."""
    for name, serving in deployments(definition):
        if serving.get("network_isolation") is not True:
            yield f"{name}: the model's container reaches the network"
        traffic = serving.get("traffic", {})
        if traffic.get("type", "ALL_AT_ONCE") != "ALL_AT_ONCE" and serving.get("instance_count", 0) < 2:
            yield f"{name}: {traffic['type']} of one instance"


def find_data_in_state(definition: Mapping[str, Any]) -> Iterator[str]:
    """Results that are kept whole, which 256 KiB of state do not hold: it carries pointers."""
    for name, task in tasks(definition):
        if task.get("ResultPath") == "$":
            yield f"{name} replaces the whole state by its result"
        whole = not task.get("ResultSelector") and task.get("ResultPath", "$") is not None
        if whole and str(task["Resource"]).endswith(":lambda:invoke"):
            yield f"{name} keeps the whole answer of the function"
    if len(json.dumps(definition)) > _DEFINITION_LIMIT_BYTES:
        yield "the definition is larger than 1 MiB"


def tasks(definition: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every task by its name, those of branches and iterators too."""
    for name, state in definition.get("States", {}).items():
        if state["Type"] == "Task":
            yield name, state
        for branch in state.get("Branches", []):
            yield from tasks(branch)
        for key in ("Iterator", "ItemProcessor"):
            yield from tasks(state.get(key, {}))


def jobs(definition: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, task in tasks(definition):
        if any(f"sagemaker:{job}" in task["Resource"] for job in _JOBS):
            yield name, task.get("Parameters", {})


def deployments(definition: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What the function that deploys is told of the endpoint."""
    for name, task in tasks(definition):
        payload = task.get("Parameters", {}).get("Payload", {})
        if isinstance(payload, dict) and isinstance(payload.get("serving"), dict):
            yield name, payload["serving"]


def _isolation(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """A training job says it at the top, a processing job in its NetworkConfig."""
    network: Mapping[str, Any] = parameters.get("NetworkConfig", parameters)
    return network
