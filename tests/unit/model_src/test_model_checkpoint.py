"""An interrupted training goes on where it was and ends with the same model, bit for bit."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_examples import AS_CLASSIFICATION, encode, random_data, read_example
from threadpoolctl import threadpool_limits

from model_src.artefact import Artefact
from model_src.checkpoint import (
    CHECKPOINT_FILE,
    Arrays,
    Checkpoint,
    Checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from model_src.contract import Estimator, Model, Scalar, Task
from model_src.dataset import Dataset
from model_src.ensemble import stage_ends
from model_src.errors import StoppedError
from model_src.failure import Interruption
from model_src.training import fit_artefact

pytestmark = [
    pytest.mark.filterwarnings("ignore:Field onnx.AttributeProto:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores:UserWarning"),
]

ITERATIVE: dict[str, dict[str, Scalar]] = {
    "random_forest": {"n_estimators": 25, "max_features": 0.5, "oob_score": True},
    "gradient_boosting": {"n_estimators": 25, "subsample": 0.7, "max_features": 0.5},
    "hist_gradient_boosting": {"max_iter": 25, "min_samples_leaf": 5, "max_features": 0.5},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small fits by many threads on a busy machine mostly wait for each other."""
    with threadpool_limits(limits=1):
        yield


class Interrupter:
    """Sends SIGTERM, as it were, while the n-th stage is fitted; remembers what was logged."""

    def __init__(self, stage: int | None) -> None:
        self.interruption = Interruption()
        self.lines: list[str] = []
        self._stages_left = stage

    def log(self, line: str) -> None:
        self.lines.append(line)
        if self._stages_left and "iterations are done" in line:
            self._stages_left -= 1
        if self._stages_left == 0:
            threading.Thread(target=self.interruption.arrive, args=(lambda: None,), daemon=True).start()
            while not self.interruption.arrived:
                time.sleep(0.001)


def example(folder: Path, kind: str, task: Task, **changes: Scalar) -> tuple[Model, Dataset]:
    changed = AS_CLASSIFICATION if task == "classification" else ()
    model = replace(read_example(folder, *changed), estimator=Estimator(kind, {**ITERATIVE[kind], **changes}))
    return model, encode(folder, model, random_data(task))


def train(model: Model, dataset: Dataset, folder: Path, watch: Interrupter) -> Artefact:
    checkpoints = Checkpoints(folder, "f", watch.interruption, log=watch.log)
    return fit_artefact(model, dataset, commit="", checkpoints=checkpoints)[0]


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("kind", list(ITERATIVE))
def test_a_resumed_training_ends_with_the_same_bytes(tmp_path: Path, kind: str, task: Task) -> None:
    model, dataset = example(tmp_path, kind, task)
    undisturbed = fit_artefact(model, dataset, commit="")[0]

    with pytest.raises(StoppedError, match="SIGTERM arrived after 10 of 25 iterations, which are in"):
        train(model, dataset, tmp_path, Interrupter(stage=1))
    watch = Interrupter(stage=None)
    resumed = train(model, dataset, tmp_path, watch)

    assert resumed == undisturbed
    assert watch.lines == [
        "Training is resumed after 10 iterations.",
        "20 of 25 iterations are done.",
        "25 of 25 iterations are done.",
    ]


def test_boosting_that_stops_early_is_resumed_the_same(tmp_path: Path) -> None:
    early: dict[str, Scalar] = {"max_iter": 200, "early_stopping": True, "n_iter_no_change": 5}
    model, dataset = example(tmp_path, "hist_gradient_boosting", "regression", **early)
    undisturbed = fit_artefact(model, dataset, commit="")[0]

    with pytest.raises(StoppedError):
        train(model, dataset, tmp_path, Interrupter(stage=1))
    watch = Interrupter(stage=None)

    assert train(model, dataset, tmp_path, watch) == undisturbed
    assert "200 of 200 iterations are done." not in watch.lines


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gradient_boosting", {"n_iter_no_change": 3}),
        ("hist_gradient_boosting", {"early_stopping": True, "scoring": "r2"}),
    ],
)
def test_what_cannot_be_fitted_in_stages_is_fitted_at_once(
    tmp_path: Path, kind: str, changes: dict[str, Scalar]
) -> None:
    model, dataset = example(tmp_path, kind, "regression", **changes)
    watch = Interrupter(stage=1)

    train(model, dataset, tmp_path, watch)

    assert watch.lines == []
    assert watch.interruption.grace_s == 0
    assert not (tmp_path / CHECKPOINT_FILE).exists()


