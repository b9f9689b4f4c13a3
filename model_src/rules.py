"""The rules a model.yaml keeps: its JSON schema, then what a schema cannot say. Each has a name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from model_src import estimator, metrics
from model_src.contract import HyperparameterNames
from model_src.document import Document, Location
from model_src.errors import ContractError, Problem

SCHEMA_FILE = Path(__file__).with_name("model.schema.json")


def check_document(document: Document, *, names: HyperparameterNames | None = None) -> None:
    """Nothing, for a document that keeps every rule; that of hyperparameters is asked with `names` alone.

    Raises: ContractError with every problem; the rules are asked only of a document that keeps the schema.
    """
    problems = list(_schema_problems(document)) or list(_rule_problems(document, names))
    if problems:
        raise ContractError(sorted(problems, key=lambda problem: problem.line))


def _schema_problems(document: Document) -> Iterator[Problem]:
    validator = Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
    for error in validator.iter_errors(document.value):
        yield from _schema_problem(document, error)


def _schema_problem(document: Document, error: ValidationError) -> Iterator[Problem]:
    location = tuple(error.absolute_path)
    rule = f"schema/{error.validator}"
    if error.validator != "additionalProperties":
        yield document.problem(location, rule=rule, message=error.message)
        return
    instance, schema = cast(dict[str, Any], error.instance), cast(dict[str, Any], error.schema)
    known = schema["properties"]
    for key in instance:
        if key not in known:  # at its own line, not at the mapping's
            message = f"is not a field here; the fields are {', '.join(known)}"
            yield document.problem((*location, key), rule=rule, message=message)


def _rule_problems(document: Document, names: HyperparameterNames | None) -> Iterator[Problem]:
    wrong_columns = [*_column_problems(document), *_target_problems(document)]
    yield from wrong_columns
    yield from _estimator_problems(document, names)
    yield from _gate_problems(document)
    if wrong_columns:  # golden requests are held against the columns
        return
    for index, golden in enumerate(document.value["golden"]):
        yield from _instance_problems(document, index, golden["instance"])
        yield from _expect_problems(document, index, golden["expect"])


def _column_problems(document: Document) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, column in enumerate(document.value["columns"]):
        here = ("columns", index)
        if column["name"] in seen:
            message = f"there is a column '{column['name']}' already"
            yield document.problem((*here, "name"), rule="column-unique", message=message)
        seen.add(column["name"])
        yield from _range_problems(document, index, column)
        if "max_missing_share" in column and not column.get("missing", False):
            message = "no value may be missing at all; add `missing: true` for a share of them"
            yield document.problem((*here, "max_missing_share"), rule="column-missing", message=message)
        yield from _allowed_problems(document, index, column)


def _range_problems(document: Document, index: int, column: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("min", "max", "unit"):
        if key in column and column["type"] == "category":
            message = f"a category has no {key}; give its values in `allowed`"
            yield document.problem(("columns", index, key), rule="column-range", message=message)
    if "min" in column and "max" in column and column["min"] > column["max"]:
        message = f"{column['min']} is above max {column['max']}"
        yield document.problem(("columns", index, "min"), rule="column-range", message=message)


def _allowed_problems(document: Document, index: int, column: Mapping[str, Any]) -> Iterator[Problem]:
    wanted = {"category": str, "integer": int}.get(column["type"])
    for position, value in enumerate(column.get("allowed", ())):
        here = ("columns", index, "allowed", position)
        if wanted is None:
            message = "a number has a range (min, max), not allowed values"
            yield document.problem(here[:-1], rule="column-allowed", message=message)
            return
        if not isinstance(value, wanted):
            message = f"{value!r} is no value of a column of type {column['type']}"
            yield document.problem(here, rule="column-allowed", message=message)
        elif (isinstance(value, str) and value != value.strip()) or value == "":
            message = (
                f"{value!r} is never read: an empty cell is a missing value, spaces around one are dropped"
            )
            yield document.problem(here, rule="column-allowed", message=message)


def _target_problems(document: Document) -> Iterator[Problem]:
    model = document.value
    column = _columns(model).get(model["target"])
    if column is None:
        message = f"there is no column '{model['target']}'; the columns are {', '.join(_columns(model))}"
        yield document.problem(("target",), rule="target-column", message=message)
        return
    index = model["columns"].index(column)
    types = {"classification": ("category", "integer"), "regression": ("number", "integer")}[model["task"]]
    if column["type"] not in types:
        message = f"the target of a {model['task']} is of type {' or '.join(types)}, not {column['type']}"
        yield document.problem(("columns", index, "type"), rule="target-type", message=message)
    if column.get("missing", False):
        message = "the target may not be missing"
        yield document.problem(("columns", index, "missing"), rule="target-missing", message=message)
    if model["task"] == "classification" and len(column.get("allowed", "ab")) < 2:
        message = "a classification needs two classes or more"
        yield document.problem(("columns", index, "allowed"), rule="target-classes", message=message)
    if model["task"] != "classification" and "min_rows_per_class" in model:
        message = f"a {model['task']} has no classes"
        yield document.problem(("min_rows_per_class",), rule="target-classes", message=message)


def _estimator_problems(document: Document, names: HyperparameterNames | None) -> Iterator[Problem]:
    model = document.value
    kind, task = model["estimator"]["type"], model["task"]
    offered = estimator.types_for(task)
    if kind not in offered:
        message = f"'{kind}' does no {task}; choose one of {', '.join(offered)}"
        yield document.problem(("estimator", "type"), rule="estimator-task", message=message)
        return
    if names is None:
        return
    known = names(kind, task)
    for name in model["estimator"].get("hyperparameters", {}):
        if name not in known:
            message = f"{kind} has no such hyperparameter; it has {', '.join(known)}"
            yield document.problem(
                ("estimator", "hyperparameters", name), rule="estimator-hyperparameter", message=message
            )


def _gate_problems(document: Document) -> Iterator[Problem]:
    model = document.value
    gates = model["gates"]
    known = metrics.CLASSIFICATION if model["task"] == "classification" else metrics.REGRESSION
    named: list[Location] = [("gates", "metrics", name) for name in gates["metrics"]]
    named += [("gates", "champion", "metrics", name) for name in gates.get("champion", {}).get("metrics", {})]
    for location in named:
        if location[-1] not in known:
            message = f"is no metric of a {model['task']}; choose from {', '.join(known)}"
            yield document.problem(location, rule="gate-metric", message=message)
    if "classes" in gates and model["task"] != "classification":
        message = f"a {model['task']} has no classes"
        yield document.problem(("gates", "classes"), rule="gate-classes", message=message)
    elif "allowed" in (target := _columns(model).get(model["target"], {})):
        labels = [str(label) for label in target["allowed"]]
        for label in gates.get("classes", {}).keys() - set(labels):
            message = f"is no class of {model['target']}; its classes are {', '.join(labels)}"
            yield document.problem(("gates", "classes", label), rule="gate-classes", message=message)


def _instance_problems(document: Document, index: int, instance: Mapping[str, Any]) -> Iterator[Problem]:
    model = document.value
    features = {name: column for name, column in _columns(model).items() if name != model["target"]}
    here = ("golden", index, "instance")
    for name, value in instance.items():
        if name not in features:
            message = f"is no feature; the features are {', '.join(features)}"
            yield document.problem((*here, name), rule="golden-column", message=message)
        elif reason := _value_problem(features[name], value):
            yield document.problem((*here, name), rule="golden-value", message=reason)
    for name, column in features.items():
        if name not in instance and not column.get("missing", False):
            message = f"the feature '{name}' is not given, and it may not be missing"
            yield document.problem(here, rule="golden-column", message=message)


def _expect_problems(document: Document, index: int, expect: Mapping[str, Any]) -> Iterator[Problem]:
    model = document.value
    here = ("golden", index, "expect")
    wanted = "label" if model["task"] == "classification" else "value"
    if wanted not in expect:
        message = f"a {model['task']} is expected to answer a {wanted}"
        yield document.problem(here, rule="golden-expect", message=message)
        return
    for key in expect.keys() - {wanted, *(["tolerance"] if wanted == "value" else [])}:
        message = f"says nothing about a {model['task']}"
        yield document.problem((*here, key), rule="golden-expect", message=message)
    if wanted == "label" and (column := _columns(model).get(model["target"])):
        reason = _value_problem(column, expect["label"])
        if reason:
            yield document.problem((*here, "label"), rule="golden-value", message=reason)


def _value_problem(column: Mapping[str, Any], value: Any) -> str | None:
    if value is None:
        return None if column.get("missing", False) else "the column may not be missing"
    wanted: tuple[type, ...] = {"category": (str,), "integer": (int,), "number": (int, float)}[column["type"]]
    if not isinstance(value, wanted):
        return f"{value!r} is not of type {column['type']}"
    if "allowed" in column and value not in column["allowed"]:
        return f"{value!r} is not allowed; allowed are {', '.join(map(str, column['allowed']))}"
    if "min" in column and value < column["min"]:
        return f"{value} is below min {column['min']}"
    if "max" in column and value > column["max"]:
        return f"{value} is above max {column['max']}"
    return None


def _columns(model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {column["name"]: column for column in model["columns"]}
