"""Whether each upload has exactly one outcome, whatever the event system does with its events.

    python benchmarks/exactly_once.py [--uploads 1000] [--most 100] [--seed 0] [--result FILE]

Datasets are put, uploaded in parts, copied and overwritten in a watched bucket of the local AWS. Each is
reported by 1 to `most` events, of S3's and of CloudTrail's route, late and in any order: most of them by one
or two, a few by nearly all (Zipf's law, exponent 1.5); a tenth of them by none at all. Every event starts the
real retraining state machine with its real functions; training and evaluation are programs of a few lines,
whose candidates miss a gate, so that the judge is the end. The reconciler passes by every two minutes of
simulated time. At the end each upload must have one run, judged or superseded by a newer version of its key;
each judged one a training job, an evaluation job and an entry of its dataset in the ledger, and each an entry
of its end there, and no more. Writes build/bench/exactly_once.json, or FILE.

Time is simulated by turns of two minutes: what belongs into a turn is done, in any order, then its end is
waited for. How fast the machine is changes nothing in the result.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployment import ROOT, write_result

from localaws import control
from localaws.settings import Settings
from pipeline.lambdas.reconcile import Route, reconcile
from pipeline.runs_table import RunsTable

TURN_S = 120
GRACE_TURNS = 1
LATEST_S = 900  # after its upload at which an event may come
FOUND_LIMIT_S = 300
UPLOADS_PER_TURN = 20
DROPPED = 0.1
AT_ONCE = 8  # executions; each function of AWS has a limit like it, and a laptop few cores
KINDS = ("put", "multipart", "copy", "overwrite")
DATASET = b"length,species\n1,cat\n2,hen\n"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Upload:
    """One upload as it is planned: when it is made and how, and when its events come (seconds)."""

    kind: str
    key: str
    at_s: float
    source: str
    events_s: list[float]
    event: dict[str, Any] = field(default_factory=dict)
    found_after_s: float | None = None


def draw(count: int, *, most: int, seed: int) -> list[Upload]:
    """The uploads, the earliest first."""
    chance = random.Random(seed)  # noqa: S311 - a plan, no secret
    span_s = max(1, count // UPLOADS_PER_TURN) * TURN_S
    dropped = set(chance.sample(range(count), k=round(count * DROPPED)))
    counts = range(1, most + 1)
    weights = [events**-1.5 for events in counts]
    keys = ["first.csv"]
    uploads = []
    for number, at_s in enumerate(sorted(chance.uniform(0, span_s) for _ in range(count))):
        kind = KINDS[number % len(KINDS)] if number else "put"
        key = chance.choice(keys) if kind == "overwrite" else f"{number}.csv" if number else keys[0]
        events = 0 if number in dropped else chance.choices(counts, weights)[0]
        late = [at_s + chance.uniform(0, LATEST_S) * chance.random() ** 2 for _ in range(events)]
        uploads.append(Upload(kind, key, at_s, chance.choice(keys), late))
        keys.append(key)
    return uploads


def below_the_gate(evaluate: str) -> str:
    """The stage's evaluation program with an accuracy that misses the gate."""
    assert "0.95" in evaluate
    return evaluate.replace("0.95", "0.5")


def upload(model: Any, plan: Upload) -> dict[str, Any]:
    """The event of an upload that is made as it is planned."""
    s3, bucket = model.aws.client("s3"), model.stage.buckets["data"]
    prefix = f"datasets/{model.name}/"
    place = {"Bucket": bucket, "Key": f"{prefix}{plan.key}"}
    if plan.kind == "copy":
        answer = s3.copy_object(**place, CopySource={"Bucket": bucket, "Key": f"{prefix}{plan.source}"})
    elif plan.kind == "multipart":
        upload_id = s3.create_multipart_upload(**place)["UploadId"]
        part = s3.upload_part(**place, UploadId=upload_id, PartNumber=1, Body=DATASET)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        answer = s3.complete_multipart_upload(**place, UploadId=upload_id, MultipartUpload=parts)
    else:
        answer = s3.put_object(**place, Body=DATASET)
    return {"bucket": bucket, "key": place["Key"], "version_id": answer["VersionId"]}


