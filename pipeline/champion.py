"""The champion: the model that was last released under an approval, and the rival of each candidate.

Flow: a release into production names it; a dataset upload keeps its exact bytes beside the run
(validate), the evaluation job scores both on the same holdout, and the judge demands that it did (judge).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.artefact import copy_version, hash_latest, read_json
from pipeline.errors import RunError
from pipeline.profile import Drift
from pipeline.runs_table import RunsTable

DEFAULT_METRIC = {"classification": "accuracy", "regression": "rmse"}


@dataclass(frozen=True)
class Champion:
    """The champion that a run was given to compare with; both are None where nothing was released yet."""

    run_id: str | None
    model_sha256: str | None


def folder(models_bucket: str, run_id: str) -> str:
    """Where a run keeps its rival: champion.json, and model.tar.gz if there is one."""
    return f"s3://{models_bucket}/runs/{run_id}/champion"


def find_champion(model: str, *, runs: RunsTable) -> Champion:
    """The champion of now. Raises: RunError if its run does not say where its model is."""
    run_id = runs.champion(model)
    if run_id is None:
        return Champion(None, None)
    run = runs.get(run_id)
    if not run.get("model_uri"):
        raise RunError(f"Run {run_id}, which production serves, does not say where its model is.")
    return Champion(run_id, run["model_sha256"])


def keep_champion(
    champion: Champion,
    *,
    beside: str,
    drift: Iterable[Drift],
    models_bucket: str,
    s3: Any,
    runs: RunsTable,
) -> None:
    """The champion's model, copied beside a run, with the drift of the run's dataset from its own.

    Raises: RunError if its model was changed.
    """
    key = f"runs/{beside}/champion"
    if champion.run_id:
        run = runs.get(champion.run_id)
        found = hash_latest(run["model_uri"], s3=s3)
        if found.sha256 != champion.model_sha256:
            raise RunError(
                f"The model of the champion {champion.run_id} at {run['model_uri']} has sha256 "
                f"{found.sha256}, but {champion.model_sha256} was judged: it was changed afterwards. "
                "Release another run."
            )
        copy_version(found.version, bucket=models_bucket, key=f"{key}/model.tar.gz", s3=s3)
    facts = {
        "run_id": champion.run_id,
        "model_sha256": champion.model_sha256,
        "drift": [asdict(one) for one in drift],
    }
    s3.put_object(
        Bucket=models_bucket,
        Key=f"{key}/champion.json",
        Body=json.dumps(facts, indent=2).encode(),
        ContentType="application/json",
    )


def read_champion(run_id: str, *, models_bucket: str, s3: Any) -> Champion:
    """The champion that `keep_champion` found for this run."""
    facts, _ = read_json(f"{folder(models_bucket, run_id)}/champion.json", s3=s3)
    return Champion(facts["run_id"], facts["model_sha256"])


def objections(
    evaluation: Mapping[str, Any], champion: Champion, *, model: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Gate and reason for all that speaks against a candidate beside the champion, by model.json's rule.

    The rule is model.schema.json's gates.champion; the interval was measured by the evaluation job.
    """
    rule = model["gates"].get("champion", {})
    require = rule.get("require", "not_shown_worse")
    if champion.run_id is None or require == "nothing":
        return
    told = evaluation.get("champion") or {}
    if told.get("model_sha256") != champion.model_sha256:
        beside = told.get("model_sha256") or "no champion"
        yield "champion", f"the evaluation is beside {beside}, not beside {champion.model_sha256}"
        return
    confidence = rule.get("confidence", 0.95)
    if told.get("confidence") != confidence:
        yield "champion", f"the comparison is of confidence {told.get('confidence')}, not of {confidence}"
    compared = {one["metric"]: one for one in told.get("comparisons", ())}
    for metric, limits in (rule.get("metrics") or {DEFAULT_METRIC[model["task"]]: {}}).items():
        name = f"champion/{metric}"
        if metric not in compared:
            yield name, f"{metric} was not compared with the champion's"
            continue
        reason = _shortfall(compared[metric], require=require, max_loss=limits.get("max_loss", 0.0))
        if reason:
            yield name, f"{metric} {reason} beside the champion {champion.run_id}"


def _shortfall(comparison: Mapping[str, Any], *, require: str, max_loss: float) -> str | None:
    low, high = comparison["low"], comparison["high"]
    # Written so that not-a-number falls short: it is neither above nor below anything.
    if require == "not_shown_worse" and not high >= -max_loss:
        return f"is worse by {-high:g} or more"
    if require == "shown_as_good" and not low >= -max_loss:
        return f"may be worse by {-low:g}"
    if require == "shown_better" and not low > 0:
        return "is not shown to be better"
    return None
