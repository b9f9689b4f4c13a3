"""What both front ends must do: the same calls in the same order, in the role that each needs."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLANS = {"core": "core", "staging": "environment-staging", "production": "environment-production"}

# (what is called, in which role: none, or `*` where it does not matter); <core> is the hash of core's plan.
DELIVERY = [
    ("make check", None),
    ("make test", None),
    ("make scan", None),
    ("mlops plan core", "ci-plan"),
    ("mlops approve core --plan <core> --by <core-approver> --reason <build>", "ci-approve"),
    ("mlops apply core --plan <core>", "ci-apply"),
    ("mlops build", "*"),
    ("mlops push", "ci-apply"),
    ("mlops plan --env staging", "ci-plan"),
    ("mlops approve --env staging --plan <staging> --by <staging-approver> --reason <build>", "ci-approve"),
    ("mlops apply --env staging --plan <staging>", "ci-apply"),
    ("mlops retrain --env staging", "data-scientist"),
    ("mlops plan --env production", "ci-plan"),
    (
        "mlops approve --env production --plan <production> --by <production-approver> --reason <build>",
        "ci-approve",
    ),
    ("mlops apply --env production --plan <production>", "ci-apply"),
]
UNTIL_SCAN = [call for call, _role in DELIVERY[:3]]
# Each of the calls fails once, and nothing may come after it.
FAILING = [call.partition(" --plan")[0] for call, _role in DELIVERY]
# What a command line may be made of: no second command, no redirection, no failure passed over.
_WORD = r"(?:[a-z-]+|\"(?:\$[A-Z_]+|[a-z/])+\")"
MAKE, MLOPS = r"make (?:check|drift|scan|setup|test)", rf"\.venv/bin/mlops(?: {_WORD})+"
# Lies in the environment, where every job could print it.
SECRET = "planted-secret"

# Stands in the place of `make` and `mlops`: writes down how it was called, leaves what the next stage needs,
# and refuses what the real one would refuse. MLOPS_TEST_FAIL is a call that fails.
_TOOL = """#!/usr/bin/env bash
set -eu
name=${0##*/}
said="$name $*"
printf '%s\\x1f' "${AWS_PROFILE:-${ROLE_IN_USE:-}}" "${MLOPS_AUTHORS:-}" "$name" "$@" >> "$MLOPS_TEST_TRACE"
printf '\\x1e' >> "$MLOPS_TEST_TRACE"
if [[ "$said " == "${MLOPS_TEST_FAIL:-nothing} "* ]]; then echo "error: told to fail" >&2; exit 1; fi
images=build/image/iris-serving.json
case "$said" in
  "make setup") mkdir -p .venv/bin; cp "$0" .venv/bin/mlops ;;
  "make scan") mkdir -p build/scan; echo '{}' > build/scan/checkov.sarif ;;
  "mlops build"*) mkdir -p build/image; echo '{}' > $images ;;
  *" --preview") ;;
  "mlops push"* | "mlops plan --env"*)
    [[ -f $images ]] || { echo "error: the serving image of iris is not built or pushed yet" >&2; exit 2; } ;;
esac
if [[ $said == "mlops plan "* ]]; then
  [[ $2 == core ]] && stack=core || stack=environment-$3
  mkdir -p "build/plans/$stack"
  echo "sha-of-${stack#environment-}" > "build/plans/$stack/plan.sha256"
  echo "## Plan of $stack" > "build/plans/$stack/summary.md"
  echo '{}' > "build/plans/$stack/manifest.json"
