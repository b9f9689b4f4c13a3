#!/usr/bin/env python3
"""Holds the evaluator that the local AWS enforces with against one that is not ours.

The questions are those that a functional run recorded (build/test/*/record.json), and variants of each:
another environment, another account, another model, each condition key left out or changed. `make oracle`
fetches @cloud-copilot/iam-simulate by npm, asks both, and ends with 1 where they differ. `--write` keeps a
sample of questions and answers in iam_conformance.json, against which the unit tests hold the evaluator
without Node.js.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TABLE = ROOT / "tests" / "unit" / "localaws" / "iam_conformance.json"
DECISIONS = ("Allow", "Deny", "ImplicitDeny")
SAMPLE = 400
OTHERS = (
    ("staging", "production"),
    ("production", "staging"),
    ("123456789012", "210987654321"),
    ("iris", "wine"),
)

Case = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    files = sorted((ROOT / "build" / "test").glob("*/record.json"))
    if not files:
        print("There is no record. Run `make test TESTS=tests/functional` first.")
        return 1
    cases = list(
        {json.dumps(case, sort_keys=True): case for file in files for case in cases_of(file)}.values()
    )
    theirs = simulate(cases)
    answered = [(case, answer) for case, answer in zip(cases, theirs, strict=True) if answer in DECISIONS]
    differing = [(case, answer, ours) for case, answer in answered if (ours := decide(case)) != answer]
    counts = dict(Counter(answer for _, answer in answered))
    print(f"{len(cases)} questions, {len(answered)} that can be asked on AWS: {counts}")
    for case, answer, ours in differing[:20]:
        print(
            f"differ: {case['action']} on {case['resource']}: {ours} here, {answer} there; {case['context']}"
        )
    print(f"{len(differing)} answers differ.")
    if options.write and not differing:
        write_table(answered)
    return 1 if differing else 0


def cases_of(file: Path) -> Iterator[Case]:
    """Every recorded question with the policies of its role, and its variants."""
    record = json.loads(file.read_text())
    for call in record["calls"]:
        role = record["roles"][call["role"]]
        # An assumption is decided by the role's trust too, which is not part of the question.
        if call["action"].startswith("sts:"):
            continue
        for action, resource, context in (*variants(call), *denied(call, role)):
            yield {
                "principal": call["principal"],
                "account": call["account"],
                "action": action,
                "resource": resource,
                "context": context | {"aws:securetransport": "true"},
                "policies": _distinct(_about(policy, action) for policy in role["policies"]),
                "boundary": _about(role["boundary"], action) if role["boundary"] else None,
            }


def variants(call: Case) -> Iterator[tuple[str, str, dict[str, Any]]]:
    action, resource, context = call["action"], call["resource"], call["context"]
    yield action, resource, context
    for own, other in OTHERS:
        if own in resource:
            yield action, resource.replace(own, other), context
    for key, value in context.items():
        if not key.startswith(("aws:userid", "aws:multifactor", "aws:principal")):
            yield action, resource, {name: kept for name, kept in context.items() if name != key}
            changed = [f"{item}x" for item in value] if isinstance(value, list) else f"{value}x"
            yield action, resource, context | {key: changed}


def denied(call: Case, role: Case) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What the role's policies deny by name, asked by this caller about the same service."""
    service = call["action"].partition(":")[0]
    for statement in (s for policy in role["policies"] for s in policy["Statement"] if s["Effect"] == "Deny"):
        for action in _listed(statement["Action"]):
            if action.startswith(f"{service}:"):
                yield from (
                    (action, resource, call["context"]) for resource in _listed(statement["Resource"])
                )


def _about(policy: Case, action: str) -> Case:
    """What the policy says of the action; nothing else in it changes the answer."""
    kept = [
        {**statement, "Action": [action]}
        for statement in policy["Statement"]
        if action.lower() in (named.lower() for named in _listed(statement["Action"]))
    ]
    # No statement at all is no policy, and a boundary that says nothing of the action is still one.
    silent = {"Effect": "Allow", "Action": ["sts:GetCallerIdentity"], "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": kept or [silent]}


def _distinct(policies: Iterable[Case]) -> list[Case]:
    return list({json.dumps(policy, sort_keys=True): policy for policy in policies}.values())


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def simulate(cases: list[Case]) -> list[str]:
    """What the simulator answers."""
    done = subprocess.run(
        ["node", "simulate.mjs"],
        cwd=HERE,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[str] = json.loads(done.stdout)
    return answers


def decide(case: Case) -> str:
    """What the local AWS's evaluator decides."""
    from ministack.core import iam_evaluator

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
    policies = [parse(policy) for policy in case["policies"]]
    return str(iam_evaluator.evaluate(context, policies, *limits).decision)


def write_table(answered: list[tuple[Case, str]]) -> None:
    """A sample that has each action and each answer."""
    shuffled = random.Random(0).sample(answered, len(answered))
    first_of_kind = {(case["action"], answer): (case, answer) for case, answer in shuffled}
    sample = (list(first_of_kind.values()) + shuffled)[:SAMPLE]
    lines = [json.dumps({**case, "decision": answer}, sort_keys=True) for case, answer in sample]
    TABLE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(lines)} of them are kept in {TABLE.relative_to(ROOT)}.")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from localaws.mends import iam_conditions

    iam_conditions.apply()
    sys.exit(main())
