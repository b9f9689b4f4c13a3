"""check-image: SageMaker's container contract, for anybody's image."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.desk import Desk, Json
from pipeline.conformance import report
from pipeline.conformance.catalogue import Part, choose_checks
from pipeline.conformance.check import Result
from pipeline.conformance.containers import ContainerRuntime, telling_engine_errors
from pipeline.conformance.executor import run_checks
from pipeline.conformance.limits import Limits
from pipeline.conformance.processes import ProcessRuntime
from pipeline.conformance.program import Runtime
from pipeline.conformance.sample import read_sample
from pipeline.conformance.subject import Material, Subject
from pipeline.engine import find_engine
from pipeline.errors import SetupError, UsageError

_ENGINE_TIMEOUT_S = 600


def check_image(
    image: Annotated[
        str, typer.Argument(help="An image of the engine; a program folder with --runtime process.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(exists=True, help="What is served: model.tar.gz or a folder, seen at /opt/ml/model."),
    ] = None,
    payload: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A request that is known to be good.")
    ] = None,
    content_type: Annotated[
        str | None, typer.Option(help="The payload's type, where .csv, .json or .jsonl does not tell.")
    ] = None,
    test_dir: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="A training job laid out as /opt/ml, to check `train`."
        ),
    ] = None,
    part: Annotated[Part, typer.Option(help="What the image is for.")] = "all",
    only: Annotated[list[str] | None, typer.Option(help="A check's id; may be repeated.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="A check's id; may be repeated.")] = None,
    runtime: Annotated[
        Literal["container", "process"],
        typer.Option(help="process: IMAGE is a folder with `serve` and `train`, run as the local AWS does."),
    ] = "container",
    healthy_within: Annotated[
        float, typer.Option(min=1, max=480, help="Seconds until /ping is 200; SageMaker waits 480.")
    ] = Limits.healthy_s,
    train_within: Annotated[float, typer.Option(min=1, help="Seconds for one training.")] = Limits.train_s,
    strict: Annotated[bool, typer.Option("--strict", help="Fail for a `should`, too.")] = False,
    junit: Annotated[
        Path | None, typer.Option(dir_okay=False, writable=True, help="Also write JUnit's XML here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check an image against SageMaker's container contract. Ends with 12 if a `must` fails."""
    desk = Desk(as_json=as_json)
    if junit:
        _make_folder(junit)
    checks = choose_checks(part=part, only=only or (), skip=skip or ())
    material = Material(model, read_sample(payload, content_type) if payload else None, test_dir)
    limits = replace(Limits(), healthy_s=healthy_within, train_s=train_within)
    subject = Subject(_open_runtime(runtime, image), material, limits)

    def hear(result: Result) -> None:
        desk.report(f"{result.status:>5}  {result.check.id} ({result.seconds:.1f} s)")

    with telling_engine_errors():
        try:
            subject.prepare()
            results = run_checks(checks, subject, report=hear)
        finally:
            subject.close()
    if junit:
        junit.write_bytes(report.to_junit(results, image=image))
    desk.show(
        report.to_json(results, image=image, runtime=runtime),
        text=report.to_table(results, image=image, runtime=runtime),
    )
    report.check_results(results, image, strict=strict)


def _open_runtime(name: Literal["container", "process"], image: str) -> Runtime:
    if name == "process":
        return ProcessRuntime(Path(image))
    engine, detail = find_engine()
    if engine is None:
        raise SetupError(
            f"No Docker engine answers ({detail}). Start one, or give a program folder and --runtime process."
        )
    # The engine's client waits 3 s only while it is looked for.
    engine.api.timeout = _ENGINE_TIMEOUT_S
    return ContainerRuntime(engine, image)


def _make_folder(file: Path) -> None:
    """Before an examination of minutes whose report could not be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--junit {file}: its folder cannot be made: {error.strerror}.") from error
    if not os.access(file.parent, os.W_OK):
        raise UsageError(f"--junit {file}: nothing can be written to {file.parent}.")
