"""Fifty of the thousand uploads of `benchmarks/exactly_once.py`, with fewer events each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_each_upload_has_one_outcome_whatever_becomes_of_its_events(tmp_path: Path) -> None:
    result = tmp_path / "exactly_once.json"
    program = [sys.executable, str(ROOT / "benchmarks/exactly_once.py"), "--uploads", "50", "--most", "4"]

    done = subprocess.run(
        [*program, "--result", str(result)], capture_output=True, text=True, timeout=1200, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(result.read_text())
    assert set(found["outcomes"]) == {"RejectedByGates", "Superseded"}
    assert sum(found["outcomes"].values()) == found["uploads"] == 50
    assert found["dropped"] == 5
    assert found["executions"] > found["events"]["total"] > 50
