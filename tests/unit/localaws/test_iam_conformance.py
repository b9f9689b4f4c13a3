"""The evaluator that the local AWS enforces with decides as one that is not ours did.

The table is a sample of what `make oracle` asked both; see tests/oracle/compare.py.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ministack.core import iam_evaluator

from localaws.mends import iam_conditions

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "iam_conformance.json").read_text())


def decide(case: dict[str, Any]) -> str:
    context = iam_evaluator.EvalContext(
        principal_arn=case["principal"],
        principal_type="AssumedRole",
        principal_account=case["account"],
        action=case["action"],
        resource_arn=case["resource"],
        region="us-east-1",
        secure_transport=True,
        service_context={"aws:tagkeys": None, **case["context"]},
    )
    parse = iam_evaluator.parse_policy_document
    limits = [[parse(case["boundary"])]] if case["boundary"] else []
    result = iam_evaluator.evaluate(context, [parse(policy) for policy in case["policies"]], *limits)
    return str(result.decision)


@pytest.fixture(scope="module", autouse=True)
def _mended() -> None:
    iam_conditions.apply()


def test_the_table_has_every_answer() -> None:
    answers = Counter(case["decision"] for case in CASES)

    assert set(answers) == {"Allow", "Deny", "ImplicitDeny"}
    assert answers["Allow"] > 50
    assert answers["ImplicitDeny"] > 50


def test_every_answer_is_the_same() -> None:
    differing = [
        (case["action"], case["resource"], case["context"], case["decision"])
        for case in CASES
        if decide(case) != case["decision"]
    ]

    assert differing == []
