#!/usr/bin/env python3
"""Makes a checkout ready to use: packages, Terraform, its provider, the image's wheels; nothing global.

Stands before all three flows. What is there already is left alone.

    python3 scripts/setup.py                 everything
    python3 scripts/setup.py terraform ...   only the named parts
    python3 scripts/setup.py --check --json  what is there; nothing is done

Exit codes: 0 ready; 2 wrong call; 3 something is missing, and the message says what to do.
What was found is written to `.tools/setup.json`, from where the `mlops` command takes its defaults.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from machine.engine import check_base_image, check_engine, ensure_base_image
from machine.finding import Finding, SetupError, say, tools_folder
from machine.packages import (
    check_packages,
    check_python,
    check_wheels,
    ensure_packages,
    ensure_wheels,
    restart_with_newer_python,
)
from machine.terraform import (
    check_provider,
    check_terraform,
    ensure_provider,
    ensure_terraform,
    write_configuration,
)

ENSURE = {
    "packages": ensure_packages,
    "terraform": ensure_terraform,
    "provider": ensure_provider,
    "wheelhouse": ensure_wheels,
}
NEEDED_BY_ALL = ("packages", "terraform", "provider")


def check_everything(root: Path) -> list[Finding]:
    engine = check_engine()
    findings = [check_python(), check_packages(root), check_terraform(root), check_provider(root), engine]
    return findings + ([check_base_image(root, engine.value), check_wheels(root)] if engine.ok else [])


def ensure_everything(root: Path) -> None:
    """Provides what is missing and records what `mlops` has to know of this machine."""
    tell(check_python())
    found = {part: tell(ENSURE[part](root)) for part in NEEDED_BY_ALL}
    engine = tell(check_engine())
    base_image = ""
    if engine.ok:
        base_image = tell(ensure_base_image(root, engine.value)).value
        tell(ensure_wheels(root))
    facts = {
        "terraform": found["terraform"].value,
        "terraform_rc": write_configuration(root, found["provider"].value) or None,
        "base_image": base_image or None,
    }
    (tools_folder(root) / "setup.json").write_text(json.dumps(facts, indent=2) + "\n")


def tell(finding: Finding) -> Finding:
    say(finding.part, finding)
    return finding


def print_check(findings: list[Finding], *, as_json: bool) -> int:
    """The findings on the screen; 3 when something needed is missing."""
    if as_json:
        described = {finding.part: dataclasses.asdict(finding) for finding in findings}
        sys.stdout.write(json.dumps(described, indent=2) + "\n")
    else:
        for finding in findings:
            tell(finding)
    return 0 if all(finding.ok for finding in findings if finding.required) else 3


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="setup.py", description="Makes this checkout ready to use.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"only these of {', '.join(ENSURE)} (default: everything)"
    )
    parser.add_argument("--check", action="store_true", help="only tell what is there")
    parser.add_argument("--json", action="store_true", help="with --check: print the findings as JSON")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).resolve().parent.parent, help="the checkout"
    )
    arguments = parser.parse_args(argv)
    unknown = [part for part in arguments.parts if part not in ENSURE]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    return arguments


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    try:
        restart_with_newer_python([__file__, *argv])
        if arguments.check:
            return print_check(check_everything(arguments.root), as_json=arguments.json)
        for part in arguments.parts:
            tell(ENSURE[part](arguments.root))
        if not arguments.parts:
            ensure_everything(arguments.root)
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
