"""The way back: environments side by side, then core, then bootstrap; run-time resources go first."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tenacity import Retrying, retry_if_exception, stop_after_attempt

from pipeline.aws import Aws
from pipeline.bootstrap import destroy_bootstrap
from pipeline.cleanup import (
    Resource,
    empty_bucket,
    empty_buckets,
    environment_prefix,
    find_resources,
    is_there,
    remove_images,
    remove_job_logs,
    remove_log_groups,
    remove_runtime_resources,
    stop_trails,
)
from pipeline.errors import UsageError
from pipeline.runs_table import RunsTable
from pipeline.settings import ENVIRONMENTS, Environment
from pipeline.stack import BOOTSTRAP, CORE, Stack, Workshop, destroy_stack, read_outputs
from pipeline.terraform import Applied, measure_waiting


@dataclass(frozen=True)
class Operated:
    """How long one stack's destroy took, and how much of it the AWS provider was only waiting."""

    stack: str
    seconds: float
    resources: int
    provider_waiting_s: float


@dataclass(frozen=True)
class Torn:
    operations: tuple[Operated, ...]
    left_over: tuple[Resource, ...]


def pick_targets(
    root: Literal["core", "environment"], environment: Environment, *, everything: bool
) -> tuple[Stack, ...]:
    """The stacks to destroy."""
    if everything:
        return (*(Stack("environment", name) for name in ENVIRONMENTS), CORE, BOOTSTRAP)
    return (CORE,) if root == "core" else (Stack("environment", environment),)


def check_confirmation(targets: Sequence[Stack], confirm: str) -> None:
    """Production is destroyed only by its name written out, and so is core with the ledger in it."""
    if any(target.environment == "production" for target in targets):
        if confirm != "production":
            raise UsageError(
                "This destroys production and its data. Add `--confirm production` if it is meant."
            )
    elif CORE in targets and confirm != "core":
        raise UsageError(
            "This destroys the ledger, every image and the keys. Add `--confirm core` if it is meant."
        )


def tear_down(workshop: Workshop, aws: Aws, targets: Sequence[Stack]) -> Torn:
    """Destroys the targets and looks for what is left of them."""
    environments = [target for target in targets if target.environment]
    if CORE in targets and not environments:
        _refuse_orphans(workshop, aws)
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(len(environments), 1)) as pool:
        done = list(pool.map(lambda target: _tear_down_environment(workshop, aws, target), environments))
    if CORE in targets:
        done.append(_tear_down_core(workshop, aws))
    if BOOTSTRAP in targets:
        s3 = aws.client("s3")
        done.append(destroy_bootstrap(workshop, s3, empty_bucket=lambda bucket: empty_bucket(s3, bucket)))
    operations = tuple(
        describe_operation(target, applied) for target, applied in zip(targets, done, strict=True)
    )
    return Torn(operations, tuple(_find_left_over(workshop, aws, targets)))


def describe_operation(target: Stack, applied: Applied) -> Operated:
    return Operated(
        stack=target.name,
        seconds=round(applied.seconds, 1),
        resources=len(applied.operations),
        provider_waiting_s=round(measure_waiting(applied.operations), 1),
    )


def _tear_down_environment(workshop: Workshop, aws: Aws, target: Stack) -> Applied:
    prefix = environment_prefix(workshop.settings, target.environment)
    outputs = read_outputs(workshop, target)
    stop_trails(aws.client("cloudtrail"), prefix)
    remove_runtime_resources(aws, prefix, report=workshop.report)
    # Runs belong to the environment that retrains; the others only read its table. Where that is gone, a
    # destroy that died has been here, and the logs went before it.
    own = outputs.get("pipeline", {"promotes_from": ""})
    if own["promotes_from"] is None and is_there(aws, "table", own["runs_table"]):
        runs = RunsTable(own["runs_table"], dynamodb=aws.client("dynamodb")).all()
        remove_job_logs(aws.client("logs"), [run["run_id"] for run in runs])
    applied = _destroy_patiently(workshop, aws, target)
    # After the destroy, because a function that was still running makes its log group anew.
    remove_log_groups(aws, prefix)
    return applied


def _destroy_patiently(workshop: Workshop, aws: Aws, target: Stack) -> Applied:
    """Destroys once more where a bucket had filled again: a stopped trail delivers for some minutes."""
    prefix = environment_prefix(workshop.settings, target.environment)
    trying = Retrying(
        retry=retry_if_exception(lambda error: "BucketNotEmpty" in str(error)),
        stop=stop_after_attempt(3),
        before_sleep=lambda _state: empty_buckets(aws, prefix),
        reraise=True,
    )
    return trying(lambda: destroy_stack(workshop, target))


def _tear_down_core(workshop: Workshop, aws: Aws) -> Applied:
    outputs = read_outputs(workshop, CORE)
    # The state may still name what a destroy that died has removed.
    if "ledger_bucket" in outputs and is_there(aws, "bucket", outputs["ledger_bucket"]):
        empty_bucket(aws.client("s3"), outputs["ledger_bucket"])
    for url in outputs.get("repository_urls", {}).values():
        if is_there(aws, "repository", url.partition("/")[2]):
            remove_images(aws.client("ecr"), url.partition("/")[2])
    return destroy_stack(workshop, CORE)


def _refuse_orphans(workshop: Workshop, aws: Aws) -> None:
    """Without core an environment can neither be used nor destroyed."""
    for name in ENVIRONMENTS:
        if find_resources(aws, environment_prefix(workshop.settings, name)):
            raise UsageError(f"{name} still exists and needs core. Run `mlops destroy --env {name}` first.")


def _find_left_over(workshop: Workshop, aws: Aws, targets: Sequence[Stack]) -> list[Resource]:
    settings = workshop.settings
    if BOOTSTRAP in targets:
        return find_resources(aws, environment_prefix(settings, None))
    names = [target.environment for target in targets if target.environment]
    return [found for name in names for found in find_resources(aws, environment_prefix(settings, name))]
