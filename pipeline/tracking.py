"""Runs mirrored into an MLflow tracking server, for who compares them there. Flow 2, from outside.

The jobs have no network, so that the command line tells MLflow what AWS knows of a run. Nothing is decided by
it: a tracking server that is down, or was never there, changes no delivery.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.artefact import parse_uri
from pipeline.errors import SetupError, TrackingError, UsageError
from pipeline.lineage import describe_run
from pipeline.model_archive import CARD_FILE, read_members

if TYPE_CHECKING:
    import tarfile
else:
    # The standard library's has no filters before 3.11.4, and Debian 12's Python is older.
    from backports import tarfile

URI_VARIABLE = "MLFLOW_TRACKING_URI"
RUN_TAG, BORN_TAG = "mlops.run", "mlops.tracked_at"
EVALUATION_FILE, PAGE_FILE, LINEAGE_FILE = "evaluation.json", "report.html", "lineage.json"
# Older servers take 500 characters of a parameter; a longer one stands in lineage.json as a whole.
VALUE_LIMIT = 500
BATCH = 100
# What MLflow shows of a run, by how ours stands; all others have ended well, whatever the verdict.
STATUSES = {
    "Running": "RUNNING",
    "Failed": "FAILED",
    "Quarantined": "FAILED",
    "Superseded": "KILLED",
    "Stopped": "KILLED",
}
# MLflow's own would keep a delivery waiting for minutes, and tell its makers of each use. Seconds.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Standard output is the command's.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Facts:
    """All that MLflow is told of one run. Times are milliseconds since 1970; without `ended_ms` it runs.

    Of the files, those in `faded` hold less than they did once, and replace none.
    """

    run_id: str
    status: str
    started_ms: int
    ended_ms: int | None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    faded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Tracked:
    """A run's counterpart in MLflow. `changed` is False where it knew everything."""

    run_id: str
    experiment: str
    mlflow_run_id: str
    changed: bool


@dataclass(frozen=True)
class Sources:
    """The services that know of a run."""

    s3: Any
    sagemaker: Any
    states: Any


def tracking_uri(environ: Mapping[str, str]) -> str | None:
    """Where the tracking server is; None where nobody said."""
    return environ.get(URI_VARIABLE, "").strip() or None


def open_client(environ: Mapping[str, str]) -> Any:
    """MLflow's client. Raises: UsageError without a good address, SetupError where the library is missing."""
    uri = tracking_uri(environ)
    if uri is None:
        raise UsageError(f"{URI_VARIABLE} is not set. Set it to the tracking server's address.")
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise SetupError(
            "MLflow's client is not installed. Install it with this package's extra `mlflow` "
            "(pip install 'mlops-pipeline[mlflow]'), or mlflow-skinny by itself."
        ) from error
    try:
        return MlflowClient(tracking_uri=uri)
    except (MlflowException, ValueError) as error:
        # Not in the library's words, which repeat it, with a password that no scheme gives away.
        raise UsageError(
            f"{URI_VARIABLE} is no address that MLflow can use. Set it to the tracking server's, "
            "as https://mlflow.example.com."
        ) from error


def conceal(error: Exception) -> str:
    """What the error says in one line, its addresses without user and password."""
    return " ".join(_without_user(word) for word in str(error).split())


def _without_user(word: str) -> str:
    scheme, slashes, address = word.partition("://")
    return scheme + slashes + address.rpartition("@")[2]


def read_facts(run: Mapping[str, Any], sources: Sources) -> Facts:
    """What is known of the run by now, from its item, its registry entry, its evaluation and its jobs.

    Raises: TrackingError where one of them is gone or cannot be read.
    """
    try:
        return _gather_facts(run, sources)
    except (tarfile.TarError, ValueError, RecursionError, OSError, BotoCoreError, ClientError) as error:
        raise TrackingError(f"What AWS has of run {run['run_id']} cannot be read: {error}") from error


def _gather_facts(run: Mapping[str, Any], sources: Sources) -> Facts:
    package = _read_package(run, sources.sagemaker)
    files, absent = _read_evaluation(run, sources.s3)
    evaluation = json.loads(files.get(EVALUATION_FILE, b"{}"))
    job = _read_job(run, sources.states)
    card = _read_card(run, sources.s3)
    told = {**_measured(run, evaluation), **_beside_champion(evaluation)}
    lineage = {
        "run": describe_run(run),
        "model_package": package,
        "training_job": job or {},
        "training": {name: card.get(name) for name in ("estimator", "hyperparameters", "versions")},
        "releases": {name: value for name, value in run.items() if name.startswith("release_")},
    }
    return Facts(
        run_id=run["run_id"],
        status=STATUSES.get(run["status"], "FINISHED"),
        started_ms=_milliseconds(run["created_at"]),
        ended_ms=None if run["status"] == "Running" else _milliseconds(run["updated_at"]),
        params=_params(run, package, job or {}, card),
        metrics={name: value for name, value in told.items() if math.isfinite(value)},
        tags=_tags(run, evaluation, told, absent),
        files={
            **files,
            LINEAGE_FILE: (json.dumps(lineage, indent=2, sort_keys=True, default=str) + "\n").encode(),
        },
        faded=frozenset([LINEAGE_FILE] if job is None else []),
    )


