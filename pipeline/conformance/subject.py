"""What is checked: an image, its model, its sample request, its training job; each observed once."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from pipeline.conformance.check import BreachError, NotApplicableError
from pipeline.conformance.limits import Limits
from pipeline.conformance.program import PORT, Launch, Program, Runtime, StartError
from pipeline.conformance.sample import Sample
from pipeline.conformance.server import Server, Start, observe_start
from pipeline.conformance.tree import make_serving_tree, make_training_tree, spoil_files

# As SageMaker sets them for every container.
_ENVIRONMENT = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
_OUTPUT_POLL_S = 0.05

Observed = TypeVar("Observed")


@dataclass(frozen=True)
class Material:
    """What a user gave beside the image. Without it, the checks that need it are n/a.

    `model`: what is served, a folder or an archive. `test_dir`: a training job laid out as /opt/ml.
    """

    model: Path | None = None
    sample: Sample | None = None
    test_dir: Path | None = None


@dataclass(frozen=True)
class Training:
    """A training that has ended. `exit_code` is None where it was ended because its time was over.

    `files` are those in /opt/ml/model, `failure` is the content of /opt/ml/output/failure; of a long one the
    first bytes, of a long `output` the last.
    """

    exit_code: int | None
    seconds: float
    files: tuple[str, ...]
    failure: str | None
    output: str


class Subject:
    """One image under examination. The main server is shared by the checks that leave it as it was."""

    def __init__(self, runtime: Runtime, material: Material, limits: Limits):
        self.runtime = runtime
        self.limits = limits
        self.material = material
        self._work = Path(tempfile.mkdtemp(prefix="check-image-"))
        self._trees = 0
        self._main: Server | None = None
        self._doubted = False
        self._observed: dict[str, object] = {}

    def prepare(self) -> None:
        """Lays out what was given, before anything is started. Raises: UsageError if it cannot be used."""
        _ = self.served_tree
        if self.material.test_dir is not None:
            self.training_tree()

    def close(self) -> None:
        try:
            self.runtime.close()
        finally:
            shutil.rmtree(self._work)

    @property
    def sample(self) -> Sample:
        """Raises: NotApplicableError where none was given."""
        if self.material.sample is None:
            raise NotApplicableError("no sample request; give --payload FILE")
        return self.material.sample

    @property
    def model(self) -> Path:
        """Raises: NotApplicableError where none was given."""
        if self.material.model is None:
            raise NotApplicableError("no model; give --model FILE-OR-FOLDER")
        return self.material.model

    @property
    def served_tree(self) -> Path:
        """/opt/ml as an endpoint's container sees it."""
        return self.observe("tree", lambda _: make_serving_tree(self.material.model, self.new_folder()))

    def new_folder(self) -> Path:
        self._trees += 1
        return self._work / f"tree-{self._trees}"

    @property
    def first_start(self) -> Start:
        """The main server's start. Raises: BreachError if there is nothing to be started."""
        return self.observe("start", Subject._start_first)

    def _start_first(self) -> Start:
        start = self._observe(self._launch(_serve(self.served_tree)), timeout_s=self.limits.healthy_s)
        if start.healthy_s is not None:
            self._main = start.server
        return start

    def server(self) -> Server:
        """The main server, healthy; started again if a check has ended it.

        Raises: NotApplicableError without one.
        """
        try:
            start = self.first_start
        except BreachError as failure:
            raise NotApplicableError("there is no server to ask") from failure
        if start.healthy_s is None or self._main is None:
            raise NotApplicableError("the server never got healthy")
        if (self._doubted and not self._main.answers()) or not self._main.runs():
            self._main.program.remove()
            again = self._observe(self._launch(_serve(self.served_tree)), timeout_s=self.limits.healthy_s)
            self._main = again.server
            if again.healthy_s is None:
                raise NotApplicableError("a check ended the server, and it did not get healthy again")
        self._doubted = False
        return self._main

    def doubt_server(self) -> None:
        """Has the main server asked whether it still answers, before the next check uses it."""
        self._doubted = True

    @contextmanager
    def start(
        self,
        *,
        tree: Path | None = None,
        environment: dict[str, str] | None = None,
        port: int = PORT,
        offline: bool = False,
        read_only_model: bool = False,
        timeout_s: float | None = None,
        listens_within_s: float | None = None,
    ) -> Iterator[Start]:
        """Another server beside the main one, observed until it is healthy, gone when the block ends.

        Raises: NotApplicableError unless the main one got healthy, BreachError if this one cannot be started.
        """
        self.server()
        launch = replace(
            _serve(tree or self.served_tree),
            environment={**_ENVIRONMENT, **(environment or {})},
            port=port,
            offline=offline,
            read_only_model=read_only_model,
        )
        program = self._launch(launch)
        try:
            yield self._observe(
                program, timeout_s=timeout_s or self.limits.healthy_s, listens_within_s=listens_within_s
            )
        finally:
            program.remove()

    def training_tree(self) -> Path:
        """A fresh /opt/ml of a training job. Raises: NotApplicableError without a test folder."""
        if self.material.test_dir is None:
            raise NotApplicableError("no training job; give --test-dir FOLDER, laid out as /opt/ml")
        return make_training_tree(self.material.test_dir, self.new_folder())

    @property
    def training(self) -> Training:
        """The job as it was given.

        Raises: NotApplicableError without one, BreachError if it cannot be started.
        """
        return self.observe("training", lambda _: self.train(self.training_tree()))

    @property
    def spoiled_training(self) -> Training:
        """The job with noise in the place of its data."""
        return self.observe("spoiled", Subject._train_spoiled)

    def _train_spoiled(self) -> Training:
        self.require_training()
        tree = self.training_tree()
        if not spoil_files(tree / "input/data"):
            raise NotApplicableError("the training job has no data to be spoiled")
        return self.train(tree)

    def require_training(self) -> Training:
        """The training that succeeded. Raises: NotApplicableError if it did not."""
        try:
            done = self.training
        except BreachError as failure:
            raise NotApplicableError("there is no training to run") from failure
        if done.exit_code != 0:
            raise NotApplicableError("the training did not succeed")
        return done

    def train(
        self, tree: Path, *, offline: bool = False, interrupt: Callable[[Program], None] | None = None
    ) -> Training:
        """Runs a training to its end. `interrupt` is called while it runs; the time counts from then on."""
        environment = {**_ENVIRONMENT, "TRAINING_JOB_NAME": "check-image"}
        program = self._launch(Launch("train", tree, environment=environment, offline=offline))
        try:
            if interrupt is not None:
                interrupt(program)
            started = time.monotonic()
            limit_s = self.limits.train_s if interrupt is None else self.limits.train_stop_s
            code = program.wait(limit_s)
            seconds = time.monotonic() - started
            failure = program.read("output/failure", max_bytes=self.limits.text_bytes)
            return Training(
                code,
                seconds,
                tuple(program.files("model")),
                None if failure is None else failure.decode(errors="replace"),
                program.output(max_bytes=self.limits.text_bytes),
            )
        finally:
            program.remove()

    def observe(self, name: str, look: Callable[[Subject], Observed]) -> Observed:
        """What `look` sees or raises, looked at once for all the checks that ask by this name."""
        if name not in self._observed:
            try:
                self._observed[name] = look(self)
            except (BreachError, NotApplicableError) as seen:
                self._observed[name] = seen
        found = self._observed[name]
        if isinstance(found, BreachError | NotApplicableError):
            raise found
        return cast(Observed, found)

    def wait_for_output(self, program: Program, *, timeout_s: float) -> None:
        """Returns when the program has written something, has ended, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not program.output(max_bytes=1) and program.wait(0) is None:
            time.sleep(_OUTPUT_POLL_S)

    def _launch(self, launch: Launch) -> Program:
        try:
            return self.runtime.start(launch)
        except StartError as error:
            raise BreachError(str(error)) from error

    def _observe(self, program: Program, *, timeout_s: float, listens_within_s: float | None = None) -> Start:
        return observe_start(
            Server(program, self.limits),
            timeout_s=timeout_s,
            sample=self.material.sample,
            listens_within_s=listens_within_s,
        )


def _serve(tree: Path) -> Launch:
    return Launch("serve", tree, environment=_ENVIRONMENT)


def explain_start(start: Start) -> str:
    """Why a server is not healthy, in words for a result."""
    if start.exit_code is not None:
        return f"the program ended with exit code {start.exit_code}{start.server.last_lines()}"
    return f"{start.last_ping}{start.server.last_lines()}"