def report(plan: Upload, route: str) -> dict[str, Any]:
    """What the trigger's rule of this route passes on."""
    alice = "arn:aws:sts::123456789012:assumed-role/mlops-data-scientist/alice"
    return {**plan.event, "route": route, "uploaded_by": alice if route == "cloudtrail" else None}


def simulate(model: Any, uploads: list[Upload], *, seed: int) -> int:
    """Makes the uploads and delivers their events, turn by turn; the number of executions."""
    chance = random.Random(seed)  # noqa: S311 - an order, no secret
    last_s = max(plan.at_s for plan in uploads) + LATEST_S + 2 * TURN_S
    ends: list[datetime] = []
    started = 0
    for turn in range(int(last_s // TURN_S) + 1):
        begin_s, end_s = turn * TURN_S, (turn + 1) * TURN_S
        for plan in uploads:
            if begin_s <= plan.at_s < end_s:
                plan.event = upload(model, plan)
        ends.append(datetime.now(UTC))
        due = [
            report(plan, chance.choice(["s3", "cloudtrail"]))
            for plan in uploads
            for at_s in plan.events_s
            if begin_s <= at_s < end_s
        ]
        chance.shuffle(due)
        deliver(model, due)
        found = set(pass_by(model, until=ends[turn - GRACE_TURNS] if turn >= GRACE_TURNS else EPOCH))
        for plan in uploads:
            if plan.event and model.run_id(plan.event) in found and plan.found_after_s is None:
                plan.found_after_s = end_s - plan.at_s
        started += len(due) + len(found)
        print(f"minute {end_s // 60}: {started} executions", file=sys.stderr)
    return started


def deliver(model: Any, events: list[dict[str, Any]]) -> None:
    """An execution for each event, some at once; the end of all."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, len(events), AT_ONCE):
            some = events[first : first + AT_ONCE]
            list(pool.map(lambda event: model.start(model.retraining_arn, event), some))
            wait_for_all(model)


def pass_by(model: Any, *, until: datetime) -> Iterator[str]:
    """What the reconciler starts of all that was uploaded by then, some at once; the end of all."""
    started = reconcile(
        {model.name: Route(f"datasets/{model.name}/", model.retraining_arn)},
        bucket=model.stage.buckets["data"],
        since=EPOCH,
        until=until,
        s3=model.aws.client("s3"),
        states=model.aws.client("stepfunctions"),
        runs=RunsTable("stage-runs", dynamodb=model.aws.client("dynamodb")),
    )
    for number, name in enumerate(started, start=1):
        yield name
        if number % AT_ONCE == 0:
            wait_for_all(model)
    wait_for_all(model)


def wait_for_all(model: Any) -> None:
    """Until no execution of the retraining machine runs any more."""
    machines = model.aws.client("stepfunctions")
    deadline = time.monotonic() + 1800
    while machines.list_executions(
        stateMachineArn=model.retraining_arn, statusFilter="RUNNING", maxResults=1
    )["executions"]:
        if time.monotonic() > deadline:
            raise SystemExit("executions still run after half an hour")
        time.sleep(0.05)


def judge(model: Any, uploads: list[Upload]) -> dict[str, Any]:
    """What came of the uploads, and every way in which it is not exactly once."""
    runs = {run["run_id"]: run for run in model.stage.runs.all() if run["model"] == model.name}
    expected = [model.run_id(plan.event) for plan in uploads]
    status = Counter(runs[name]["status"] if name in runs else "none" for name in expected)
    judged = {name for name, run in runs.items() if run["status"] == "RejectedByGates"}
    newest = newest_versions(uploads)
    superseded = [
        plan for plan in uploads if runs.get(model.run_id(plan.event), {}).get("status") == "Superseded"
    ]
    ledger = Counter(
        (entry.body["run_id"], entry.body["status"] == "Accepted") for entry in model.stage.ledger()
    )
    sagemaker = model.aws.client("sagemaker")
    training = names(sagemaker, "list_training_jobs", "TrainingJob", model.name)
    processing = names(sagemaker, "list_processing_jobs", "ProcessingJob", model.name)
    dropped = [plan for plan in uploads if not plan.events_s]
    found = [plan.found_after_s for plan in dropped if plan.found_after_s is not None]
    wrong = {
        "uploads without one judged or superseded run": len(expected)
        - status["RejectedByGates"]
        - status["Superseded"],
        "runs of no upload": len(set(runs) - set(expected)),
        "runs without one training job": len(judged ^ set(training)) + len(training) - len(set(training)),
        "runs without one evaluation job": len({f"{name}-eval" for name in judged} ^ set(processing)),
        "runs without one end in the ledger": sum(ledger[name, False] != 1 for name in expected),
        "runs without one accepted dataset in the ledger": sum(ledger[name, True] != 1 for name in judged),
        "newest versions superseded": sum(plan in newest for plan in superseded),
        "dropped uploads not found in time": len(dropped) - sum(s <= FOUND_LIMIT_S for s in found),
    }
    for name in expected:
        run = runs.get(name, {"status": "none"})
        if run["status"] not in ("RejectedByGates", "Superseded") or ledger[name, False] != 1:
            told = f"{run['status']}: {run.get('reason')}; {ledger[name, False]} ends in the ledger"
            print(f"{name}: {told}", file=sys.stderr)
    return {
        "uploads": len(uploads),
        "kinds": dict(Counter(plan.kind for plan in uploads)),
        "outcomes": dict(status),
        "dropped": len(dropped),
        "found_after_s": {"limit": FOUND_LIMIT_S, "longest": round(max(found), 1) if found else None},
        "wrong": wrong,
        "passed": not any(wrong.values()),
    }


def newest_versions(uploads: list[Upload]) -> list[Upload]:
    by_key: dict[str, list[Upload]] = defaultdict(list)
    for plan in uploads:
        by_key[plan.key].append(plan)
    return [plans[-1] for plans in by_key.values()]


def names(sagemaker: Any, operation: str, kind: str, contains: str) -> list[str]:
    pages = sagemaker.get_paginator(operation).paginate(NameContains=contains)
    return [job[f"{kind}Name"] for page in pages for job in page[f"{kind}Summaries"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--most", type=int, default=100, help="events of an upload, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    begin = time.monotonic()
    # The machines without Terraform, as the contract tests have them.
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/contract")]
    stage, local = importlib.import_module("machine_stage"), importlib.import_module("local_aws")
    images, ports = importlib.import_module("process_image"), importlib.import_module("ports")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(ports.free_port(), Path(folder), "process")
        control.start(settings)
        try:
            aws = local.LocalAws(settings)
            aws.client("ecr").create_repository(repositoryName="bench", imageTagMutability="IMMUTABLE")
            programs = {**stage.PROGRAMS, "evaluate": below_the_gate(stage.EVALUATE)}
            reference = images.push_process_image(aws.registry(), "bench", "1", programs)
            model = stage.Model(stage.Stage(aws), f"{settings.registry}/{reference}")
            uploads = draw(options.uploads, most=options.most, seed=options.seed)
            executions = simulate(model, uploads, seed=options.seed)
            result = judge(model, uploads)
        finally:
            control.stop(settings)
    events = [len(plan.events_s) for plan in uploads]
    result |= {
        "seed": options.seed,
        "events": {"total": sum(events), "most of one upload": max(events)},
        "executions": executions,
        "seconds": round(time.monotonic() - begin),
    }
    if options.result:
        options.result.write_text(json.dumps(result))
    else:
        write_result("exactly_once", result)
    if not result["passed"]:
        raise SystemExit(f"not exactly once: {json.dumps(result['wrong'])}")


if __name__ == "__main__":
    main()