def track(client: Any, facts: Facts, *, experiment: str) -> Tracked:
    """The run's one counterpart, with all of its facts; what MLflow knows already is not told again.

    Raises: TrackingError when the server does not answer or refuses.
    """
    from mlflow.exceptions import MlflowException

    try:
        experiment_id = _find_experiment(client, experiment)
        found, born = _find_run(client, experiment_id, facts)
        told = [
            _tell_facts(client, found, facts),
            *[_tell_file(client, found, name, facts) for name in facts.files],
            _tell_end(client, found, facts),
        ]
    except (MlflowException, OSError, Boto3Error, BotoCoreError, ClientError) as error:
        raise TrackingError(f"MLflow does not take run {facts.run_id}: {conceal(error)}") from error
    return Tracked(facts.run_id, experiment, found.info.run_id, changed=born or any(told))


def _find_experiment(client: Any, name: str) -> str:
    """The experiment's id; it is made where there is none. Raises: TrackingError where it was deleted."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            # Somebody else made it in between.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        raise TrackingError(f"MLflow's experiment {name} was deleted. Restore it, or remove it for good.")
    return str(found.experiment_id)


def _find_run(client: Any, experiment_id: str, facts: Facts) -> tuple[Any, bool]:
    """The MLflow run of this run, and whether it is new. Of two made at once, the first one stays."""
    if found := _search(client, experiment_id, facts.run_id):
        kept, born = found[0], False
    else:
        tags = {RUN_TAG: facts.run_id, BORN_TAG: datetime.now(UTC).isoformat()}
        client.create_run(experiment_id, start_time=facts.started_ms, tags=tags, run_name=facts.run_id)
        found = _search(client, experiment_id, facts.run_id)
        kept, born = found[0], True
    for double in found[1:]:
        client.delete_run(double.info.run_id)
    return kept, born


def _search(client: Any, experiment_id: str, run_id: str) -> list[Any]:
    found = client.search_runs([experiment_id], filter_string=f"tags.`{RUN_TAG}` = '{run_id}'")
    return sorted(found, key=lambda run: (run.data.tags.get(BORN_TAG, ""), run.info.run_id))


def _tell_facts(client: Any, found: Any, facts: Facts) -> bool:
    from mlflow.entities import Metric, Param, RunTag

    known = found.data
    params = [Param(name, value) for name, value in facts.params.items() if known.params.get(name) != value]
    tags = [RunTag(name, value) for name, value in facts.tags.items() if known.tags.get(name) != value]
    metrics = [
        Metric(name, value, facts.started_ms, 0)
        for name, value in facts.metrics.items()
        if known.metrics.get(name) != value
    ]
    run_id = found.info.run_id
    for some in _batches(params):
        client.log_batch(run_id, params=some)
    for some in _batches(metrics):
        client.log_batch(run_id, metrics=some)
    for some in _batches(tags):
        client.log_batch(run_id, tags=some)
    return bool(params or tags or metrics)


def _tell_file(client: Any, found: Any, name: str, facts: Facts) -> bool:
    """Whether the file was new. Its hash is told after it, so that a half-written one is written again."""
    content = facts.files[name]
    tag, sha256 = f"mlops.sha256.{name}", hashlib.sha256(content).hexdigest()
    known = found.data.tags.get(tag)
    if known == sha256 or (known and name in facts.faded):
        return False
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        client.log_artifact(found.info.run_id, str(file))
    client.set_tag(found.info.run_id, tag, sha256)
    return True


def _tell_end(client: Any, found: Any, facts: Facts) -> bool:
    if found.info.status == facts.status:
        return False
    if facts.ended_ms is None:
        client.update_run(found.info.run_id, status=facts.status)
    else:
        client.set_terminated(found.info.run_id, status=facts.status, end_time=facts.ended_ms)
    return True


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _read_package(run: Mapping[str, Any], sagemaker: Any) -> dict[str, str]:
    if not run.get("model_package_arn"):
        return {}
    package = sagemaker.describe_model_package(ModelPackageName=run["model_package_arn"])
    return dict(package["CustomerMetadataProperties"])


def _read_evaluation(run: Mapping[str, Any], s3: Any) -> tuple[dict[str, bytes], list[str]]:
    """The files that the evaluation job left, and the names of those that it did not."""
    if not run.get("model_uri"):
        return {}, []
    bucket, _ = parse_uri(run["model_uri"])
    files, absent = {}, []
    for name in (EVALUATION_FILE, PAGE_FILE):
        try:
            answer = s3.get_object(Bucket=bucket, Key=f"runs/{run['run_id']}/evaluation/{name}")
        except ClientError as error:
            # AccessDenied is S3's word for what is not there, to who may not list. The numbers must be.
            if name == EVALUATION_FILE or error.response["Error"]["Code"] not in (
                "NoSuchKey",
                "AccessDenied",
            ):
                raise
            absent.append(name)
        else:
            files[name] = answer["Body"].read()
    return files, absent


def _read_job(run: Mapping[str, Any], states: Any) -> dict[str, Any] | None:
    """What the last training job was asked for, as the execution tells; None after AWS's 90 days."""
    try:
        pages = states.get_paginator("get_execution_history").paginate(executionArn=run["execution_arn"])
        events = [event for page in pages for event in page["events"]]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
            raise
        return None
    scheduled = [
        event["taskScheduledEventDetails"] for event in events if "taskScheduledEventDetails" in event
    ]
    requests = [
        json.loads(task["parameters"])
        for task in scheduled
        if task["resource"].startswith("createTrainingJob")
    ]
    return requests[-1] if requests else {}


