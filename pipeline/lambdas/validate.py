"""Hold a dataset against its contract. Flow: dataset upload, second step.

Reads exactly the claimed version. A good dataset is copied to where the training job reads, and the
champion to where the evaluation job does; a bad one goes to quarantine, with a reason beside it. Nothing
else changes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from pipeline.artefact import CHUNK_BYTES, Version, copy_version, read_json
from pipeline.champion import find_champion, keep_champion
from pipeline.dataset import Contract, Reference, Report, check_dataset, parse_contract, read_holdout
from pipeline.lambdas import edge
from pipeline.runs_table import RunsTable

# Of whom nothing is known: CloudTrail's event, which alone names people, may come minutes after S3's.
UNKNOWN = "unknown"
SHOWN = 300


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """{run_id, model, bucket, key, version_id} -> {accepted, reason, *_sha256, rows, train_uri, notice}"""
    return validate(
        event,
        data_bucket=edge.settings().data_bucket,
        models_bucket=edge.settings().models_bucket,
        s3=edge.client("s3"),
        runs=edge.runs(),
        now=edge.now(),
    )


def validate(
    request: dict[str, Any],
    *,
    data_bucket: str,
    models_bucket: str,
    s3: Any,
    runs: RunsTable,
    now: datetime,
) -> dict[str, Any]:
    """The verdict on the dataset, with the address of the copy to train on when it is good."""
    run_id = request["run_id"]
    version = Version(bucket=request["bucket"], key=request["key"], version_id=request["version_id"])
    model, _ = read_json(f"s3://{models_bucket}/config/{request['model']}/model.json", s3=s3)
    body = s3.get_object(Bucket=version.bucket, Key=version.key, VersionId=version.version_id)["Body"]
    contract = parse_contract(model)
    champion = find_champion(request["model"], runs=runs)
    reference = _reference(
        request["model"], champion.run_id, contract=contract, models_bucket=models_bucket, s3=s3
    )
    report = check_dataset(body.iter_chunks(CHUNK_BYTES), contract=contract, reference=reference)
    runs.note(run_id, {"dataset_sha256": report.sha256, "rows": report.rows}, now=now)
    if report.accepted:
        keep_champion(
            champion, beside=run_id, drift=report.drift, models_bucket=models_bucket, s3=s3, runs=runs
        )
        s3.put_object(
            Bucket=models_bucket,
            Key=_profile_key(run_id),
            Body=json.dumps(report.profile).encode(),
            ContentType="application/json",
        )
        train_uri = copy_version(version, bucket=models_bucket, key=f"runs/{run_id}/train/data.csv", s3=s3)
        notice = None
    else:
        train_uri = None
        folder = f"quarantine/{request['model']}/{run_id}"
        _quarantine(version, report, bucket=data_bucket, folder=folder, s3=s3)
        notice = _notice(
            request, report, runs.get(run_id), reason_uri=f"s3://{data_bucket}/{folder}/reason.json"
        )
    return {
        "accepted": report.accepted,
        "reason": report.reason,
        "dataset_sha256": report.sha256,
        "rows": report.rows,
        "train_uri": train_uri,
        "notice": notice,
    }


def _reference(
    model: str, champion: str | None, *, contract: Contract, models_bucket: str, s3: Any
) -> Reference:
    holdout = s3.get_object(Bucket=models_bucket, Key=f"config/{model}/holdout.csv")["Body"]
    profile = None
    if champion:
        profile, _ = read_json(f"s3://{models_bucket}/{_profile_key(champion)}", s3=s3)
    return Reference(read_holdout(holdout.iter_chunks(CHUNK_BYTES), contract=contract), profile)


def _profile_key(run_id: str) -> str:
    return f"runs/{run_id}/train/profile.json"


def _quarantine(version: Version, report: Report, *, bucket: str, folder: str, s3: Any) -> None:
    copy_version(version, bucket=bucket, key=f"{folder}/{PurePosixPath(version.key).name}", s3=s3)
    reason = {
        "reason": report.reason,
        "dataset": dataclasses.asdict(version),
        "dataset_sha256": report.sha256,
        "size_bytes": report.size_bytes,
        "rows": report.rows,
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
    }
    s3.put_object(
        Bucket=bucket,
        Key=f"{folder}/reason.json",
        Body=json.dumps(reason, indent=2).encode(),
        ContentType="application/json",
    )


def _notice(
    request: dict[str, Any], report: Report, run: Mapping[str, Any], *, reason_uri: str
) -> dict[str, Any]:
    """What the uploader is told. `uploaded_by` is the person, as far as an event has named one by now."""
    first = report.problems[0]
    return {
        "event": "dataset refused",
        "run_id": request["run_id"],
        "model": request["model"],
        "uploaded_by": run.get("uploaded_by") or UNKNOWN,
        "bucket": request["bucket"],
        "key": request["key"],
        "version_id": request["version_id"],
        "reason_uri": reason_uri,
        "problems": len(report.problems),
        "first": {
            name: value[:SHOWN] if isinstance(value, str) else value
            for name, value in dataclasses.asdict(first).items()
        },
    }
