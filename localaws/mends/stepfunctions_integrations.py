"""Step Functions: the calls behind `Resource`, `.sync` included.

Not a mend of its own: `stepfunctions_tasks` hooks it in. Optimized: Lambda, SageMaker (`.sync` for
training, processing and transform jobs), DynamoDB, SQS, SNS, EventBridge, Step Functions (`.sync`,
`.sync:2`). Every other service by `aws-sdk:`. Source: "Integrating services with Step Functions" and the
pages of each integration.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from localaws.mends import sdk_names
from localaws.mends import stepfunctions_history as history
from localaws.mends.stepfunctions_resources import OPTIMIZED, Integration
from localaws.mends.stepfunctions_runs import POLL_S, ExecutionEnded, Run, TaskError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """How the thing that `.sync` waits for is described, stopped and judged."""

    describe: str
    stop: str
    key: str
    status: str
    succeeded: str


# Parameters that may be written as JSON although the API takes text.
TEXT_PARAMETERS = {"sqs": "MessageBody", "sns": "Message", "states": "Input"}

JOBS = {
    f"create{kind}": Job(f"Describe{kind}", f"Stop{kind}", f"{kind}Name", f"{kind}Status", "Completed")
    for kind in ("TrainingJob", "ProcessingJob", "TransformJob")
}
JOBS["startExecution"] = Job("DescribeExecution", "StopExecution", "ExecutionArn", "Status", "SUCCEEDED")
ENDED = ("Failed", "Stopped", "FAILED", "TIMED_OUT", "ABORTED")


def call(run: Run, integration: Integration, data: Any) -> Any:
    """The task's result: of the call, or of the job that `.sync` waited for."""
    if integration.function_arn:
        return _invoke_function(
            run, integration, {"FunctionName": integration.function_arn, "Payload": data}
        )["Payload"]
    if integration.service == "lambda" and integration.action == "invoke" and not integration.is_sdk:
        return _invoke_function(run, integration, data)
    if integration.pattern.startswith("sync"):
        return _run_job(run, integration, data)
    result = _send(run, integration, integration.action, _parameters(run, integration, data))
    if integration.service == "events" and result.get("FailedEntryCount"):
        raise TaskError("EventBridge.FailedEntry", json.dumps(result))
    return result


def _send(run: Run, integration: Integration, action: str, parameters: dict[str, Any]) -> Any:
    """One API call in the role of the state machine, answered in the state machine's own names."""
    client = _client(run, integration.service)
    operation = _operation(client, integration, action)
    request = sdk_names.to_request(parameters or {}, operation.input_shape)
    method = getattr(client, _method_name(client, operation.name))
    try:
        response = run.bounded(lambda: method(**request))
    except ClientError as error:
        raise _service_error(client, integration, error) from error
    except ParamValidationError as error:
        raise TaskError(
            "States.Runtime", f"The Parameters could not be used to start the Task: {error}"
        ) from error
    except BotoCoreError as error:
        raise TaskError("States.TaskFailed", f"{type(error).__name__}: {error}") from error
    result = sdk_names.to_result(response, operation.output_shape, epoch_ms=not integration.is_sdk)
    return result if integration.is_sdk else {**result, **_sdk_metadata(response)}


def _client(run: Run, service: str) -> Any:
    try:
        return run.client(sdk_names.client_name(service))
    except BotoCoreError as error:
        raise TaskError("States.Runtime", f"Service '{service}' is not supported: {error}") from error


def _operation(client: Any, integration: Integration, action: str) -> Any:
    wanted = action.lower()
    model = client.meta.service_model
    for name in model.operation_names:
        if name.lower() == wanted:
            return model.operation_model(name)
    raise TaskError("States.Runtime", f"Action '{action}' of service '{integration.service}' does not exist.")


def _method_name(client: Any, operation: str) -> str:
    return str(
        next(method for method, name in client.meta.method_to_api_mapping.items() if name == operation)
    )


