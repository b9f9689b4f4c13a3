"""Dead letters, handed on to whom they were meant for. Flow: dataset upload or approval, after an alarm.

The environment's own state machine takes them out of the queue and does what their rules would have done, so
that nobody starts a retraining with an uploader's name of their choice. This asks it, and reads its answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from pipeline.errors import RunError

# What the state machine's TimeoutSeconds and a start leave room for.
PATIENCE_S = 630


@dataclass(frozen=True)
class DeadLetter:
    """A message of the queue.

    `error` is why it is there. `outcome` is handed on, dropped (its schedule has come round again), left with
    the `reason`, or waiting, as all are in a dry run.
    """

    message_id: str
    about: str
    error: str
    outcome: str
    reason: str


def redrive(states: Any, machine_arn: str, *, dry_run: bool, every_s: float = 1.0) -> list[DeadLetter]:
    """All dead letters, ten at a time until none is new; of a dry run the first ten, which stay.

    What was left is there again after ten minutes. It is told of once, as it ended last, and does not keep
    this going.
    Raises: RunError when the state machine itself fails. What it had not handed on is in the queue still.
    """
    told: dict[str, DeadLetter] = {}
    while letters := _ask_next(states, machine_arn, told, dry_run=dry_run, every_s=every_s):
        is_any_new = any(letter.message_id not in told for letter in letters)
        told.update((letter.message_id, letter) for letter in letters)
        if dry_run or not is_any_new:
            break
    return list(told.values())


def _ask_next(
    states: Any, machine_arn: str, told: Mapping[str, DeadLetter], *, dry_run: bool, every_s: float
) -> list[DeadLetter]:
    try:
        return [parse_letter(one) for one in _ask(states, machine_arn, dry_run=dry_run, every_s=every_s)]
    except RunError as error:
        done = "; ".join(f"{letter.outcome}: {letter.about}" for letter in told.values())
        raise RunError(f"{error} Before that: {done}." if done else str(error)) from error


def _ask(states: Any, machine_arn: str, *, dry_run: bool, every_s: float) -> list[dict[str, Any]]:
    request = json.dumps({"dry_run": dry_run})
    execution = states.start_execution(stateMachineArn=machine_arn, input=request)["executionArn"]
    waiting = Retrying(
        retry=retry_if_result(lambda found: found["status"] == "RUNNING"),
        stop=stop_after_delay(PATIENCE_S),
        wait=wait_fixed(every_s),
    )
    try:
        ended = waiting(lambda: states.describe_execution(executionArn=execution))
    except RetryError as error:
        raise RunError(
            f"{execution} has not ended after {PATIENCE_S} s. Look at it before the next."
        ) from error
    if ended["status"] != "SUCCEEDED":
        raise RunError(
            f"{execution} ended as {ended['status']}: {ended.get('error')}: {ended.get('cause')}. "
            "What was not handed on is in the queue again after ten minutes."
        )
    letters: list[dict[str, Any]] = json.loads(ended["output"])["letters"]
    return letters


def parse_letter(letter: Mapping[str, Any]) -> DeadLetter:
    """What the state machine says of one message."""
    message = letter["message"]
    return DeadLetter(
        message_id=message["MessageId"],
        about=describe_body(message["Body"]),
        error=describe_error(message.get("MessageAttributes", {})),
        outcome=letter["outcome"],
        reason=letter["reason"],
    )


def describe_body(body: str) -> str:
    """What the event is about; of a letter that is none, how it begins."""
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    return describe_event(event) if isinstance(event, dict) else f"no event: {body[:80]!r}"


def describe_event(event: Mapping[str, Any]) -> str:
    """The upload or the model package that an event is about; otherwise what the event calls itself."""
    match event.get("detail"):
        case {"bucket": {"name": bucket}, "object": {"key": key}}:
            return f"s3://{bucket}/{key}, told by S3"
        case {"requestParameters": {"bucketName": bucket, "key": key}}:
            return f"s3://{bucket}/{key}, told by CloudTrail"
        case {"ModelPackageArn": package, "ModelApprovalStatus": status}:
            return f"{package} {status}"
    return str(event.get("detail-type", "a schedule's round"))


def describe_error(attributes: Mapping[str, Mapping[str, str]]) -> str:
    """EventBridge's error, or that of a function which failed on the event."""
    said = {name.replace("_", "").lower(): value.get("StringValue", "") for name, value in attributes.items()}
    return ": ".join(said[name] for name in ("errorcode", "errormessage") if said.get(name))
