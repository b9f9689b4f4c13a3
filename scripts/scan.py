#!/usr/bin/env python3
"""Scans Terraform's source, the plans made from it, and the Dockerfile with checkov.

    python3 scripts/scan.py                   the source and the Dockerfile
    python3 scripts/scan.py --plans FOLDER    and every plan.json below FOLDER, where `mlops plan` leaves them
    python3 scripts/scan.py --accept          take what passes now for what must pass

A check that fails is an error; so is one that passed for a resource and does not any more, being unknown or
gone. What must pass is in scripts/checks/expected/*.json. What is left out on purpose is in
scripts/checks/skips.toml, with its reason. Writes build/scan/scan.sarif, what is left out suppressed in it.
Nobody outside is asked.
Exit codes: 0 as expected; 1 not; 2 wrong call; 3 checkov is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from machine.finding import SetupError, say
from machine.packages import ensure_scanner

ROOT = Path(__file__).resolve().parent.parent
CHECKS = ROOT / "scripts/checks"
EXPECTED = CHECKS / "expected"
SKIPS = CHECKS / "skips.toml"

# Found for some roles of the source and not for others, by the order of checkov's sets; in plans for all.
UNSTEADY = {("source", "CKV2_AWS_40")}

Passes = dict[str, list[str]]


@dataclass(frozen=True)
class Target:
    """What one run of checkov scans: its framework, and its options that name the things."""

    name: str
    framework: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A check that failed for a resource, and where: the file from the checkout's root."""

    check: str
    resource: str
    what: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.check} {self.resource} {self.file}:{self.line}: {self.what}"


@dataclass
class Outcome:
    """What checkov said of one scanned thing: what passed by resource, and what failed."""

    passes: Passes
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Skip:
    checks: tuple[str, ...]
    resources: tuple[str, ...]
    reason: str

    def covers(self, failure: Failure) -> bool:
        named = any(fnmatchcase(failure.resource, pattern) for pattern in self.resources)
        return named and failure.check in self.checks


def source_targets() -> list[Target]:
    return [
        Target("source", "terraform", ("--directory", str(ROOT / "iac"))),
        Target("dockerfile", "dockerfile", ("--file", str(ROOT / "container/Dockerfile"))),
    ]


def plan_target(folder: Path, copies: Path) -> Target:
    """All plans in one run, read from where they were copied to.

    Raises: SystemExit if there is no plan to scan.
    """
    plans = copy_plans(folder, copies)
    if not plans:
        raise SystemExit(f"There is no plan in {folder}. Run `mlops plan` first.")
    options = [option for file in plans for option in ("--file", str(file))]
    enrich = ("--repo-root-for-plan-enrichment", str(ROOT / "iac"))
    return Target("plans", "terraform_plan", (*options, *enrich))


def copy_plans(folder: Path, copies: Path) -> list[Path]:
    """Plans in which checkov takes nothing of the checkout for a secret.

    To it, 40 letters, digits and slashes between others are an AWS key: part of a plan's own path may be
    that, and a commit that has `-dirty` behind it is. So the path has a part of more than 40, and the commit
    is zeros.
    """
    copied = []
    for file in sorted(folder.glob("*/plan.json")):
        plan = file.read_text()
        commit = json.loads(plan).get("variables", {}).get("commit")
        copy = copies / ("plans" * 9) / file.parent.name / file.name
        copy.parent.mkdir(parents=True)
        copy.write_text(plan.replace(commit["value"], "0" * 40) if commit else plan)
        copied.append(copy)
    return copied


def read_skips(file: Path = SKIPS) -> list[Skip]:
    return [
        Skip(tuple(entry["checks"]), tuple(entry["resources"]), entry["reason"])
        for entry in tomllib.loads(file.read_text())["skip"]
    ]


def run_checkov(target: Target, *, python: str, results: Path) -> dict[str, Outcome]:
    """What was found by thing that was scanned."""
    folder = results / target.name
    folder.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "checkov.main", *target.options, "--framework", target.framework]
    command += ["--soft-fail", "--compact", "--skip-download", "--external-checks-dir", str(CHECKS)]
    command += ["--output", "json", "--output-file-path", str(folder)]
    # Our own checks import each other; checkov passes over a module that it cannot import.
    environment = os.environ | {
        "PYTHONPATH": str(CHECKS.parent),
        "LOG_LEVEL": "WARNING",
        "PYTHONHASHSEED": "0",
    }
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    report = folder / "results_json.json"
    if ended.returncode or not report.is_file() or "Traceback" in ended.stderr:
        said = ended.stdout[-1000:] + ended.stderr[-2000:]
        raise SystemExit(f"checkov could not scan {target.name}:\n{said}")
    return read_report(json.loads(report.read_text()), target.name)


def read_report(report: Any, target: str) -> dict[str, Outcome]:
    """checkov's JSON. Raises: SystemExit if something could not be read, or nothing was scanned."""
    passes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    failures: dict[str, dict[tuple[str, str], Failure]] = defaultdict(dict)
    for part in report if isinstance(report, list) else [report]:
        if part.get("summary", {}).get("parsing_errors"):
            raise SystemExit(f"checkov cannot read {part['results'].get('parsing_errors')}")
        results = part.get("results", {})
        for check in results.get("passed_checks", []):
            if (target, check["check_id"]) in UNSTEADY:
                continue
            passes[name_thing(check, target)][name_resource(check)].add(check["check_id"])
        # A comment beside a resource passes a check over: still a failure, which has to be in our list.
        for check in (*results.get("failed_checks", []), *results.get("skipped_checks", [])):
            failure = describe(check)
            failures[name_thing(check, target)][failure.check, failure.resource] = failure
    if not passes:
        raise SystemExit("checkov scanned nothing.")
    return {
        thing: Outcome(
            {name: sorted(checks) for name, checks in sorted(passes[thing].items())},
            sorted(failures[thing].values(), key=str),
        )
        for thing in sorted({*passes, *failures})
    }


