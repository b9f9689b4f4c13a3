#!/usr/bin/env python3
"""The table of roles in docs/infrastructure.md, from the policies that a deployment really had.

python tests/functional/role_table.py     writes it, from the record of the last functional run
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "infrastructure.md"
# The runtime whose record test_permissions.py judges; another's may be older.
RECORD = ROOT / "build" / "test" / "process" / "record.json"
BEGIN, END = "<!-- roles: begin -->\n", "<!-- roles: end -->\n"


def render(roles: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each actor; the same one of another environment or model has no row of its own.

    IAM lists a role's policies in the order they were made in, and Terraform makes them side by side: sorted.
    """
    rows: dict[str, tuple[str, set[str]]] = {}
    for name, role in sorted(roles.items()):
        actor = re.sub("-iris$", "-MODEL", re.sub("-(staging|production)-", "-ENVIRONMENT-", name))
        _, told = rows.setdefault(actor, (_taken_on_by(role["trust"]), set()))
        told |= {_words(s["Sid"]) for policy in role["policies"] for s in policy["Statement"]}
    lines = ["| role | taken on by | may |", "|---|---|---|"]
    lines += [
        f"| `{actor}` | {who} | {', '.join(sorted(told))} |" for actor, (who, told) in sorted(rows.items())
    ]
    return "\n".join(lines) + "\n"


def replace_table(document: str, table: str) -> str:
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}"


def _taken_on_by(trust: Mapping[str, Any]) -> str:
    return ", and ".join(_taken_on_by_statement(statement) for statement in trust["Statement"])


def _taken_on_by_statement(statement: Mapping[str, Any]) -> str:
    by_sid = {
        "PullRequestsOfTheRepository": "pull requests of its own branches",
        "AgentsOfJenkins": "the named agents of Jenkins",
        "UsersUnderTheirOwnName": "the named users, under their own name",
        "RolesUnderTheirSessionsName": "sessions of the named roles, under the session's name",
    }
    if statement.get("Sid") in by_sid:
        return by_sid[statement["Sid"]]
    (kind, principal) = next(iter(statement["Principal"].items()))
    if kind == "Service":
        return f"{principal.partition('.')[0]}"
    if kind == "Federated":
        return "jobs of the GitHub repository's environments"
    raise ValueError(f"The table has no words for {statement}.")


def _words(sid: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", sid).lower()


if __name__ == "__main__":
    record = json.loads(RECORD.read_text())
    DOCUMENT.write_text(replace_table(DOCUMENT.read_text(), render(record["roles"])))
