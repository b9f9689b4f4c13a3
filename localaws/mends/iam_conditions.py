"""IAM: policy variables, and what a role's session is called.

AWS: `${aws:username}` in a condition or resource of a policy stands for the request's value of that key,
    and a statement with a variable that has no value does not apply; `aws:PrincipalArn` of a role's
    session is the role's ARN; `kms:ResourceAliases` are the aliases of the key that a request is about
    ["IAM policy elements: variables and tags", "AWS global condition context keys", "Condition keys for
    AWS KMS"].
ministack: takes variables for plain text, gives the session's ARN, and does not know the aliases.
Hook: `core/iam_evaluator.py::_conditions_met`, `::_first_match`, `::_resolve_condition_key`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, ParsedStatement
from ministack.services import kms

from localaws.mends import role_sessions

VERSION = "1.5.33"

VARIABLE = re.compile(r"\$\{([^},]+)(?:,\s*'([^']*)')?\}")
# Characters that would otherwise be wildcards or start a variable.
LITERALS = {"*": "*", "?": "?", "$": "$"}


class NoValueError(Exception):
    """A variable has neither a value in the request nor a default."""


def apply() -> None:
    """Makes policies with variables and role principals mean what they mean on AWS."""
    conditions_met = iam_evaluator._conditions_met
    first_match = iam_evaluator._first_match
    resolve_key = iam_evaluator._resolve_condition_key

    def resolve(key: str, context: EvalContext) -> Any:
        lower = key.lower()
        if lower == "aws:principalarn":
            return principal_arn(context.principal_arn)
        if lower == "kms:resourcealiases":
            # A question that is put again, from the record, brings them along.
            return context.service_context.get(lower) or aliases_of(context.resource_arn)
        return resolve_key(key, context)

    def met(conditions: dict[str, Any], context: EvalContext) -> bool:
        try:
            filled = {operator: fill_block(block, context) for operator, block in (conditions or {}).items()}
        except NoValueError:
            return False
        return bool(conditions_met(filled, context))

    def match(context: EvalContext, statements: list[ParsedStatement], effect: str) -> ParsedStatement | None:
        found: ParsedStatement | None = first_match(
            context, [fill_resources(statement, context) for statement in statements], effect
        )
        return found

    iam_evaluator._resolve_condition_key = resolve
    iam_evaluator._conditions_met = met
    iam_evaluator._first_match = match


def principal_arn(arn: str) -> str:
    """The role's ARN for a session of it, and the ARN itself for anyone else."""
    account_id, _, session = arn.partition("arn:aws:sts::")[2].partition(":assumed-role/")
    return role_sessions.role_arn_of(account_id, session.partition("/")[0]) if session else arn


def aliases_of(key_arn: str) -> list[str] | None:
    """The names of a key's aliases; None when the resource is no key or has none."""
    key = kms._resolve_key(key_arn) if ":kms:" in key_arn else None
    names = [
        str(arn).partition(":alias/")[2]
        for arn, key_id in kms._aliases.items()
        if key and key_id == key["KeyId"]
    ]
    return [f"alias/{name}" for name in names] or None


def fill_block(block: Any, context: EvalContext) -> Any:
    """A condition's keys with the variables in their values filled in. Raises: NoValueError."""
    if not isinstance(block, dict):
        return block
    return {key: _fill_all(values, context) for key, values in block.items()}


def fill_resources(statement: ParsedStatement, context: EvalContext) -> ParsedStatement:
    """The statement about the resources that its variables stand for."""
    if not any("${" in resource for resource in (*statement.resources, *statement.not_resources)):
        return statement
    filled = []
    for resource in statement.resources:
        try:
            filled.append(fill(resource, context))
        except NoValueError:
            continue
    try:
        excepted = [fill(resource, context) for resource in statement.not_resources]
    except NoValueError:
        excepted = ["*"]
    # A statement whose every resource fell away is about nothing, and ministack takes none for all.
    nothing = ["-"] if statement.resources else []
    return replace(statement, resources=filled or nothing, not_resources=excepted)


def fill(text: str, context: EvalContext) -> str:
    """The text with its variables replaced by the request's values. Raises: NoValueError."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name in LITERALS:
            return LITERALS[name]
        value = iam_evaluator._resolve_condition_key(name, context)
        value = match[2] if value is None else value
        # A variable cannot stand for several values.
        if value is None or isinstance(value, list):
            raise NoValueError(name)
        return str(value)

    return VARIABLE.sub(value_of, text)


def _fill_all(values: Any, context: EvalContext) -> Any:
    if isinstance(values, str):
        return fill(values, context)
    if isinstance(values, list):
        return [_fill_all(value, context) for value in values]
    return values