def _service_error(client: Any, integration: Integration, error: ClientError) -> Exception:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", "")
    metadata = error.response.get("ResponseMetadata", {})
    status, request_id = metadata.get("HTTPStatusCode"), metadata.get("RequestId")
    model = client.meta.service_model
    if integration.is_sdk:
        prefix = sdk_names.class_prefix(str(model.service_id))
        details = f"(Service: {prefix}, Status Code: {status}, Request ID: {request_id})"
        return TaskError(sdk_names.sdk_error(model, code), f"{message} {details}")
    names = OPTIMIZED[integration.service]
    details = f"(Service: {names.label}; Status Code: {status}; Error Code: {code}; Request ID: {request_id})"
    name = sdk_names.exception_name(model, code) or names.fallback
    return TaskError(f"{names.prefix}.{name}", f"{message} {details}")


def _sdk_metadata(response: dict[str, Any]) -> dict[str, Any]:
    metadata = response["ResponseMetadata"]
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [value] for name, value in metadata["HTTPHeaders"].items()},
            "HttpHeaders": metadata["HTTPHeaders"],
            "HttpStatusCode": metadata["HTTPStatusCode"],
        },
        "SdkResponseMetadata": {"RequestId": metadata.get("RequestId", "")},
    }


def _parameters(run: Run, integration: Integration, data: dict[str, Any]) -> dict[str, Any]:
    """The task's parameters with JSON written as text where the API wants text."""
    if integration.is_sdk:
        return data
    if integration.service == "events":
        return {**data, "Entries": [_event_entry(run, entry) for entry in data["Entries"]]}
    name = TEXT_PARAMETERS.get(integration.service, "")
    if name in data and not isinstance(data[name], str):
        return {**data, name: json.dumps(data[name])}
    return data


def _event_entry(run: Run, entry: dict[str, Any]) -> dict[str, Any]:
    detail = entry.get("Detail", {})
    resources = [*entry.get("Resources", []), run.execution["stateMachineArn"], run.execution["executionArn"]]
    return {
        **entry,
        "Detail": detail if isinstance(detail, str) else json.dumps(detail),
        "Resources": resources,
    }


def _invoke_function(run: Run, integration: Integration, data: dict[str, Any]) -> dict[str, Any]:
    payload = data.get("Payload", {})
    result = _send(run, integration, "invoke", {**data, "Payload": json.dumps(payload)})
    text = result.get("Payload") or ""
    if "FunctionError" in result:
        raise TaskError(_function_error(text), text)
    return {**result, "Payload": json.loads(text) if text else {}}


def _function_error(payload: str) -> str:
    try:
        body = json.loads(payload)
    except json.JSONDecodeError:
        return "Lambda.Unknown"
    return str(body.get("errorType") or "Lambda.Unknown") if isinstance(body, dict) else "Lambda.Unknown"


def _run_job(run: Run, integration: Integration, data: dict[str, Any]) -> Any:
    job = JOBS.get(integration.action)
    if job is None or integration.is_sdk:
        raise TaskError("States.Runtime", f"{integration.service}:{integration.action} has no .sync here.")
    created = _send(run, integration, integration.action, _parameters(run, integration, data))
    history.add_task_event(run.execution, "TaskSubmitted", integration, output=json.dumps(created))
    name = {job.key: created.get(job.key) or data[job.key]}
    try:
        while True:
            described = _send(run, integration, job.describe, name)
            if described[job.status] == job.succeeded:
                return _job_result(integration, described)
            if described[job.status] in ENDED:
                raise TaskError("States.TaskFailed", json.dumps(_without_metadata(described)))
            run.sleep(POLL_S)
            run.check()
    except ExecutionEnded:
        _stop_job(run, integration, job, name)
        raise
    except TaskError as error:
        if error.error == "States.Timeout":  # type: ignore[attr-defined]
            _stop_job(run, integration, job, name)
        raise


def _stop_job(run: Run, integration: Integration, job: Job, name: dict[str, Any]) -> None:
    client = _client(run, integration.service)
    operation = _operation(client, integration, job.stop)
    request = sdk_names.to_request(name, operation.input_shape)
    try:
        getattr(client, _method_name(client, operation.name))(**request)
    except ClientError as error:
        # The task has failed already: AWS reports that failure, and so does this.
        logger.error("%s of %s after its task ended: %s", job.stop, name, error)


def _job_result(integration: Integration, described: dict[str, Any]) -> dict[str, Any]:
    result = _without_metadata(described)
    if integration.pattern == "sync:2":
        result["Output"] = json.loads(result["Output"])
    return result


def _without_metadata(described: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if not name.startswith("Sdk")}
