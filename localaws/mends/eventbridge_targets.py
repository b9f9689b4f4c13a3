"""EventBridge: targets are reached with a permission, again after a failure, or through a dead letter.

AWS: a state machine is started in the target's role, under the event's name; Lambda, SQS and SNS are
    reached as events.amazonaws.com, if their resource policies let the rule, or in the target's role.
    Throttling and outages are retried with backoff and jitter, 185 times or 24 hours unless the target says
    otherwise; a refusal is not. What was not delivered goes to the dead-letter queue with the reason, and
    is counted in AWS/Events ["How EventBridge retries delivering events", "Using dead-letter queues",
    "Using IAM roles", "Monitoring Amazon EventBridge"].
ministack: delivers once, in its own process, asking nobody; failures are logged and lost.
Hook: `services/eventbridge.py::_invoke_target`; targets of other services stay with ministack.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import cloudwatch, eventbridge, lambda_svc, sns, sqs

from localaws.mends import eventbridge_inputs, role_sessions

VERSION = "1.5.33"

SERVICE_PRINCIPAL = "events.amazonaws.com"
MAX_ATTEMPTS = 185
MAX_AGE_S = 86_400
FIRST_DELAY_S = 0.5
MAX_DELAY_S = 60.0
THROTTLES = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestThrottled", "SlowDown")

logger = logging.getLogger(__name__)


class DeliveryError(Exception):
    """A delivery that failed, with the code AWS gives it, and whether trying again can help."""

    def __init__(self, code: str, message: str, *, retriable: bool = False):
        super().__init__(message)
        self.code = code
        self.retriable = retriable


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one target."""

    target: dict[str, Any]
    rule: dict[str, Any]
    event_id: str
    event: str
    payload: str

    @property
    def arn(self) -> str:
        return str(self.target["Arn"])


def apply() -> None:
    """Makes targets reached as on AWS."""
    invoke = eventbridge._invoke_target

    def invoke_target(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
    ) -> None:
        service = target.get("Arn", "").split(":")[2:3]
        if not service or service[0] not in SENDERS:
            invoke(target, event, rule, view)
            return
        view = view or eventbridge._pattern_event_view(event)
        whole = json.dumps(view.event_with_detail())
        text = eventbridge_inputs.input_of(target, rule, view)
        delivery = Delivery(target, rule, event["EventId"], whole, whole if text is None else text)
        scope = get_account_id(), get_region()
        threading.Thread(target=_deliver_in, args=(*scope, delivery), daemon=True, name="eventbridge").start()

    eventbridge._invoke_target = invoke_target


def _deliver_in(account_id: str, region: str, delivery: Delivery) -> None:
    """Delivers in the event's account and region, and not as the one whose request made the event."""
    with request_scope(account_id, region):
        deliver(delivery)


