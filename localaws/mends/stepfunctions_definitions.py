"""Step Functions: a state machine that cannot work is refused when it is created.

AWS: CreateStateMachine and UpdateStateMachine refuse a definition whose states do not hang together, with
    InvalidDefinition, and ValidateStateMachineDefinition says what is wrong; a role that may not make the
    managed rule that `.sync` waits by is refused, and so is one that may not deliver the logs ["State
    machine structure in Amazon States Language", API pages of these, "Permissions for cross-service
    integrations with .sync"]; tracingConfiguration is read back.
ministack: takes any JSON text, finds nothing wrong, asks nothing of the role, and forgets
    tracingConfiguration.
Hook: `services/stepfunctions.py::_create_state_machine`, `::_update_state_machine`,
    `::_describe_state_machine`, `::_validate_state_machine_definition`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.services import stepfunctions

from localaws.mends import role_sessions
from localaws.mends.stepfunctions_resources import parse_resource
from localaws.mends.stepfunctions_runs import SERVICE_PRINCIPAL

VERSION = "1.5.33"

TYPES = ("Pass", "Task", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map")
ENDING_TYPES = ("Succeed", "Fail", "Choice")
TRACING_OFF = {"enabled": False}
MANAGED_RULES = {
    "createTrainingJob": "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
    "createTransformJob": "StepFunctionsGetEventsForSageMakerTransformJobsRule",
    "createProcessingJob": "StepFunctionsGetEventsForSageMakerProcessingJobsRule",
    "startExecution": "StepFunctionsGetEventsForStepFunctionsExecutionRule",
}
RULE_ACTIONS = ("events:PutTargets", "events:PutRule", "events:DescribeRule")
LOG_ACTIONS = (
    *("logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery"),
    *("logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies"),
    "logs:DescribeLogGroups",
)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a definition, and where."""

    code: str
    message: str
    location: str


def apply() -> None:
    """Makes definitions checked, and tracing read back."""
    create, update = stepfunctions._create_state_machine, stepfunctions._update_state_machine
    describe = stepfunctions._describe_state_machine

    def create_state_machine(data: dict[str, Any]) -> Any:
        answer = _refusal(data, data.get("roleArn", "")) or create(data)
        if answer[0] == 200:
            _keep_tracing(json.loads(answer[2])["stateMachineArn"], data)
        return answer

    def update_state_machine(data: dict[str, Any]) -> Any:
        machine = stepfunctions._state_machines.get(data.get("stateMachineArn")) or {}
        definition = {"definition": machine.get("definition", "{}"), **data}
        refusal = _refusal(definition, data.get("roleArn") or machine.get("roleArn", "")) if machine else None
        answer = refusal or update(data)
        if answer[0] == 200:
            _keep_tracing(data["stateMachineArn"], data)
        return answer

    def describe_state_machine(data: dict[str, Any]) -> Any:
        status, headers, body = describe(data)
        if status != 200:
            return status, headers, body
        described = json.loads(body)
        described.setdefault("tracingConfiguration", TRACING_OFF)
        return status, headers, json.dumps(described).encode()

    stepfunctions._create_state_machine = create_state_machine
    stepfunctions._update_state_machine = update_state_machine
    stepfunctions._describe_state_machine = describe_state_machine
    stepfunctions._validate_state_machine_definition = _validate


def problems_of(text: str) -> list[Problem]:
    """What is wrong with a definition's structure."""
    try:
        definition = json.loads(text)
    except (json.JSONDecodeError, TypeError) as error:
        return [Problem("INVALID_JSON_DESCRIPTION", f"The definition is not JSON: {error}", "/")]
    return list(_machine_problems(definition, ""))


def _machine_problems(machine: Any, where: str) -> Iterator[Problem]:
    states = machine.get("States") if isinstance(machine, dict) else None
    if not isinstance(states, dict) or not states:
        yield Problem("SCHEMA_VALIDATION_FAILED", "States must be an object of states", f"{where}/States")
        return
    if machine.get("StartAt") not in states:
        message = f'Missing "Next" target: {machine.get("StartAt")}'
        yield Problem("MISSING_TRANSITION_TARGET", message, f"{where}/StartAt")
    reached = {machine.get("StartAt")}
    for name, state in states.items():
        place = f"{where}/States/{name}"
        yield from _state_problems(state, place)
        for field, target in _targets(state):
            reached.add(target)
            if target not in states:
                message = f'Missing "Next" target: {target}'
                yield Problem("MISSING_TRANSITION_TARGET", message, f"{place}/{field}")
    for name in states.keys() - reached:
        message = f'State "{name}" is not reachable.'
        yield Problem("MISSING_TRANSITION_TARGET", message, f"{where}/States/{name}")


