"""CloudWatch's metric math, as far as alarms on rates need it.

Not a mend: `cloudwatch_alarm_states` uses it. Arithmetic, comparisons, AND and OR, and the functions below,
on one period's values; None is a missing value. Source: "Using math expressions with CloudWatch metrics".
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

Value = float | None
OPERATORS: dict[type, Callable[[Any, Any], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "SUM": sum,
    "MAX": max,
    "MIN": min,
    "AVG": lambda values: sum(values) / len(values),
}


class MathError(ValueError):
    """The expression uses what is not supported here."""


def evaluate(expression: str, values: dict[str, Value]) -> Value:
    """The expression's value for one period. Raises: MathError."""
    text = re.sub(r"\|\||\bOR\b", " or ", re.sub(r"&&|\bAND\b", " and ", expression))
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise MathError(f"{expression!r} is not an expression: {error}") from error
    return _value(tree.body, values)


def _value(node: ast.expr, values: dict[str, Value]) -> Value:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in values:
        return values[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _combined(operator.sub, 0.0, _value(node.operand, values))
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return _combined(OPERATORS[type(node.op)], _value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
        left, right = _value(node.left, values), _value(node.comparators[0], values)
        return _combined(OPERATORS[type(node.ops[0])], left, right)
    if isinstance(node, ast.BoolOp):
        found = [_value(item, values) for item in node.values]
        every = isinstance(node.op, ast.And)
        return None if None in found else float((all if every else any)(found))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node.args, values)
    raise MathError(f"{ast.unparse(node)!r} is not supported.")


def _combined(operation: Callable[[Any, Any], float], left: Value, right: Value) -> Value:
    """A missing operand or a division by zero makes a missing value."""
    if left is None or right is None:
        return None
    try:
        return float(operation(left, right))
    except ZeroDivisionError:
        return None


def _call(name: str, arguments: list[ast.expr], values: dict[str, Value]) -> Value:
    if name == "FILL" and len(arguments) == 2:
        value = _value(arguments[0], values)
        return _value(arguments[1], values) if value is None else value
    if name == "IF" and len(arguments) == 3:
        condition = _value(arguments[0], values)
        return None if condition is None else _value(arguments[1 if condition else 2], values)
    if name == "ABS" and len(arguments) == 1:
        value = _value(arguments[0], values)
        return None if value is None else abs(value)
    if name in AGGREGATES:
        items = [
            item
            for argument in arguments
            for item in (argument.elts if isinstance(argument, ast.List) else [argument])
        ]
        present = [value for item in items if (value := _value(item, values)) is not None]
        return float(AGGREGATES[name](present)) if present else None
    raise MathError(f"{name}() is not supported.")