fi
"""


@dataclass(frozen=True)
class Bench:
    """A source tree with stand-ins for the tools, and where they write down what was called."""

    source: Path
    tools: Path
    folder: Path

    def environ(self, name: str, *, fail: str = "") -> dict[str, str]:
        """Of one scenario, whose calls go to a file of its own."""
        return {
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "AWS_SESSION_TOKEN": SECRET,
            "MLOPS_TEST_TRACE": str(self.folder / f"{name}.trace"),
            "MLOPS_TEST_FAIL": fail,
        }

    def calls(self, name: str) -> list[dict[str, Any]]:
        file = self.folder / f"{name}.trace"
        records = file.read_text().split("\x1e")[:-1] if file.exists() else []
        found = [record.split("\x1f")[:-1] for record in records]
        calls = [{"role": role, "authors": authors, "call": call} for role, authors, *call in found]
        return [call for call in calls if call["call"] != ["make", "setup"]]


def make_bench(folder: Path) -> Bench:
    tools, source = folder / "tools", folder / "source"
    tools.mkdir(parents=True)
    (source / "scripts").mkdir(parents=True)
    (source / "scripts" / "reviewer.py").write_bytes((ROOT / "scripts" / "reviewer.py").read_bytes())
    (tools / "make").write_text(_TOOL)
    (tools / "make").chmod(0o755)
    return Bench(source, tools, folder)


def compare_calls(
    calls: list[dict[str, Any]],
    expected: list[tuple[str, str | None]],
    *,
    approvers: dict[str, str],
    build: str,
) -> list[str]:
    """What differs, in words; nothing when every call is as it should be."""
    told = {f"<{name}>": f"sha-of-{name}" for name in PLANS} | {"<build>": build}
    told |= {f"<{name}-approver>": approver for name, approver in approvers.items()}
    problems = []
    wanted = [([told.get(word, word) for word in line.split(" ")], role) for line, role in expected]
    for index in range(max(len(calls), len(wanted))):
        if index >= len(calls):
            problems.append(f"missing: {wanted[index][0]}")
        elif index >= len(wanted):
            problems.append(f"too much: {calls[index]['call']}")
        else:
            call, (line, role) = calls[index], wanted[index]
            if call["call"] != line:
                problems.append(f"called {call['call']}, not {line}")
            elif role not in (None, "*") and not call["role"].endswith(f"-{role}"):
                problems.append(f"called {line} as {call['role'] or 'nobody'}, not as {role}")
            elif role is None and call["role"]:
                problems.append(f"called {line} as {call['role']}, which needs no role")
    return problems


def run_groovy(folder: Path, runs: list[dict[str, Any]], *, timeout_s: int = 300) -> list[dict[str, Any]]:
    """What the model of Jenkins says of each run; `folder` is its own."""
    groovy, java = shutil.which("groovy"), shutil.which("java")
    if not groovy or not java:
        leave_out("groovy with Java", package="groovy")
    home = os.environ.get("JAVA_HOME") or str(Path(java).resolve().parents[1])
    command = [groovy, str(ROOT / "tests/ci/Declarative.groovy"), write_request(folder, runs)]
    return read_answers(command, cwd=folder, environ={**os.environ, "JAVA_HOME": home}, timeout_s=timeout_s)


def run_node(folder: Path, runs: list[dict[str, Any]], *, timeout_s: int = 300) -> list[dict[str, Any]]:
    """What the model of GitHub says of each run; `folder` is its own."""
    command = ["node", "--import", "./json_modules.mjs", "workflows.mjs", write_request(folder, runs)]
    return read_answers(command, cwd=install_modules(), environ=dict(os.environ), timeout_s=timeout_s)


def install_modules() -> Path:
    """The npm packages, of the versions and hashes in package-lock.json, and our own beside them."""
    if not shutil.which("node") or not shutil.which("npm"):
        leave_out("node with npm", package="nodejs npm")
    place = ROOT / "build" / "ci"
    place.mkdir(parents=True, exist_ok=True)
    ours = Path(__file__).parent
    # The suite's processes share the folder.
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        changed = {
            name
            for name in ("package.json", "package-lock.json", "workflows.mjs", "json_modules.mjs")
            if not (place / name).exists() or (place / name).read_text() != (ours / name).read_text()
        }
        for name in changed:
            shutil.copy(ours / name, place / name)
        stamp = place / "installed.json"
        if not stamp.exists() or stamp.read_text() != (ours / "package-lock.json").read_text():
            command = ["npm", "ci", "--prefix", str(place), "--silent", "--ignore-scripts"]
            subprocess.run(command, check=True)
            shutil.copy(ours / "package-lock.json", stamp)
    return place


def leave_out(what: str, *, package: str) -> NoReturn:
    if os.environ.get("MLOPS_REQUIRE_CI") == "1":
        pytest.fail(f"MLOPS_REQUIRE_CI=1, and there is no {what} (Debian: apt install {package})")
    pytest.skip(f"no {what} (Debian: apt install {package})")


def write_request(folder: Path, runs: list[dict[str, Any]]) -> str:
    request = folder / "request.json"
    request.write_text(json.dumps({"runs": runs}))
    return str(request)


def read_answers(
    command: list[str], *, cwd: Path, environ: dict[str, str], timeout_s: int
) -> list[dict[str, Any]]:
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
