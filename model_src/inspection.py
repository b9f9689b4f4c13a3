"""A model tried out in a child process with limits, before anything else loads it.

The server does so when it starts, evaluation before it judges. The child checks the bytes (graph.py), loads
them into ONNX Runtime and asks for answers; what goes wrong there, even a crash, is only the child's.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import numpy as np

from model_src.artefact import Artefact, Card, check_magic
from model_src.encoding import Feature, Matrix, Numbers, to_matrix
from model_src.errors import ArtefactError
from model_src.graph import check_graph
from model_src.predictor import load_predictor

TRIAL_ROWS: Final = 1000  # so that a model which needs much memory per row is noticed
_MAX_REASON_BYTES = 4000
_PR_SET_PDEATHSIG = 1  # sys/prctl.h
_ROUNDING = 1e-5  # of a probability in 32 bits


@dataclass(frozen=True)
class Limits:
    """What the child may use beyond what its parent has already; memory grows with the model's file."""

    memory_bytes: int = 512 * 1024**2
    memory_per_byte: int = 8
    cpu_s: int = 60
    wall_s: int = 120


def inspect_artefact(artefact: Artefact, limits: Limits = Limits()) -> None:
    """Nothing, for a model that can be loaded and asked within the limits.

    Raises: ArtefactError with what is wrong with it.
    """
    run_limited(lambda: _try_out(artefact), limits, size_bytes=len(artefact.onnx))


def run_limited(work: Callable[[], None], limits: Limits, *, size_bytes: int) -> None:
    """Runs `work` in a child process, forked so that it has every library already.

    The child ends with this process, or when this one waits no longer.

    Raises: ArtefactError if the child raised one, or did not end by itself.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = 0
    try:
        with _held_back(signal.SIGTERM, signal.SIGINT):
            pid = os.fork()
            if pid == 0:
                _live(work, limits, size_bytes=size_bytes, reason_to=writer, parent=parent)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            reason = stream.read().decode("utf-8", errors="replace")
        status = os.waitpid(pid, 0)[1]
    except BaseException:  # such as the SystemExit that a handler of SIGTERM raises
        if pid:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        raise
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return
    raise ArtefactError(reason or f"Trying out the model ended with {_ending(code, limits)}.")


@contextlib.contextmanager
def _held_back(*numbers: signal.Signals) -> Iterator[None]:
    """Has signals that come meanwhile handled at the end.

    Where Python forks it runs hooks of its own, and swallows what a handler raises among them.
    """
    if threading.current_thread() is not threading.main_thread():  # no handler runs in any other
        yield
        return
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _try_out(artefact: Artefact) -> None:
    check_magic(artefact.onnx)
    check_graph(artefact.onnx)
    predictor = load_predictor(artefact)
    features = artefact.card.features
    check_answers(predictor.predict(to_matrix(map(_trial_column, features))), artefact.card)


def _trial_column(feature: Feature) -> Numbers:
    """What the feature may hold, different from row to row where it can be."""
    values = feature.allowed or range(len(feature.categories) or TRIAL_ROWS)
    return np.resize(np.array(values, dtype=np.float64), TRIAL_ROWS)


def check_answers(answers: Matrix, card: Card) -> None:
    """Nothing, for the answers that a model with this card can give to TRIAL_ROWS rows.

    Some rows may have none, since a trial does not know what numbers are usual. Raises: ArtefactError.
    """
    expected = (TRIAL_ROWS, len(card.classes)) if card.classes else (TRIAL_ROWS,)
    if answers.shape != expected:
        raise ArtefactError(
            f"The model answers {TRIAL_ROWS} rows with shape {answers.shape}; its card says {expected}."
        )
    finite = answers[np.isfinite(answers)]
    if not finite.size:
        raise ArtefactError(f"The model answers none of {TRIAL_ROWS} rows with a finite number.")
    if card.classes and (finite.min() < -_ROUNDING or finite.max() > 1 + _ROUNDING):
        raise ArtefactError(
            f"The model's probabilities are from {finite.min():g} to {finite.max():g}, not from 0 to 1."
        )


def _live(
    work: Callable[[], None], limits: Limits, *, size_bytes: int, reason_to: int, parent: int
) -> NoReturn:
    """The child's whole life; its parent's code is never returned to."""
    try:
        _end_with(parent)
        _limit(limits, size_bytes)
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the child's last word: it goes to the parent
        known = isinstance(error, ArtefactError)
        reason = str(error) if known else f"The model cannot be tried out: {type(error).__name__}: {error}"
        os.write(reason_to, reason.encode("utf-8", errors="replace")[:_MAX_REASON_BYTES])
    finally:
        os._exit(1)


def _end_with(parent: int) -> None:
    """Has the kernel kill this process when its parent has been killed; only Linux can.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _limit(limits: Limits, size_bytes: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(limits.wall_s)
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # The first to go where memory runs out. Who gave up root may not write there, and is as likely as others.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if sys.platform == "linux":  # macOS enforces no limit of address space
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        allowed = limits.memory_bytes + limits.memory_per_byte * size_bytes
        total = pages * mmap.PAGESIZE + allowed
        resource.setrlimit(resource.RLIMIT_AS, (total, total))


def _ending(code: int, limits: Limits) -> str:
    known = {
        -signal.SIGXCPU: f"more than {limits.cpu_s} s of CPU",
        -signal.SIGALRM: f"more than {limits.wall_s} s",
        -signal.SIGKILL: "SIGKILL; was there too little memory?",
    }
    return known.get(code, f"a crash ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}")