def test_stages_depend_on_the_number_of_iterations_alone() -> None:
    assert stage_ends(1) == [1]
    assert stage_ends(25) == [10, 20, 25]
    assert stage_ends(20) == [10, 20]
    assert len(stage_ends(10_000)) == 20
    assert stage_ends(10_000)[-1] == 10_000


def test_a_checkpoint_is_written_now_and_then(tmp_path: Path) -> None:
    now_s = [0.0]
    keeper = Checkpoints(
        tmp_path, "f", Interruption(), log=lambda _: None, clock=lambda: now_s[0], interval_s=30
    )
    file = tmp_path / CHECKPOINT_FILE

    keeper.stage_done(10, 30, lambda: {"a": np.zeros(1)})
    assert not file.exists()
    now_s[0] = 31.0
    keeper.stage_done(20, 30, lambda: {"a": np.zeros(1)})

    found = read_checkpoint(tmp_path, "f", log=lambda _: None)
    assert found is not None
    assert found.iterations == 20


def foreign(file: Path) -> None:
    write_checkpoint(Checkpoint("another", 20, {}), file.parent)


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def pickled(file: Path) -> None:
    file.write_bytes(pickle.dumps(print))


def pickled_inside(file: Path) -> None:
    with file.open("wb") as stream:
        np.savez(stream, header=np.array([print], dtype=object))


def compressed(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", bytes(1_000_000))


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def rewrite(file: Path) -> None:
        found = read_checkpoint(file.parent, "f", log=lambda _: None)
        assert found is not None
        arrays: Arrays = {**found.arrays, name: change(found.arrays[name].copy())}
        write_checkpoint(replace(found, arrays=arrays), file.parent)

    rewrite.__name__ = name
    return rewrite


def leading_out(field: str) -> Callable[[Any], Any]:
    def change(nodes: Any) -> Any:
        nodes[field][0] = 10_000_000
        return nodes

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (foreign, "of another training"),
        (truncated, "is damaged"),
        (flipped, "is damaged"),
        (pickled, "is damaged"),
        (pickled_inside, "is damaged .Object arrays cannot be loaded"),
        (compressed, "is damaged .it is compressed"),
        (changed("nodes", leading_out("left_child")), "a node's child is no node of its tree"),
        (changed("nodes", leading_out("feature")), "a feature that is not there"),
        (changed("nodes", lambda nodes: nodes[:-1]), "not those of the trees"),
        (changed("values", lambda values: values[:-1]), "no array 'values'"),
        (changed("sizes", lambda sizes: -sizes), "not those of the trees"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_checkpoint_that_is_wrong_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], reason: str
) -> None:
    model, dataset = example(tmp_path, "gradient_boosting", "regression")
    undisturbed = fit_artefact(model, dataset, commit="")[0]
    with pytest.raises(StoppedError):
        train(model, dataset, tmp_path, Interrupter(stage=1))
    damage(tmp_path / CHECKPOINT_FILE)
    watch = Interrupter(stage=None)

    artefact = train(model, dataset, tmp_path, watch)

    assert artefact == undisturbed
    said = "\n".join([*watch.lines, capsys.readouterr().out])
    assert re.search(reason, said), said


WRITE = """
import sys, numpy as np
from pathlib import Path
from model_src.checkpoint import Checkpoint, write_checkpoint
for number in range(1, 1_000_000):
    write_checkpoint(Checkpoint("f", number, {"a": np.full(200_000, number)}), Path(sys.argv[1]))
    print(number, flush=True)
"""


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before_whole(tmp_path: Path) -> None:
    for written in (1, 3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(written):
            process.stdout.readline()
        # From here on the next one is being written, until it is there.
        part = tmp_path / f".{CHECKPOINT_FILE}.part"
        while not part.exists() and process.poll() is None:
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

        found = read_checkpoint(tmp_path, "f", log=lambda _: None)

        assert found is not None
        assert found.iterations >= written
        assert (found.arrays["a"] == found.iterations).all()


def test_a_checkpoint_holds_nothing_but_arrays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_checkpoint(Checkpoint("f", 1, {"a": np.array([print], dtype=object)}), tmp_path)
    assert not (tmp_path / CHECKPOINT_FILE).exists()
