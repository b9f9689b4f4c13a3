"""Step Functions: a JSONPath that selects nothing fails.

AWS: a path in Parameters that is not in the input fails with States.ParameterPathFailure, one in an
    intrinsic function with States.IntrinsicFailure, and one in InputPath, OutputPath, ResultSelector or a
    Choice rule with States.Runtime; IsPresent is true for a null ["Handling errors in Step Functions
    workflows", "Choice workflow state"].
ministack: gives null, so that a state machine that fails on AWS succeeds.
Hook: `services/stepfunctions.py::_resolve_params_obj`, `::_apply_input_path`, `::_apply_output_path`,
    `::_apply_result_selector`, `::_eval_intrinsic_arg`, `::_evaluate_rule`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ministack.services import stepfunctions

from localaws.mends import json_paths
from localaws.mends.stepfunctions_runs import TaskError

VERSION = "1.5.33"


def apply() -> None:
    """Makes missing paths fail."""
    resolve = stepfunctions._resolve_params_obj
    select = stepfunctions._apply_result_selector
    evaluate_argument = stepfunctions._eval_intrinsic_arg
    evaluate_rule = stepfunctions._evaluate_rule

    def resolve_parameters(template: Any, data: Any, context: Any = None) -> Any:
        for field, path in _paths(template):
            _require(path, data, context, error="States.ParameterPathFailure", field=field)
        return resolve(template, data, context)

    def apply_result_selector(state: dict[str, Any], data: Any) -> Any:
        for field, path in _paths(state.get("ResultSelector")):
            _require(path, data, None, error="States.Runtime", field=field)
        return select(state, data)

    def evaluate_intrinsic_argument(argument: Any, data: Any, context: Any) -> Any:
        if argument[0] == "path":
            _require(argument[1], data, context, error="States.IntrinsicFailure", field=argument[1])
        return evaluate_argument(argument, data, context)

    def evaluate_choice_rule(rule: dict[str, Any], data: Any, context: Any = None) -> Any:
        if "IsPresent" in rule:
            return _found(rule["Variable"], data, context) == rule["IsPresent"]
        if "Variable" in rule:
            _require(rule["Variable"], data, context, error="States.Runtime", field="Variable")
        return evaluate_rule(rule, data, context)

    stepfunctions._resolve_params_obj = resolve_parameters
    stepfunctions._apply_result_selector = apply_result_selector
    stepfunctions._eval_intrinsic_arg = evaluate_intrinsic_argument
    stepfunctions._evaluate_rule = evaluate_choice_rule
    for name, field in (("_apply_input_path", "InputPath"), ("_apply_output_path", "OutputPath")):
        setattr(stepfunctions, name, _requiring(getattr(stepfunctions, name), field))


def is_present(path: str, data: Any) -> bool:
    """Whether a JSONPath selects something. Wildcards, slices and filters select a list, empty or not."""
    tokens = stepfunctions._parse_jsonpath_tokens(path)
    if tokens is None or any(kind not in ("field", "index") for kind, _ in tokens):
        return True
    return json_paths.select(path, data)[0]


def _requiring(apply_path: Any, field: str) -> Any:
    def apply_required_path(state: dict[str, Any], data: Any, context: Any = None) -> Any:
        if state.get(field) is not None:
            _require(state[field], data, context, error="States.Runtime", field=field)
        return apply_path(state, data, context)

    return apply_required_path


def _paths(template: Any) -> Iterator[tuple[str, str]]:
    """Fields of a payload template that are plain paths; nested templates are checked in their turn."""
    if not isinstance(template, dict):
        return
    for key, value in template.items():
        if key.endswith(".$") and isinstance(value, str) and value.startswith("$"):
            yield key, value


def _found(path: str, data: Any, context: Any) -> bool:
    if path.startswith("$$"):
        return context is None or is_present(path[1:], context)
    return is_present(path, data)


def _require(path: str, data: Any, context: Any, *, error: str, field: str) -> None:
    if not _found(path, data, context):
        message = f"The JSONPath '{path}' specified for the field '{field}' could not be found in the input"
        raise TaskError(error, f"{message} '{json.dumps(data)[:1000]}'")
