"""How long `mlops demo` takes, step by step, and how often it succeeds.

    python benchmarks/demo.py [--runs 5] [--runtime auto|process|container]

While the demo runs, a watcher looks every 0.1 s whether the demo, Terraform, the provider or the local AWS
used the CPU. Intervals in which none did are counted as waiting: nearly all of it is the AWS provider
sleeping between two looks at a resource. `slow_operations_s` is the demo's own, wider measure: seconds with a
Terraform operation of 5 s or longer under way. Writes build/bench/demo.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from deployment import DEMO_LIMIT_S, MLOPS, RESULTS, ROOT, Deployment, write_result
from processes import cpu_seconds, tree

INTERVAL_S = 0.1
# One clock tick: less cannot be told from nothing.
IDLE_CPU_S = 0.011
PORT = 4736


@dataclass
class Watcher:
    """Notes, until stopped, at which seconds nothing of the demo used the CPU."""

    deployment: Deployment
    demo_pid: int
    idle_at: list[float] = field(default_factory=list)

    def watch(self, stop: threading.Event) -> None:
        started = time.monotonic()
        before = self._used()
        while not stop.wait(INTERVAL_S):
            now = self._used()
            used = sum(max(0.0, seconds - before.get(pid, 0.0)) for pid, seconds in now.items())
            if used < IDLE_CPU_S:
                self.idle_at.append(time.monotonic() - started)
            before = now

    def _used(self) -> dict[int, float]:
        return {pid: cpu_seconds(pid) for root in self._roots() for pid in tree(root)}

    def _roots(self) -> list[int]:
        try:
            return [self.demo_pid, self.deployment.server_pid()]
        except (OSError, ValueError, KeyError):  # the local AWS is not up yet, or gone already
            return [self.demo_pid]


def run_demo(deployment: Deployment) -> dict[str, Any]:
    """Exit code, seconds, each step's seconds and how much of it was waiting."""
    record = deployment.build / "demo.json"
    record.unlink(missing_ok=True)
    command = [MLOPS, "demo", "--yes", "--runtime", deployment.runtime, "--port", str(deployment.port)]
    started = time.monotonic()
    log = RESULTS / "demo.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        demo = subprocess.Popen(
            command, cwd=ROOT, env=deployment.environment(), stdout=out, stderr=subprocess.STDOUT
        )
        watcher, stop = Watcher(deployment, demo.pid), threading.Event()
        thread = threading.Thread(target=watcher.watch, args=(stop,))
        thread.start()
        try:
            exit_code = demo.wait(timeout=DEMO_LIMIT_S)
        finally:
            stop.set()
            thread.join()
    seconds = time.monotonic() - started
    told = json.loads(record.read_text()) if record.exists() else {}
    return {
        "exit_code": exit_code,
        "seconds": round(seconds, 1),
        "waiting_s": round(len(watcher.idle_at) * INTERVAL_S, 1),
        "slow_operations_s": told.get("provider_waiting_total_s"),
        "left_over": told.get("left_over"),
        "steps": add_waiting(told.get("steps", []), watcher.idle_at),
    }


def add_waiting(steps: list[dict[str, Any]], idle_at: list[float]) -> list[dict[str, Any]]:
    """The steps, each with the waiting that fell into it; they follow one another without gaps."""
    described, begin = [], 0.0
    for step in steps:
        end = begin + float(step["seconds"])
        waiting = sum(1 for second in idle_at if begin <= second < end) * INTERVAL_S
        described.append({**step, "waiting_s": round(waiting, 1)})
        begin = end
    return described


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--runtime", default="auto", choices=["auto", "process", "container"])
    arguments = parser.parse_args()
    deployment = Deployment(RESULTS / "demo", PORT, arguments.runtime)
    runs = []
    for number in range(arguments.runs):
        runs.append(run_demo(deployment))
        print(f"demo {number + 1}: exit code {runs[-1]['exit_code']}, {runs[-1]['seconds']} s", flush=True)
    succeeded = [run for run in runs if run["exit_code"] == 0]
    write_result(
        "demo",
        {
            "runtime": deployment.demo_record()["runtime"],
            "succeeded": f"{len(succeeded)} of {len(runs)}",
            "median_s": statistics.median(run["seconds"] for run in succeeded) if succeeded else None,
            "median_waiting_s": statistics.median(run["waiting_s"] for run in succeeded)
            if succeeded
            else None,
            "runs": runs,
        },
    )
    raise SystemExit(0 if len(succeeded) == len(runs) else 1)


if __name__ == "__main__":
    main()
