"""`train`, `evaluate` and `serve` as SageMaker runs them, but as plain processes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from model_programs import MODELS, PORT, Programs, ask, hand_over_model, lay_out, predict, wait_for_ping

from model_src.contract import read_model


@pytest.mark.parametrize("name", ["iris", "diabetes", "penguins"])
def test_a_model_is_trained_evaluated_and_served_by_its_contract_alone(tmp_path: Path, name: str) -> None:
    programs = lay_out(tmp_path, name)
    model = read_model(MODELS / name)

    code, output = programs.run("train")
    assert code == 0, output
    hand_over_model(programs.base)
    code, output = programs.run("evaluate")
    assert code == 0, output
    report = json.loads((programs.base / "processing" / "output" / "evaluation.json").read_text())
    with programs.serving():
        wait_for_ping()
        answers = predict([dict(golden.instance) for golden in model.golden])

    assert [gate["name"] for gate in report["gates"] if not gate["passed"]] == []
    assert [answer.get("label") for answer in answers] == [golden.label for golden in model.golden]
    for answer, golden in zip(answers, model.golden, strict=True):
        if golden.value is not None:
            assert answer["value"] == pytest.approx(golden.value, abs=golden.tolerance)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    programs = lay_out(tmp_path_factory.mktemp("iris"), "iris")
    assert programs.run("train")[0] == 0
    return programs


def test_a_wrong_dataset_ends_with_its_place_in_the_failure_file(tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "iris")
    data = programs.base / "input" / "data" / "train" / "train.csv"
    lines = data.read_text().splitlines()
    lines[41] = "5.0,many,1.5,0.2,setosa"
    data.write_text("\n".join(lines))

    code, output = programs.run("train")

    reason = "DatasetError: train.csv:42: column 'sepal_width': 'many' is not a number"
    assert (code, programs.failure) == (1, reason)
    assert reason in output
    assert not (programs.base / "model").exists()


def test_a_wrong_contract_ends_with_its_line_in_the_failure_file(tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "iris")
    contract = programs.tree / "model" / "model.yaml"
    contract.write_text(contract.read_text().replace("target: species", "target: kind"))

    assert programs.run("train")[0] == 1
    assert "model.yaml:5: target-column: target: there is no column 'kind'" in programs.failure


def test_a_training_program_that_raises_ends_with_its_reason(tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "iris")
    module = programs.tree / "model_src" / "dataset.py"
    module.write_text(
        module.read_text().replace("n_rows = len(table.places)", 'raise ValueError("x" * 2000)')
    )

    code, output = programs.run("train")

    assert code == 1
    assert programs.failure.startswith("ValueError: xxx")
    assert len(programs.failure) == 1024
    assert "Traceback" in output


def test_a_refused_hyperparameter_ends_with_the_estimators_words(tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "iris")
    programs.set_hyperparameters(C="-1")

    assert programs.run("train")[0] == 1
    assert programs.failure.startswith(
        "TrainingError: logistic_regression could not be fitted: InvalidParameter"
    )


def test_sigterm_ends_a_long_training_at_once_and_says_so(tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "penguins")
    programs.set_hyperparameters(max_iter="1000000")
    process = programs.start("train")
    assert process.stdout is not None
    while "fitting hist_gradient_boosting" not in (line := process.stdout.readline()):
        assert line, "it ended before the fit began"

    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=60)

    assert code == 143
    assert programs.failure == "Stopped: SIGTERM arrived before the job was done."
    assert not (programs.base / "model").exists()


def test_an_interrupted_training_resumes_and_ends_with_the_same_model(tmp_path: Path) -> None:
    undisturbed, programs = (lay_out(tmp_path / name, "penguins") for name in ("undisturbed", "interrupted"))
    for job in (undisturbed, programs):
        job.set_hyperparameters(max_iter="120")
    assert undisturbed.run("train")[0] == 0
    checkpoints = programs.base / "checkpoints"
    checkpoints.mkdir()
    process = programs.start("train")
    assert process.stdout is not None
    while "iterations are done" not in (line := process.stdout.readline()):
        assert line, "it ended before its first stage did"

    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=60)
    stopped = programs.failure
    assert programs.run("train")[0] == 0

    assert code == 143
    assert stopped.startswith("Stopped: SIGTERM arrived after ")
    assert [file.name for file in checkpoints.iterdir()] == ["checkpoint.npz"]
    for name in ("model.onnx", "model.json"):
        resumed = programs.base / "model" / name
        assert resumed.read_bytes() == (undisturbed.base / "model" / name).read_bytes()


def test_a_processing_job_without_a_model_says_so_in_its_exit_message(tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "iris")

    assert programs.run("evaluate")[0] == 1
    message = (programs.base / "output" / "message").read_text()
    assert message.startswith("ArtefactError: There is no ")
    assert "the job needs an input 'model'" in message


def test_a_server_without_a_model_stays_up_and_says_503(tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "iris")

    with programs.serving() as process:
        wait_for_ping(503, saying=b"There is no model.json")
        alive = process.poll() is None

    assert alive


def test_a_server_without_a_model_ends_when_it_is_told_to_however_often_it_starts(tmp_path: Path) -> None:
    """What announces a load, and workers, are ended while they are still being forked, or a moment later."""
    programs = lay_out(tmp_path, "iris")
    codes = []

    for _ in range(6):
        with programs.serving(SAGEMAKER_MODEL_SERVER_WORKERS="6") as process:
            wait_for_ping(503, saying=b"There is no model.json")
            process.terminate()
            # A worker that does not hear it is killed after 25 s.
            codes.append(process.wait(timeout=20))

    assert codes == [0] * 6


SLOW_FIRST_LOAD = """