def _read_card(run: Mapping[str, Any], s3: Any) -> dict[str, Any]:
    """What the trainer says of the model; nothing of an image that puts no model.json beside its model."""
    if not run.get("model_uri"):
        return {}
    bucket, key = parse_uri(run["model_uri"])
    with tarfile.open(fileobj=s3.get_object(Bucket=bucket, Key=key)["Body"], mode="r|gz") as archive:
        _, content = next(read_members(archive, [CARD_FILE]), (CARD_FILE, b"{}"))
    card = json.loads(content)
    return card if isinstance(card, dict) else {}


def _params(
    run: Mapping[str, Any], package: Mapping[str, str], job: Mapping[str, Any], card: Mapping[str, Any]
) -> dict[str, str]:
    resources, hyperparameters = job.get("ResourceConfig", {}), card.get("hyperparameters")
    found = {
        "dataset": f"s3://{run['bucket']}/{run['key']}",
        "dataset_version_id": run["version_id"],
        "dataset_sha256": run.get("dataset_sha256"),
        "dataset_rows": run.get("rows"),
        "commit": package.get("commit"),
        "image_digest": package.get("image_digest"),
        "training_image_digest": package.get("training_image_digest"),
        "instance_type": resources.get("InstanceType"),
        "instance_count": resources.get("InstanceCount"),
        "spot": job.get("EnableManagedSpotTraining", False) if job else None,
        "estimator": card.get("estimator"),
        **{
            f"hyperparameter {_key(name)}": value
            for name, value in (hyperparameters if isinstance(hyperparameters, dict) else {}).items()
        },
    }
    return {name: _shorten(value) for name, value in found.items() if value is not None}


def _shorten(value: object) -> str:
    text = str(value)
    if len(text) <= VALUE_LIMIT:
        return text
    tail = f"... ({len(text)} characters)"
    return text[: VALUE_LIMIT - len(tail)] + tail


def _measured(run: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The candidate's numbers, by their names in the gates."""
    by_class = {
        _key(f"{label}/{name}"): value
        for label, values in evaluation.get("classes", {}).items()
        for name, value in values.items()
    }
    others = {
        "parity": (run.get("parity") or {}).get("difference"),
        "latency_ms": evaluation.get("latency", {}).get("median_ms"),
        "size_bytes": evaluation.get("size", {}).get("bytes"),
    }
    found = {**(run.get("metrics") or {}), **by_class, **others}
    return {_key(name): float(value) for name, value in found.items() if isinstance(value, int | float)}


def _beside_champion(evaluation: Mapping[str, Any]) -> dict[str, float]:
    champion = evaluation.get("champion") or {}
    found = {"champion/latency_ms": champion.get("latency_ms")}
    for compared in champion.get("comparisons", []):
        name = compared["metric"]
        found |= {f"champion/{name}": compared.get("champion")}
        found |= {f"gain/{name}/{part}": compared.get(part) for part in ("gain", "low", "high")}
    return {_key(name): float(value) for name, value in found.items() if isinstance(value, int | float)}


def _key(name: str) -> str:
    """The name with what MLflow allows in a metric's only."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-. /") else "_" for letter in name
    )


def _tags(
    run: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    measured: Mapping[str, float],
    absent: Sequence[str],
) -> dict[str, str]:
    failed = [str(gate["name"]) for gate in evaluation.get("gates", []) if gate.get("passed") is not True]
    odd = [f"{name}={value}" for name, value in sorted(measured.items()) if not math.isfinite(value)]
    releases = {name: value["status"] for name, value in run.items() if name.startswith("release_")}
    found = {
        **{
            name: run.get(name)
            for name in ("model", "status", "reason", "uploaded_by", "route", "execution_arn")
        },
        **{
            name: run.get(name)
            for name in ("model_uri", "model_sha256", "champion_run_id", "model_package_arn")
        },
        **releases,
        "gates_failed": ", ".join(failed),
        "not_finite": ", ".join(odd),
        "absent": ", ".join(absent),
    }
    return {f"mlops.{name}": _shorten(value) for name, value in found.items() if value}


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
