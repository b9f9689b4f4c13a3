"""`mlops check-image` finds nothing to say of our own programs and image, by SageMaker's own numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import docker
import pytest
from model_programs import ROOT, Programs, lay_out

from pipeline.conformance.catalogue import Part, choose_checks
from pipeline.conformance.containers import ContainerRuntime
from pipeline.conformance.executor import run_checks
from pipeline.conformance.limits import Limits
from pipeline.conformance.processes import ProcessRuntime
from pipeline.conformance.program import Runtime
from pipeline.conformance.sample import Sample
from pipeline.conformance.subject import Material, Subject
from pipeline.settings import TARGETS, Target

BASE_IMAGE = os.environ.get("MLOPS_BASE_IMAGE", "local/python:3.11-bookworm")
SAMPLE = Sample(b"5,3.4,1.5,0.2\n", "text/csv")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    programs = lay_out(tmp_path_factory.mktemp("own"), "iris")
    code, output = programs.run("train")
    assert code == 0, output
    return programs


def examine(runtime: Runtime, trained: Programs, *, part: Part) -> dict[str, str]:
    """Why each check failed that failed."""
    test_dir = ROOT / "container" / "test_dir"
    subject = Subject(runtime, Material(trained.base / "model", SAMPLE, test_dir), Limits())
    try:
        results = run_checks(choose_checks(part=part), subject, report=lambda _: None)
    finally:
        subject.close()
    return {result.check.id: result.detail for result in results if result.status == "fail"}


def test_our_programs_keep_the_contract(trained: Programs) -> None:
    assert examine(ProcessRuntime(trained.tree), trained, part="serving") == {}


@pytest.mark.engine
@pytest.mark.parametrize("target", TARGETS)
def test_our_image_keeps_the_contract(trained: Programs, target: Target) -> None:
    client = docker.from_env(timeout=600)
    if not client.images.list(BASE_IMAGE):
        subprocess.run([ROOT / ".ci" / "base_image.sh"], check=True, cwd=ROOT)
    subprocess.run([sys.executable, ROOT / "scripts" / "setup.py", "wheelhouse"], check=True)
    image, _ = client.images.build(
        path=str(ROOT),
        dockerfile="container/Dockerfile",
        target=target,
        buildargs={"BASE_IMAGE": BASE_IMAGE, "COMMIT": "0123abc"},
        network_mode="none",
        rm=True,
    )

    assert examine(ContainerRuntime(client, str(image.id)), trained, part=target) == {}