import time as _time
_read_artefact = read_artefact

def read_artefact(folder):
    try:
        (folder / "loading").touch(exist_ok=False)
    except FileExistsError:
        return _read_artefact(folder)
    while not (folder / "go").exists():
        _time.sleep(0.01)
    return _read_artefact(folder)
"""


@pytest.fixture
def slow(trained: Programs, tmp_path: Path) -> Programs:
    """The programs of the trained model; its first load ends when the file `go` is in its folder."""
    shutil.copytree(trained.tree, tmp_path / "program")
    shutil.copytree(trained.base / "model", tmp_path / "ml" / "model")
    with (tmp_path / "program" / "model_src" / "artefact.py").open("a") as module:
        module.write(SLOW_FIRST_LOAD)
    return Programs(tmp_path / "program", tmp_path / "ml")


def test_ping_says_200_only_when_every_worker_has_its_model(slow: Programs) -> None:
    row = b"5,3.4,1.5,0.2"

    def ask_often() -> set[tuple[int, bytes]]:
        return {ask("POST", "/invocations", row, content_type="text/csv") for _ in range(100)}

    with slow.serving(SAGEMAKER_MODEL_SERVER_WORKERS="2"):
        wait_for_ping(503)
        before = ask_often()
        (slow.base / "model" / "go").touch()
        wait_for_ping(200)
        after = ask_often()

    assert before == {(503, b'{"error":"The model is being loaded."}')}
    assert after == {(200, b"setosa\n")}


def test_sigterm_ends_a_load(slow: Programs) -> None:
    with slow.serving() as process:
        wait_for_ping(503)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0


def test_a_request_in_hand_is_answered_after_sigterm(trained: Programs) -> None:
    half = b"5,3.4,1.5,0.2\n" * 100_000

    with trained.serving() as process:
        wait_for_ping()
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        connection.putrequest("POST", "/invocations")
        connection.putheader("Content-Type", "text/csv")
        connection.putheader("Content-Length", str(2 * len(half)))
        connection.endheaders(half)
        assert ask("GET", "/ping")[0] == 200
        process.send_signal(signal.SIGTERM)
        connection.send(half)
        response = connection.getresponse()
        answer = response.status, response.read()
        code = process.wait(timeout=30)

    assert code == 0
    assert answer == (200, b"setosa\n" * 200_000)


def test_ping_is_answered_while_a_large_body_is_computed(trained: Programs) -> None:
    """Within SageMaker's 2 s; at the third attempt at the latest, since this machine may pause."""
    body = b"5,3.4,1.5,0.2\n" * 400_000

    with trained.serving(SAGEMAKER_MODEL_SERVER_WORKERS="1"):
        wait_for_ping()
        slowest_s = [time_pings_beside(body) for _ in range(3)]

    assert min(slowest_s) < 2


def time_pings_beside(body: bytes) -> float:
    """The seconds of the slowest /ping while a body is answered."""
    slowest, under_way = 0.0, True
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(ask, "POST", "/invocations", body, content_type="text/csv")
        while under_way:
            under_way = not request.done()
            started = time.monotonic()
            assert ask("GET", "/ping")[0] == 200
            slowest = max(slowest, time.monotonic() - started)
    assert request.result()[0] == 200
    return slowest


def test_a_worker_that_dies_is_replaced(trained: Programs) -> None:
    with trained.serving(SAGEMAKER_MODEL_SERVER_WORKERS="1") as process:
        wait_for_ping()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)

        wait_for_ping()
        assert predict([[5, 3.4, 1.5, 0.2]])[0]["label"] == "setosa"


def test_a_port_that_is_taken_ends_the_server_with_a_message(trained: Programs) -> None:
    with trained.serving():
        wait_for_ping()
        code, output = trained.run("serve")

    assert code != 0
    assert f"Cannot listen on 127.0.0.1 port {PORT}: Address already in use" in output