def name_thing(check: Mapping[str, Any], target: str) -> str:
    """A plan is named by its folder, anything else by the target."""
    file = Path(check.get("file_abs_path") or "")
    return f"plan-{file.parent.name}" if file.name == "plan.json" else target


def name_resource(check: Mapping[str, Any]) -> str:
    """A Dockerfile's parts are named by its path."""
    return str(check["resource"]).removeprefix(f"{ROOT}/")


def describe(check: Mapping[str, Any]) -> Failure:
    # What checkov says of it, or else where it looked.
    details = check.get("details") or (check.get("check_result") or {}).get("evaluated_keys") or []
    return Failure(
        check["check_id"],
        name_resource(check),
        f"{check['check_name']} ({'; '.join(details)})" if details else check["check_name"],
        name_file(check),
        max(1, (check.get("file_line_range") or [1])[0]),
    )


def name_file(check: Mapping[str, Any]) -> str:
    """From the checkout's root; of a resource in a plan, where its source is."""
    path = Path(check.get("file_abs_path") or check["file_path"])
    if path.name == "plan.json":
        return f"iac/{check['file_path'].lstrip('/')}"
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).lstrip("/")


def compare(passes: Passes, expected: Passes) -> list[str]:
    """What is missing, and what is new, as lines."""
    found, wanted = pairs(passes), pairs(expected)
    gone = [f"{resource} passes {check} no longer" for resource, check in sorted(wanted - found)]
    new = [f"{resource} passes {check}, which is not expected" for resource, check in sorted(found - wanted)]
    return gone + new


def pairs(passes: Passes) -> set[tuple[str, str]]:
    return {(resource, check) for resource, checks in passes.items() for check in checks}


def to_sarif(found: Iterable[tuple[Failure, Skip | None]]) -> dict[str, Any]:
    """What the front ends show. Source: OASIS, SARIF 2.1.0."""
    results = []
    for failure, skip in found:
        place = {"artifactLocation": {"uri": failure.file}, "region": {"startLine": failure.line}}
        result = {
            "ruleId": failure.check,
            "level": "error",
            "message": {"text": f"{failure.resource}: {failure.what}"},
            "locations": [{"physicalLocation": place}],
            "suppressions": [{"kind": "external", "justification": skip.reason}] if skip else [],
        }
        results.append(result)
    rules = [{"id": rule} for rule in sorted({failure.check for failure, _ in found})]
    driver = {"name": "checkov", "informationUri": "https://www.checkov.io", "rules": rules}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return {
        "$schema": schema,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def scan(targets: Sequence[Target], *, python: str, results: Path, accept: bool, whole: bool) -> int:
    """Says what is wrong and how much was right; the exit code.

    `whole`: everything that may need a skip is among the targets.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = list(pool.map(lambda target: run_checkov(target, python=python, results=results), targets))
    skips = read_skips()
    told: list[tuple[Failure, Skip | None]] = []
    for thing, outcome in ((thing, outcome) for run in runs for thing, outcome in run.items()):
        if accept:
            write_expected(thing, outcome.passes)
        judged = [(failure, find_skip(failure, skips)) for failure in outcome.failures]
        changed = compare(outcome.passes, read_expected(thing))
        file = f"scripts/checks/expected/{thing}.json"
        told += judged + [(Failure("expected", thing, line, file, 1), None) for line in changed]
        failed = sum(skip is None for _, skip in judged)
        passed = len(pairs(outcome.passes))
        say(thing, f"{passed} passed, {failed} failed, {len(judged) - failed} left out")
    if whole:
        needed = {skip for _, skip in told if skip}
        told += [
            (
                Failure(
                    "skips", ", ".join(skip.checks), "nothing needs this skip", "scripts/checks/skips.toml", 1
                ),
                None,
            )
            for skip in skips
            if skip not in needed
        ]
    (results / "scan.sarif").write_text(json.dumps(to_sarif(told), indent=1) + "\n")
    wrong = [failure for failure, skip in told if skip is None]
    sys.stderr.write("".join(f"{failure}\n" for failure in wrong))
    return 1 if wrong else 0


def find_skip(failure: Failure, skips: Iterable[Skip]) -> Skip | None:
    return next((skip for skip in skips if skip.covers(failure)), None)


def write_expected(thing: str, passes: Passes) -> None:
    EXPECTED.mkdir(exist_ok=True)
    (EXPECTED / f"{thing}.json").write_text(json.dumps(passes, indent=1) + "\n")


def read_expected(thing: str) -> Passes:
    file = EXPECTED / f"{thing}.json"
    expected: Passes = json.loads(file.read_text()) if file.is_file() else {}
    return expected


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Scans with checkov, by exactly what must pass.")
    parser.add_argument("--plans", type=Path, help="a folder of plan folders")
    parser.add_argument("--accept", action="store_true", help="from now on, what passes now must pass")
    parser.add_argument("--results", type=Path, default=ROOT / "build/scan", help="where reports are written")
    options = parser.parse_args(argv)
    try:
        python = ensure_scanner(ROOT).value
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    with TemporaryDirectory() as copies:
        plans = [plan_target(options.plans, Path(copies))] if options.plans else []
        return scan(
            source_targets() + plans,
            python=python,
            results=options.results,
            accept=options.accept,
            whole=bool(plans),
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
