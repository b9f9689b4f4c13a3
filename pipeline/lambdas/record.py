"""Write down how a run or a release ended, or what it passed on its way: in the ledger, and an end in the run
item. Flow: every flow's end, and after a dataset's and a candidate's judgement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.lambdas import edge
from pipeline.ledger import Ledger
from pipeline.runs_table import RunsTable, release_attribute

MAX_REASON_CHARACTERS = 1024
RELEASE_KINDS = ("release", "refusal")
# Of a dataset or a candidate: its run goes on.
ACCEPTED = "Accepted"


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{run_id, end: {kind, status, reason | error, details}, execution_arn, entry_id, since} -> {reason}"""
    settings = edge.settings()
    return record(
        event,
        environment=settings.environment,
        crowns=settings.approval_required,
        runs=edge.runs(),
        ledger=edge.ledger(),
        now=edge.now(),
    )


def record(
    request: dict[str, Any],
    *,
    environment: str,
    crowns: bool,
    runs: RunsTable,
    ledger: Ledger,
    now: datetime,
) -> dict[str, Any]:
    """The reason in words. The run item comes first: it is what people wait for.

    `crowns`: what this environment releases was approved, and is what the next candidate is compared with.
    """
    run_id, end = request["run_id"], request["end"]
    reason = readable(end["error"]) if "error" in end else end.get("reason", "")
    if run_id and end["kind"] in RELEASE_KINDS:
        outcome = {
            "status": end["status"],
            "reason": reason,
            "execution_arn": request["execution_arn"],
            "at": now.isoformat(),
        }
        runs.note(run_id, {release_attribute(environment): outcome}, now=now)
        if crowns and end["status"] == "InService":
            runs.crown(end["details"]["release"]["model"], run_id, now=now)
    elif run_id and end["status"] != ACCEPTED:
        runs.move(run_id, end["status"], facts={"reason": reason}, now=now)
    body = {
        "environment": environment,
        "run_id": run_id,
        "status": end["status"],
        "reason": reason,
        "execution_arn": request["execution_arn"],
        "details": end.get("details", {}),
    }
    ledger.append(
        end["kind"],
        body,
        entry_id=request["entry_id"],
        since=datetime.fromisoformat(request["since"]),
    )
    return {"reason": reason}


def readable(error: Mapping[str, Any]) -> str:
    """The reason in words, out of the Error and Cause that a state's Catch gives.

    A Cause is often JSON: a Lambda's exception, a description of a job, an endpoint or an execution; the
    last holds a Cause of its own.
    """
    name, cause = str(error.get("Error") or ""), str(error.get("Cause") or "")
    return (_from_cause(cause) or _from_name(name, cause))[:MAX_REASON_CHARACTERS]


def _from_name(name: str, cause: str) -> str:
    if name == "States.Timeout":
        return f"a step ran over its time: {cause}" if cause else "a step ran over its time"
    return ": ".join(part for part in (name, cause) if part) or "no reason was given"


def _from_cause(cause: str) -> str | None:
    try:
        facts = json.loads(cause)
    except ValueError:
        return None
    if not isinstance(facts, dict):
        return None
    if "errorMessage" in facts:
        return str(facts["errorMessage"])
    if "ExecutionArn" in facts:
        inner = str(facts.get("Cause") or "")
        return _from_cause(inner) or inner or f"execution {facts['ExecutionArn']} is {facts.get('Status')}"
    return _job_reason(facts)


def _job_reason(facts: Mapping[str, Any]) -> str | None:
    """The reason of a SageMaker job or endpoint in its own words, with its name."""
    for noun, prefix in (("Training job", "TrainingJob"), ("Processing job", "ProcessingJob")):
        if f"{prefix}Name" in facts:
            return f"{noun} {facts[f'{prefix}Name']}: {_end_of_job(facts, status=facts[f'{prefix}Status'])}"
    if "EndpointName" in facts:
        reason = facts.get("FailureReason") or "no reason was given"
        return f"Endpoint {facts['EndpointName']} is {facts['EndpointStatus']}: {reason}"
    return None


def _end_of_job(facts: Mapping[str, Any], *, status: str) -> str:
    limit_s = facts.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
    if facts.get("SecondaryStatus") in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
        return f"stopped because it ran over its {limit_s} seconds ({facts['SecondaryStatus']})"
    said = [facts.get("FailureReason"), facts.get("ExitMessage")]
    reason = "; ".join(dict.fromkeys(part for part in said if part))
    return f"{status}: {reason}" if reason else f"{status} without a reason; see its log"
