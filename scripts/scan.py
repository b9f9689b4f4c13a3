#!/usr/bin/env python3
"""Scans Terraform's source, the plans made from it, and the Dockerfile with checkov.

    python3 scripts/scan.py                   the source and the Dockerfile
    python3 scripts/scan.py --plans FOLDER    and every plan.json below FOLDER, where `mlops plan` leaves them
    python3 scripts/scan.py --accept          take what passes now for what must pass

A check that fails is an error; so is one that passed for a resource and does not any more, being unknown or
gone. What must pass is in scripts/checks/expected/*.json. What is left out on purpose is in .checkov.yaml
or beside the resource, with the reason, three at most. Writes build/scan/*.sarif.
Exit codes: 0 as expected; 1 not; 2 wrong call; 3 checkov is not there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine.finding import SetupError, say
from machine.packages import ensure_scanner

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT / "scripts/checks/expected"
MOST_SKIPS = 3

Passes = dict[str, list[str]]


@dataclass(frozen=True)
class Target:
    """One thing to scan: checkov's framework, and its options that name the thing."""

    name: str
    framework: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What checkov said: `passes` are checks by resource, the others lines that a person reads."""

    passes: Passes
    failures: list[str]
    skips: list[str]


def source_targets() -> list[Target]:
    return [
        Target("source", "terraform", ("--directory", str(ROOT / "iac"))),
        Target("dockerfile", "dockerfile", ("--file", str(ROOT / "container/Dockerfile"))),
    ]


def plan_targets(folder: Path) -> list[Target]:
    """Raises: SystemExit if there is no plan to scan."""
    plans = sorted(folder.glob("*/plan.json"))
    if not plans:
        raise SystemExit(f"There is no plan in {folder}. Run `mlops plan` first.")
    enrich = ("--repo-root-for-plan-enrichment", str(ROOT / "iac"))
    return [
        Target(f"plan-{file.parent.name}", "terraform_plan", ("--file", str(file), *enrich)) for file in plans
    ]


def run_checkov(target: Target, *, python: str, results: Path) -> Outcome:
    """Scans one target; leaves <name>.sarif in `results`."""
    folder = results / target.name
    folder.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "checkov.main", *target.options, "--framework", target.framework]
    command += ["--config-file", str(ROOT / ".checkov.yaml"), "--soft-fail", "--compact"]
    command += ["--external-checks-dir", str(ROOT / "scripts/checks")]
    command += ["--output", "json", "--output", "sarif", "--output-file-path", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    report = folder / "results_json.json"
    if ended.returncode or not report.is_file():
        said = ended.stdout[-1000:] + ended.stderr[-2000:]
        raise SystemExit(f"checkov could not scan {target.name}:\n{said}")
    (folder / "results_sarif.sarif").replace(results / f"{target.name}.sarif")
    return read_report(json.loads(report.read_text()))


def read_report(report: Any) -> Outcome:
    """checkov's JSON. Raises: SystemExit if something could not be read, or nothing was scanned."""
    passes: dict[str, set[str]] = defaultdict(set)
    failures, skips = set(), set()
    for part in report if isinstance(report, list) else [report]:
        if part.get("summary", {}).get("parsing_errors"):
            raise SystemExit(f"checkov cannot read {part['results'].get('parsing_errors')}")
        results = part.get("results", {})
        for check in results.get("passed_checks", []):
            passes[name_resource(check)].add(check["check_id"])
        failures |= {describe(check) for check in results.get("failed_checks", [])}
        for check in results.get("skipped_checks", []):
            skips.add(f"{describe(check)}: {check['check_result'].get('suppress_comment')}")
    if not passes:
        raise SystemExit("checkov scanned nothing.")
    return Outcome(
        {name: sorted(ids) for name, ids in sorted(passes.items())}, sorted(failures), sorted(skips)
    )


def name_resource(check: Mapping[str, Any]) -> str:
    """A Dockerfile's parts are named by its path."""
    return str(check["resource"]).removeprefix(f"{ROOT}/")


def describe(check: Mapping[str, Any]) -> str:
    line = (check.get("file_line_range") or [0])[0]
    details = f" ({'; '.join(check['details'])})" if check.get("details") else ""
    place = f"{check['file_path'].lstrip('/')}:{line}"
    return f"{check['check_id']} {name_resource(check)} {place}: {check['check_name']}{details}"


def compare(passes: Passes, expected: Passes) -> list[str]:
    """What is missing, and what is new, as lines."""
    found, wanted = pairs(passes), pairs(expected)
    gone = [f"{resource} passes {check} no longer" for resource, check in sorted(wanted - found)]
    new = [f"{resource} passes {check}, which is not expected" for resource, check in sorted(found - wanted)]
    return gone + new


def pairs(passes: Passes) -> set[tuple[str, str]]:
    return {(resource, check) for resource, checks in passes.items() for check in checks}


def scan(targets: Iterable[Target], *, python: str, results: Path, accept: bool) -> int:
    """Says what is wrong and how much was right; the exit code."""
    wrong: list[str] = []
    skips: set[str] = set()
    for target in targets:
        outcome = run_checkov(target, python=python, results=results)
        file = EXPECTED / f"{target.name}.json"
        if accept:
            EXPECTED.mkdir(exist_ok=True)
            file.write_text(json.dumps(outcome.passes, indent=1) + "\n")
        expected = json.loads(file.read_text()) if file.is_file() else {}
        faults = outcome.failures + compare(outcome.passes, expected)
        wrong += [f"{target.name}: {fault}" for fault in faults]
        skips |= set(outcome.skips)
        counted = f"{len(pairs(outcome.passes))} passed, {len(outcome.failures)} failed"
        say(target.name, f"{counted}, {len(outcome.skips)} skipped")
    if len(skips) > MOST_SKIPS:
        wrong.append(f"{len(skips)} checks are skipped, {MOST_SKIPS} may be: {'; '.join(sorted(skips))}")
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


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
    targets = source_targets() + (plan_targets(options.plans) if options.plans else [])
    return scan(targets, python=python, results=options.results, accept=options.accept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
