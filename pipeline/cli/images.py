"""build and push: flow 1's image commands."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline import contract
from pipeline import engine as engines
from pipeline import image as images
from pipeline.cli.desk import Desk, DryRun, Json, Model
from pipeline.commit import read_created, read_source
from pipeline.errors import BuildError
from pipeline.registry import Repository
from pipeline.settings import TARGETS, pick_model
from pipeline.toolchain import read_setup

EngineOption = Annotated[
    engines.EngineChoice,
    typer.Option(help="docker demands an engine; none builds without; auto takes one if it answers."),
]


def build(
    model: Model = None,
    engine: EngineOption = "auto",
    base_image: Annotated[
        str | None, typer.Option(envvar="MLOPS_BASE_IMAGE", help="The image to build on.")
    ] = None,
    data_input: Annotated[
        str | None,
        typer.Option(help="Sample data in the image, by its path in the checkout; only with an engine."),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Let the engine use no earlier build.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Build both images of every model, or of one: training, and the slim serving."""
    desk = Desk(as_json=as_json)
    record = read_setup(desk.settings.checkout)
    base = base_image or record.base_image
    options = images.BuildOptions(
        commit=desk.commit,
        created=read_created(desk.settings.checkout, os.environ),
        source=read_source(desk.settings.checkout, os.environ),
        base_image=base,
        data_input=data_input,
        no_cache=no_cache,
    )
    wanted = [pick_model(desk.settings, model)] if model else desk.settings.models
    if dry_run:
        requests = [
            images.build_request(desk.settings, name, target, options=options)
            for name in wanted
            for target in TARGETS
        ]
        desk.show({"requests": requests}, text="\n".join(str(request) for request in requests))
        return
    for name in wanted:
        contract.check_model(desk.settings, name)
    client = engines.choose_engine(engine)
    if engine == "auto" and (client is None or not (base or record.may_have_base)):
        why = "no base image could be had at set-up" if client else "no engine answers"
        desk.report(f"Building without an engine, because {why}. The programs will run as plain processes.")
        client = None
    built = [
        images.build_image(desk.settings, name, target, engine=client, options=options, report=desk.report)
        for name in wanted
        for target in TARGETS
    ]
    desk.show(
        {"images": [asdict(one) for one in built]},
        text="\n".join(f"{one.model}: {one.tag} ({one.engine}, {one.digest})" for one in built),
    )


def push(
    model: Model = None,
    registry: Annotated[
        str | None,
        typer.Option(
            help="HOST/NAME of another registry than ECR; its login comes from "
            "MLOPS_REGISTRY_USERNAME and MLOPS_REGISTRY_PASSWORD."
        ),
    ] = None,
    create_repository: Annotated[
        bool, typer.Option("--create-repository", help="Make the ECR repository if there is none.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Push what was built under an immutable tag, and print the digest that everything downstream uses."""
    desk = Desk(as_json=as_json)
    wanted = [pick_model(desk.settings, model)] if model else desk.settings.models
    if registry and len(wanted) > 1:
        raise BuildError("--registry names one repository, so it needs --model.")
    built = [images.read_image(desk.settings, name, target) for name in wanted for target in TARGETS]
    if dry_run:
        where = registry or f"ECR in {desk.settings.region}"
        text = "\n".join(f"Would push {one.model} as {one.tag} to {where}." for one in built)
        desk.show({"would_push": [asdict(one) for one in built], "registry": where}, text=text)
        return
    pushed = []
    for one in built:
        repository = _open_repository(desk, one.model, registry, create=create_repository)
        pushed.append(images.push_image(desk.settings, one, repository=repository, report=desk.report))
    desk.show({"images": [asdict(one) for one in pushed]}, text="\n".join(str(one.uri) for one in pushed))


def _open_repository(desk: Desk, model: str, registry: str | None, *, create: bool) -> Repository:
    if registry:
        return images.open_private(registry, os.environ)
    return images.open_ecr(
        desk.aws.client("ecr"),
        images.repository_name(desk.settings, model),
        create=create,
        # The SDK's own variable; requests knows another one.
        ca_bundle=os.environ.get("AWS_CA_BUNDLE"),
    )
