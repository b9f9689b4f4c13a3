"""What training, processing and transform jobs have in common, from the request to the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from localaws.mends.role_sessions import RoleError
from localaws.runtime.errors import JobError
from localaws.runtime.platform import Platform
from localaws.runtime.workload import Workload
from localaws.sagemaker.catalogue import Catalogue
from localaws.sagemaker.events import StateChanges
from localaws.sagemaker.kinds import Kind
from localaws.sagemaker.logs import LogStream
from localaws.sagemaker.roles import ExecutionRole
from localaws.sagemaker.runs import Ending, Run, Runs, require_in_progress
from localaws.schema import Members
from localaws.service import Call, Operation
from localaws.store import Scope

Work = Callable[[Run, ExecutionRole], None]


class Jobs(ABC):
    """Every job of one kind, and the threads of those that run."""

    kind: Kind

    def __init__(self, catalogue: Catalogue, changes: StateChanges, platform: Platform, runs: Runs):
        self._catalogue = catalogue
        self._changes = changes
        self._platform = platform
        self._runs = runs

    def operations(self) -> dict[str, Operation]:
        kept, name = self._catalogue.operations(self.kind), self.kind.name
        return {
            f"Create{name}": self.create,
            f"Stop{name}": self.stop,
            f"Describe{name}": kept[f"Describe{name}"],
            self.kind.list_operation: kept[self.kind.list_operation],
        }

    @abstractmethod
    def create(self, call: Call) -> Members:
        """Checks the request, keeps the job and starts it."""

    @abstractmethod
    def _enter(self, scope: Scope, job: Members, status: str) -> None:
        """Moves the job to a status, and tells EventBridge."""

    @abstractmethod
    def _end(self, scope: Scope, job: Members, status: str, *, reason: str | None = None) -> None:
        """Moves the job to its last status."""

    def stop(self, call: Call) -> Members:
        job = self._catalogue.get(self.kind, call.scope, call.params[self.kind.name_key])
        with self._catalogue.store.lock:
            require_in_progress(self.kind, job)
            self._enter(call.scope, job, "Stopping")
        self._runs.stop(self.kind, call.scope, job[self.kind.name_key])
        return {}

    def _start(self, scope: Scope, job: Members, work: Work, *, role_arn: str) -> None:
        """Runs `work` in a thread, up to the job's last status; what it raises is the reason of a failure."""
        role = ExecutionRole(scope, role_arn, session_name="SageMaker")
        name = job[self.kind.name_key]
        self._runs.start(self.kind, scope, name, lambda run: self._run(scope, job, work, run, role))

    def _run(self, scope: Scope, job: Members, work: Work, run: Run, role: ExecutionRole) -> None:
        try:
            work(run, role)
        except (JobError, RoleError) as error:
            reason = error.reason if isinstance(error, JobError) else f"ClientError: {error}"
            if run.stopping:
                self._end(scope, job, "Stopped")
            else:
                self._end(scope, job, "Failed", reason=reason)
        except Exception as error:
            self._end(scope, job, "Failed", reason=f"InternalServerError: the local AWS failed: {error}")
            raise

    def _execute(self, workload: Workload, run: Run, *, log: LogStream, limit_s: float) -> Ending:
        """How the program ended; its results are in the workload's tree then."""
        running = None
        try:
            running = self._platform.start(workload, log.write)
            ending = run.to_end(running, limit_s=limit_s)
            running.collect()
        finally:
            if running is not None:
                running.remove()
            log.close()
        return ending
