"""`mlops check-image`: finds what each broken server and training of the corpus breaks, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import corpus_broken
import corpus_training
import pytest
from local_aws import wait_until

from pipeline.conformance.catalogue import Part, choose_checks
from pipeline.conformance.check import Result
from pipeline.conformance.executor import run_checks
from pipeline.conformance.limits import Limits
from pipeline.conformance.processes import ProcessRuntime
from pipeline.conformance.sample import Sample
from pipeline.conformance.subject import Material, Subject

HERE = Path(__file__).parent
AT_ONCE = 12
# SageMaker's own 250 ms; its 2 s by two, the longer times by five and more, sizes by a hundred. What is
# tested is that each limit is held, not how long SageMaker's are.
LIMITS = Limits(
    ping_s=1,
    answer_s=4,
    healthy_s=30,
    stop_s=6,
    train_stop_s=6,
    real_time_bytes=256 * 1024,
    old_real_time_bytes=64 * 1024,
    batch_bytes=1024**2,
    slow_clients=40,
    load_s=0.3,
    answer_bytes=1024**2,
    settle_s=0.2,
    watch_s=0.7,
)
SAMPLE = Sample(b"1,2,3\n", "text/csv")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.json").write_text('{"scale": 2.0}')
    return folder


@pytest.fixture(scope="module")
def test_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    (folder / "input/config").mkdir(parents=True)
    (folder / "input/config/hyperparameters.json").write_text('{"scale": 2.0}')
    (folder / "input/data/train").mkdir(parents=True)
    (folder / "input/data/train/rows.csv").write_text("1\n2\n")
    return folder


@pytest.fixture(scope="module")
def examined(
    model: Path, test_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[dict[str, Result]]]]:
    """All of the corpus, several at once: they mostly wait."""
    serving = Material(model=model, sample=SAMPLE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The slow ones first.
        servers = sorted(corpus_broken.CORPUS.items(), key=lambda item: "Ping" not in item[0])
        yield {
            "Flask": pool.submit(
                examine, programs(tmp_path_factory, "corpus_flask"), serving, part="serving"
            ),
            **{
                f"serve {name}": pool.submit(
                    examine,
                    programs(tmp_path_factory, "corpus_broken", name),
                    serving,
                    part="serving",
                    healthy_s=broken.healthy_s,
                )
                for name, broken in servers
            },
            **{
                f"train {name}": pool.submit(
                    examine,
                    programs(tmp_path_factory, "corpus_training", name),
                    Material(test_dir=test_dir),
                    part="training",
                )
                for name in corpus_training.CORPUS
            },
        }


def programs(factory: pytest.TempPathFactory, module: str, name: str = "") -> Path:
    """A program folder whose program is this module of the corpus."""
    folder = factory.mktemp("programs")
    for source in HERE.glob("corpus_*.py"):
        shutil.copy(source, folder)
    program = folder / ("train" if module == "corpus_training" else "serve")
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {folder}/{module}.py {name} $1\n")
    program.chmod(0o755)
    return folder


def examine(
    folder: Path, material: Material, *, part: Part, healthy_s: float = LIMITS.healthy_s
) -> dict[str, Result]:
    subject = Subject(ProcessRuntime(folder), material, replace(LIMITS, healthy_s=healthy_s))
    try:
        results = run_checks(choose_checks(part=part), subject, report=lambda _: None)
    finally:
        subject.close()
    return {result.check.id: result for result in results}


def failures(results: dict[str, Result]) -> dict[str, str]:
    return {name: result.detail for name, result in results.items() if result.status == "fail"}


@pytest.mark.parametrize("name", corpus_broken.CORPUS)
def test_a_server_fails_the_checks_of_what_it_breaks(
    name: str, examined: dict[str, Future[dict[str, Result]]]
) -> None:
    found = failures(examined[f"serve {name}"].result())

    broken = corpus_broken.CORPUS[name]
    assert set(found) - set(broken.may_fail) == set(broken.fails) - set(broken.may_fail), found
    assert set(broken.fails) <= set(found)


@pytest.mark.parametrize("name", corpus_training.CORPUS)
def test_a_training_fails_the_checks_of_what_it_breaks(
    name: str, examined: dict[str, Future[dict[str, Result]]]
) -> None:
    found = failures(examined[f"train {name}"].result())

    assert set(found) == set(corpus_training.CORPUS[name].fails), found


def test_a_good_server_written_with_flask_passes(examined: dict[str, Future[dict[str, Result]]]) -> None:
    results = examined["Flask"].result()

    assert failures(results) == {}
    not_checked = {name for name, result in results.items() if result.status == "n/a"}
    assert not_checked == {*(c for c in results if c.startswith(("image-", "entrypoint-"))), *ONLY_IMAGES}


ONLY_IMAGES = ("bind-to-port", "model-read-only", "execution-parameters")


def run_command(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", "check-image", str(folder), "--runtime", "process"]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)


def test_the_command_ends_with_12_and_says_what_failed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, model: Path
) -> None:
    payload = tmp_path / "one.csv"
    payload.write_bytes(SAMPLE.body)
    report = tmp_path / "report.xml"

    done = run_command(
        programs(tmp_path_factory, "corpus_broken", "AttributesOf1023"),
        *("--model", str(model), "--payload", str(payload), "--junit", str(report), "--json"),
        *("--only", "custom-attributes", "--only", "unknown-headers", "--only", "image-size"),
    )

    assert done.returncode == 12
    body = json.loads(done.stdout)
    statuses = {check["id"]: check["status"] for check in body["checks"]}
    assert statuses == {"custom-attributes": "fail", "unknown-headers": "pass", "image-size": "n/a"}
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["type"] == "ConformanceError"
    assert "custom-attributes" in error["message"]
    assert 'name="custom-attributes"' in report.read_text()


def test_a_folder_without_programs_is_refused(tmp_path: Path) -> None:
    done = run_command(tmp_path)

    assert done.returncode == 2
    assert "neither `serve` nor `train`" in done.stderr


def test_nothing_that_it_started_is_left(model: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = programs(tmp_path_factory, "corpus_broken", "Good")

    examine(folder, Material(model=model, sample=SAMPLE), part="serving")

    assert str(folder) not in running_commands()


def test_an_examination_that_is_interrupted_leaves_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = programs(tmp_path_factory, "corpus_broken", "NeverHealthy")
    command = [sys.executable, "-m", "pipeline.cli", "check-image", str(folder), "--runtime", "process"]
    examination = subprocess.Popen(
        command, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    server = f"{folder}/corpus_broken.py"
    wait_until(lambda: server in running_commands(), timeout_s=60)

    examination.terminate()
    examination.communicate(timeout=60)

    assert examination.returncode == 130
    assert server not in running_commands()
    assert list(tmp_path.iterdir()) == []


def running_commands() -> str:
    """The command lines of all processes."""
    return subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