def _state_problems(state: dict[str, Any], place: str) -> Iterator[Problem]:
    kind = state.get("Type")
    if kind not in TYPES:
        yield Problem("SCHEMA_VALIDATION_FAILED", f"Type {kind!r} is not one of {TYPES}", f"{place}/Type")
        return
    if kind not in ENDING_TYPES and ("Next" in state) == bool(state.get("End")):
        yield Problem("SCHEMA_VALIDATION_FAILED", "Either Next or End is required", place)
    if kind == "Task" and not str(state.get("Resource", "")).startswith("arn:"):
        yield Problem("SCHEMA_VALIDATION_FAILED", "Resource must be an ARN", f"{place}/Resource")
    if kind == "Choice" and not state.get("Choices"):
        yield Problem("SCHEMA_VALIDATION_FAILED", "Choices must not be empty", f"{place}/Choices")
    for index, branch in enumerate(state.get("Branches", [])):
        yield from _machine_problems(branch, f"{place}/Branches[{index}]")
    for field in ("Iterator", "ItemProcessor"):
        if field in state:
            yield from _machine_problems(state[field], f"{place}/{field}")


def _targets(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field]
    for field in ("Catch", "Choices"):
        for index, item in enumerate(state.get(field, [])):
            yield f"{field}[{index}]/Next", item.get("Next")


def _refusal(data: dict[str, Any], role_arn: str) -> Any:
    problems = problems_of(data.get("definition", ""))
    if problems:
        told = ", ".join(f"{problem.code}: {problem.message} at {problem.location}" for problem in problems)
        message = f"Invalid State Machine Definition: '{told}'"
        return error_response_json("InvalidDefinition", message, 400)
    machine_arn = data.get("stateMachineArn") or (
        f"arn:aws:states:{get_region()}:{get_account_id()}:stateMachine:{data.get('name', '')}"
    )
    for rule in _managed_rules(json.loads(data["definition"])):
        rule_arn = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{rule}"
        if not _may(role_arn, machine_arn, RULE_ACTIONS, rule_arn):
            message = f"'{role_arn}' is not authorized to create managed-rule."
            return error_response_json("AccessDeniedException", message, 400)
    if (data.get("loggingConfiguration") or {}).get("level", "OFF") != "OFF" and not _may(
        role_arn, machine_arn, LOG_ACTIONS, "*"
    ):
        message = "The state machine IAM Role is not authorized to access the Log Destination"
        return error_response_json("AccessDeniedException", message, 400)
    return None


def _managed_rules(definition: Any) -> set[str]:
    """The rules that the definition's `.sync` tasks need."""
    if isinstance(definition, list):
        return set().union(*map(_managed_rules, definition))
    if not isinstance(definition, dict):
        return set()
    found = set().union(*map(_managed_rules, definition.values()))
    integration = parse_resource(str(definition.get("Resource", "")))
    if (
        integration is not None
        and integration.pattern.startswith("sync")
        and integration.action in MANAGED_RULES
    ):
        found.add(MANAGED_RULES[integration.action])
    return found


def _may(role_arn: str, machine_arn: str, actions: tuple[str, ...], resource_arn: str) -> bool:
    """Whether the role may do all of the actions; like every other question to IAM, it is recorded."""
    keys = role_sessions.credentials(
        role_arn,
        service_principal=SERVICE_PRINCIPAL,
        session_name=machine_arn.rpartition(":")[2],
        source_arn=machine_arn,
    )
    return all(
        iam_evaluator.enforce(
            keys.access_key_id, action, action.partition(":")[0], get_region(), resource_arn=resource_arn
        )
        is None
        for action in actions
    )


def _keep_tracing(machine_arn: str, data: dict[str, Any]) -> None:
    if "tracingConfiguration" in data:
        stepfunctions._state_machines[machine_arn]["tracingConfiguration"] = data["tracingConfiguration"]


def _validate(data: dict[str, Any]) -> Any:
    diagnostics = [
        {"severity": "ERROR", **vars(problem)} for problem in problems_of(data.get("definition", ""))
    ]
    result = "FAIL" if diagnostics else "OK"
    return json_response({"result": result, "diagnostics": diagnostics, "truncated": False})
