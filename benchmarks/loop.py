"""How long from a dataset put to a smoke-tested staging endpoint, and what of it is the pipeline's own.

    python benchmarks/loop.py [--runtime process|container ...] [--runs 5]

One kept demo per runtime; then the sample dataset is put again and again, each time a new version and so a
new run, which is rejected once it waits for approval. Training, evaluating and starting the server are
taken from the job's and the endpoint's own times; the rest is the pipeline's: events, state machines,
Lambdas, uploads, polling. Also: seconds until the local AWS answers, and its memory after everything is
applied. Writes build/bench/loop.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

from deployment import RESULTS, ROOT, Deployment, kept_demo, write_result
from processes import resident_mb, tree

from pipeline.artefact import Version
from pipeline.runs_table import RunsTable, run_id

MODEL = "iris"
RUN_LIMIT_S = 300.0
PORTS = {"process": 4720, "container": 4730}


def put_dataset(deployment: Deployment) -> tuple[str, float]:
    """The run's name, and the moment before the put."""
    names = deployment.names("staging")
    bucket, prefix = names.data_bucket, names.model(MODEL).dataset_prefix
    assert bucket
    assert prefix
    s3 = deployment.client("s3", profile="uploader")
    body = (ROOT / f"model_src/models/{MODEL}/train.csv").read_bytes()
    key = f"{prefix}bench.csv"
    started = time.time()
    answer = s3.put_object(Bucket=bucket, Key=key, Body=body)
    return run_id(MODEL, Version(bucket=bucket, key=key, version_id=answer["VersionId"])), started


def wait_until_smoke_tested(runs: RunsTable, run: str) -> dict[str, Any]:
    """The run item once it waits for approval, which it does after staging's smoke test."""
    deadline = time.monotonic() + RUN_LIMIT_S
    while time.monotonic() < deadline:
        item = next((item for item in runs.all() if item["run_id"] == run), {})
        if item.get("status") == "WaitingForApproval":
            return dict(item)
        if item.get("status") not in (None, "Running"):
            raise SystemExit(f"run {run} ended as {item['status']}: {item.get('reason')}")
        time.sleep(0.1)
    raise SystemExit(f"run {run} is not smoke-tested after {RUN_LIMIT_S:.0f} s")


def history(states: Any, execution_arn: str) -> list[dict[str, Any]]:
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    return [event for page in pages for event in page["events"]]


def moment(events: list[dict[str, Any]], kind: str, state: str) -> float:
    """When a state was first entered (`stateEntered`) or left (`stateExited`)."""
    for event in events:
        if event.get(f"{kind}EventDetails", {}).get("name") == state:
            return float(event["timestamp"].timestamp())
    raise SystemExit(f"the history has no {kind} of {state}")


def seconds_between(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


def server_start_seconds(deployment: Deployment, release_events: list[dict[str, Any]]) -> float:
    """From the end of the deploy call until the endpoint says that it is in service."""
    sagemaker = deployment.client("sagemaker", profile="admin")
    endpoint = deployment.names("staging").model(MODEL).endpoint
    in_service: datetime = sagemaker.describe_endpoint(EndpointName=endpoint)["LastModifiedTime"]
    return max(0.0, in_service.timestamp() - moment(release_events, "stateExited", "Deploy"))


def measure_run(deployment: Deployment) -> dict[str, float]:
    """Seconds of one run by where they went. The run is rejected afterwards."""
    states = deployment.client("stepfunctions", profile="admin")
    sagemaker = deployment.client("sagemaker", profile="admin")
    runs = RunsTable(
        deployment.names("staging").runs_table, dynamodb=deployment.client("dynamodb", profile="admin")
    )
    run, started = put_dataset(deployment)
    item = wait_until_smoke_tested(runs, run)
    total = moment(history(states, item["execution_arn"]), "stateEntered", "Gate") - started
    training = sagemaker.describe_training_job(TrainingJobName=run)
    evaluation = sagemaker.describe_processing_job(ProcessingJobName=f"{run}-eval")
    release = item["release_staging"]["execution_arn"]
    parts = {
        "training_s": seconds_between(training["TrainingStartTime"], training["TrainingEndTime"]),
        "evaluating_s": seconds_between(evaluation["ProcessingStartTime"], evaluation["ProcessingEndTime"]),
        "server_start_s": server_start_seconds(deployment, history(states, release)),
    }
    reject(deployment, item)
    return {"total_s": total, **parts, "rest_s": total - sum(parts.values())}


def reject(deployment: Deployment, item: dict[str, Any]) -> None:
    """Ends the run as a person would, so that runs do not pile up."""
    deployment.client("sagemaker", profile="approver").update_model_package(
        ModelPackageArn=item["model_package_arn"],
        ModelApprovalStatus="Rejected",
        ApprovalDescription="rejected by bob: measured, not wanted",
    )


def summarise(samples: list[dict[str, float]]) -> dict[str, Any]:
    medians = {name: round(statistics.median(s[name] for s in samples), 2) for name in samples[0]}
    return {"median": medians, "samples": [{k: round(v, 2) for k, v in s.items()} for s in samples]}


def memory(deployment: Deployment) -> dict[str, float]:
    """Megabytes: the server itself, and the jobs and endpoints it runs as its children."""
    server = deployment.server_pid()
    children = sum(resident_mb(pid) for pid in tree(server) - {server})
    return {"server_mb": round(resident_mb(server), 1), "endpoints_mb": round(children, 1)}


def start_seconds(port: int, tries: int = 5) -> list[float]:
    """Seconds until `localaws up` returns, which it does once the server answers."""
    state = ["--state-dir", str(RESULTS / "start")]
    found = []
    for _ in range(tries):
        started = time.monotonic()
        run_localaws("up", "--port", str(port), "--runtime", "process", *state)
        found.append(round(time.monotonic() - started, 2))
        run_localaws("down", *state)
    return found


def run_localaws(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "localaws", *arguments], cwd=ROOT, check=True, capture_output=True)


def measure(runtime: str, runs: int) -> dict[str, Any]:
    deployment = Deployment(RESULTS / f"loop-{runtime}", PORTS[runtime], runtime)
    with kept_demo(deployment):
        samples = [measure_run(deployment) for _ in range(runs)]
        return {**summarise(samples), "memory": memory(deployment)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runtime", action="append", choices=list(PORTS), help="again for both (default)")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    starts = start_seconds(PORTS["process"])
    results = {runtime: measure(runtime, arguments.runs) for runtime in arguments.runtime or list(PORTS)}
    write_result("loop", {"local_aws_start_s": starts, **results})


if __name__ == "__main__":
    main()
