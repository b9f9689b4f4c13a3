"""Checks of `train`."""

from __future__ import annotations

from pipeline.conformance.check import (
    ISOLATION,
    TRAINING_IMAGE,
    TRAINING_INFORMATION,
    TRAINING_OUTPUT,
    TRAINING_SIGNALS,
    BreachError,
    Check,
    NotApplicableError,
)
from pipeline.conformance.program import Program
from pipeline.conformance.subject import Subject, Training
from pipeline.conformance.tree import add_channel

_LAST_CHARACTERS = 300


def check_succeeds(subject: Subject) -> str:
    done = subject.training
    _check_success(done)
    return f"exit code 0 after {done.seconds:.1f} s"


def check_writes_model(subject: Subject) -> str:
    done = subject.require_training()
    if not done.files:
        raise BreachError("/opt/ml/model is empty")
    return f"{len(done.files)} files: {', '.join(done.files[:5])}"


def check_no_failure_file(subject: Subject) -> str:
    done = subject.require_training()
    if done.failure is not None:
        raise BreachError(f"a training that succeeded wrote {done.failure[:100]!r}")
    return "none"


def check_channels(subject: Subject) -> str:
    subject.require_training()
    tree = subject.training_tree()
    name = add_channel(tree)
    if name is None:
        raise NotApplicableError("the training job has no channel: there is no folder in input/data")
    _check_success(subject.train(tree))
    return f"exit code 0 with the channel {name} beside"


def check_offline(subject: Subject) -> str:
    subject.require_training()
    _check_success(subject.train(subject.training_tree(), offline=True))
    return "exit code 0"


def check_failure_code(subject: Subject) -> str:
    done = subject.spoiled_training
    if done.exit_code == 0:
        raise BreachError("exit code 0 with noise in the place of the data")
    return f"exit code {done.exit_code} with noise in the place of the data"


def check_failure_file(subject: Subject) -> str:
    done = subject.spoiled_training
    if done.exit_code == 0:
        raise NotApplicableError("the training did not fail")
    if not (done.failure or "").strip():
        raise BreachError("/opt/ml/output/failure is " + ("absent" if done.failure is None else "empty"))
    return repr((done.failure or "")[:100])


def check_failure_length(subject: Subject) -> str:
    done = subject.spoiled_training
    if not done.failure:
        raise NotApplicableError("there is no failure file")
    length, limit = len(done.failure), subject.limits.failure_characters
    if length > limit:
        raise BreachError(f"{length} characters were read: none after the first {limit} is shown")
    return f"{length} characters"


def check_sigterm(subject: Subject) -> str:
    usual_s = subject.require_training().seconds

    def interrupt(program: Program) -> None:
        subject.wait_for_output(program, timeout_s=usual_s)
        if program.wait(0) is not None:
            raise NotApplicableError("the training was over before it could be stopped")
        program.terminate()

    done = subject.train(subject.training_tree(), interrupt=interrupt)
    if done.exit_code is None:
        raise BreachError(f"still there {done.seconds:.1f} s after SIGTERM")
    return f"exit code {done.exit_code}, {done.seconds:.1f} s after SIGTERM"


def _check_success(done: Training) -> None:
    if done.exit_code is None:
        raise BreachError(f"not over after {done.seconds:.0f} s")
    if done.exit_code != 0:
        said = done.failure or done.output
        raise BreachError(f"exit code {done.exit_code}: {' '.join(said[-_LAST_CHARACTERS:].split())}")


CHECKS = (
    Check(
        "train-succeeds",
        "must",
        "`docker run IMAGE train` ends with 0; hyperparameters are strings.",
        TRAINING_INFORMATION,
        check_succeeds,
    ),
    Check(
        "train-writes-model", "must", "The model is in /opt/ml/model.", TRAINING_OUTPUT, check_writes_model
    ),
    Check(
        "train-no-failure-file",
        "should",
        "A training that succeeds writes no failure file.",
        TRAINING_OUTPUT,
        check_no_failure_file,
    ),
    Check(
        "train-several-channels",
        "should",
        "A further channel does no harm.",
        TRAINING_INFORMATION,
        check_channels,
    ),
    Check(
        "train-offline",
        "should",
        "The training works without a network (network isolation).",
        ISOLATION,
        check_offline,
    ),
    Check(
        "train-failure-exit-code",
        "must",
        "A training that fails does not end with 0.",
        TRAINING_SIGNALS,
        check_failure_code,
    ),
    Check(
        "train-failure-file",
        "should",
        "It says why in /opt/ml/output/failure.",
        TRAINING_OUTPUT,
        check_failure_file,
    ),
    Check(
        "train-failure-length",
        "should",
        "That is at most 1,024 characters: SageMaker shows no more.",
        TRAINING_OUTPUT,
        check_failure_length,
    ),
    Check(
        "train-sigterm-exits",
        "must",
        "120 s after SIGTERM comes SIGKILL: by then the training has ended.",
        TRAINING_IMAGE,
        check_sigterm,
    ),
)