def deliver(
    delivery: Delivery,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Sends until it succeeds, a retry cannot help, or the retry policy is exhausted."""
    policy = delivery.target.get("RetryPolicy", {})
    max_attempts = policy.get("MaximumRetryAttempts", MAX_ATTEMPTS)
    deadline = clock() + policy.get("MaximumEventAgeInSeconds", MAX_AGE_S)
    retries = 0
    while True:
        _count(delivery, "Invocations")
        try:
            SENDERS[delivery.arn.split(":")[2]](delivery)
        except DeliveryError as error:
            exhausted = _exhausted(error, retries, max_attempts, is_late=clock() >= deadline)
            if exhausted is None:
                retries += 1
                logger.info("Retry %d of %s: %s", retries, delivery.arn, error)
                sleep(delay_s(retries))
                continue
            _give_up(delivery, error, exhausted, retries)
        return


def delay_s(retry: int) -> float:
    """How long to wait before the retry: exponential with full jitter."""
    return random.uniform(0, min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(retry, 10)))  # noqa: S311


def _exhausted(error: DeliveryError, retries: int, max_attempts: int, *, is_late: bool) -> str | None:
    """Which condition ends the retries ("" when the error itself does); None to go on."""
    if not error.retriable:
        return ""
    if retries >= max_attempts:
        return "MaximumRetryAttempts"
    return "MaximumEventAgeInSeconds" if is_late else None


def _give_up(delivery: Delivery, error: DeliveryError, exhausted: str, retries: int) -> None:
    logger.warning(
        "%s could not deliver to %s: %s: %s", delivery.rule["Name"], delivery.arn, error.code, error
    )
    _count(delivery, "FailedInvocations")
    queue_arn = delivery.target.get("DeadLetterConfig", {}).get("Arn")
    if not queue_arn:
        return
    attributes = {
        "RULE_ARN": delivery.rule["Arn"],
        "TARGET_ARN": delivery.arn,
        "ERROR_CODE": error.code,
        "ERROR_MESSAGE": str(error),
        "EXHAUSTED_RETRY_CONDITION": exhausted,
        "RETRY_ATTEMPTS": str(retries),
    }
    try:
        _send_to_queue(delivery, queue_arn, delivery.event, {}, {k: v for k, v in attributes.items() if v})
    except DeliveryError as lost:
        _count(delivery, "InvocationsFailedToBeSentToDlq")
        logger.error("The dead-letter queue %s refuses the event too: %s", queue_arn, lost)
    else:
        _count(delivery, "InvocationsSentToDlq")


def _count(delivery: Delivery, metric: str) -> None:
    cloudwatch.record_metric("AWS/Events", metric, 1, "Count", {"RuleName": delivery.rule["Name"]})


def _start_execution(delivery: Delivery) -> None:
    request = {
        "stateMachineArn": delivery.arn,
        "name": f"{delivery.event_id}_{uuid.uuid4()}"[:80],
        "input": delivery.payload,
    }
    _call(delivery, "stepfunctions", "start_execution", request)


def _invoke_function(delivery: Delivery) -> None:
    if "RoleArn" in delivery.target:
        request = {"FunctionName": delivery.arn, "InvocationType": "Event", "Payload": delivery.payload}
        _call(delivery, "lambda", "invoke", request)
        return
    function, config, name = lambda_svc._get_func_record_for_ref(delivery.arn)
    if not function or not config:
        raise DeliveryError("NO_RESOURCE", f"Function {name} does not exist.")
    policy, _ = lambda_svc.function_policy_for_arn(delivery.arn) or ({}, "")
    if not _policy_allows(policy, delivery, "lambda:InvokeFunction"):
        raise DeliveryError(
            "NO_PERMISSIONS", f"The policy of {name} does not let {delivery.rule['Arn']} invoke it."
        )
    record = lambda_svc._execution_record_for_config(function, config)
    try:
        lambda_svc.invoke_async_with_retry(record, json.loads(delivery.payload))
    except json.JSONDecodeError as error:
        raise DeliveryError("INVALID_JSON", f"The input is not JSON: {delivery.payload}") from error


def _send_message(delivery: Delivery) -> None:
    if "RoleArn" in delivery.target:
        queue = sqs._queue_by_arn(delivery.arn) or {}
        _call(
            delivery,
            "sqs",
            "send_message",
            {"QueueUrl": queue.get("url", ""), "MessageBody": delivery.payload},
        )
        return
    _send_to_queue(delivery, delivery.arn, delivery.payload, delivery.target.get("SqsParameters", {}), {})


def _send_to_queue(
    delivery: Delivery, queue_arn: str, body: str, parameters: dict[str, Any], attributes: dict[str, str]
) -> None:
    queue = sqs._queue_by_arn(queue_arn)
    if queue is None:
        raise DeliveryError("NO_RESOURCE", f"Queue {queue_arn} does not exist.")
    if not sqs.queue_policy_allows(queue_arn, SERVICE_PRINCIPAL, delivery.rule["Arn"], get_account_id()):
        raise DeliveryError(
            "NO_PERMISSIONS", f"The policy of {queue_arn} does not let {delivery.rule['Arn']} send."
        )
    request: dict[str, Any] = {"MessageBody": body}
    if attributes:
        request["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        }
    if queue.get("is_fifo"):
        request |= {
            "MessageGroupId": parameters.get("MessageGroupId", ""),
            "MessageDeduplicationId": str(uuid.uuid4()),
        }
    try:
        sqs._act_send_message(request, queue["url"])
    except sqs._Err as error:
        raise DeliveryError("SDK_CLIENT_ERROR", f"{error.code}: {error.message}") from error


def _publish(delivery: Delivery) -> None:
    if "RoleArn" in delivery.target:
        _call(delivery, "sns", "publish", {"TopicArn": delivery.arn, "Message": delivery.payload})
        return
    topic = sns._topic_by_arn_any_scope(delivery.arn)
    if topic is None:
        raise DeliveryError("NO_RESOURCE", f"Topic {delivery.arn} does not exist.")
    # Not `topic_policy_allows`: it lets a topic's default policy admit every service of the account.
    if not _policy_allows(topic["attributes"].get("Policy") or {}, delivery, "sns:Publish"):
        raise DeliveryError(
            "NO_PERMISSIONS", f"The policy of {delivery.arn} does not let {delivery.rule['Arn']} publish."
        )
    try:
        sns.publish_internal(delivery.arn, delivery.payload)
    except sns.SnsPublishError as error:
        raise DeliveryError("SDK_CLIENT_ERROR", str(error)) from error


SENDERS = {"states": _start_execution, "lambda": _invoke_function, "sqs": _send_message, "sns": _publish}


def _call(delivery: Delivery, service: str, method: str, request: dict[str, Any]) -> None:
    """The target's API in the target's role."""
    try:
        client = role_sessions.client(
            service,
            delivery.target["RoleArn"],
            service_principal=SERVICE_PRINCIPAL,
            session_name=delivery.rule["Name"],
            source_arn=delivery.rule["Arn"],
        )
        getattr(client, method)(**request)
    except role_sessions.RoleError as error:
        raise DeliveryError("NO_PERMISSIONS", str(error)) from error
    except ClientError as error:
        raise _client_error(error) from error
    except BotoCoreError as error:
        raise DeliveryError("CONNECTION_FAILURE", str(error), retriable=True) from error


def _client_error(error: ClientError) -> DeliveryError:
    code = error.response["Error"].get("Code", "")
    message = f"{code}: {error.response['Error'].get('Message', '')}"
    if code in THROTTLES:
        return DeliveryError("THROTTLING", message, retriable=True)
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return DeliveryError("INTERNAL_ERROR", message, retriable=True)
    if "AccessDenied" in code:
        return DeliveryError("NO_PERMISSIONS", message)
    if "DoesNotExist" in code or "NotFound" in code or "NonExistent" in code:
        return DeliveryError("NO_RESOURCE", message)
    return DeliveryError("SDK_CLIENT_ERROR", message)


def _policy_allows(policy: dict[str, Any] | str, delivery: Delivery, action: str) -> bool:
    context = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=delivery.arn,
        region=get_region(),
        service_context={"aws:sourcearn": delivery.rule["Arn"], "aws:sourceaccount": get_account_id()},
    )
    result = iam_evaluator.evaluate_resource_policy(policy, context, service=SERVICE_PRINCIPAL)
    return bool(result.decision == "Allow")
