"""Every error a user can meet, as one tree. The CLI prints the message and exits with `exit_code`."""

from __future__ import annotations


class PipelineError(Exception):
    """What failed, which thing, and what to do next, in one message."""

    exit_code = 1


class UsageError(PipelineError):
    """The call or a settings file is wrong: a bad option, a bad model.yaml, an unknown run."""

    exit_code = 2


class SetupError(PipelineError):
    """Something the machine needs is missing: Terraform, the provider, a container engine, a free port."""

    exit_code = 3


class BuildError(PipelineError):
    """The model image could not be built or pushed."""

    exit_code = 4


class TerraformError(PipelineError):
    """Terraform failed; the message carries its own diagnosis."""

    exit_code = 5


class StateLockedError(TerraformError):
    """Somebody else holds the lock on the state, or died with it."""


class PlanError(PipelineError):
    """The saved plan is not the one to apply: missing, changed, or applied already."""

    exit_code = 6


class PolicyError(PlanError):
    """The saved plan loses state, opens something to the public or grants by wildcard; nobody named it."""


class RunError(PipelineError):
    """A retraining run or a release ended badly, with its own reason."""

    exit_code = 7


class ReleaseRefusedError(RunError):
    """The release was refused before it touched anything: a wrong digest, package or state."""


class EndpointBusyError(RunError):
    """Another deployment of the endpoint is under way; the state machine waits and tries again."""


class LeaseLostError(RunError):
    """Another execution has taken over the endpoint; this one changes nothing any more."""


class RollbackError(RunError):
    """The endpoint could not be brought back; a person has to look."""


class ApprovalError(PipelineError):
    """An approval or a rejection is refused: by the uploader, twice, expired, forged, or of nothing."""

    exit_code = 8


class SelfApprovalError(ApprovalError):
    """The approver is the person whose work is to be approved."""


class ApprovalMissingError(ApprovalError):
    """Nobody has signed an approval, for instance when the package was approved in the console."""


class ApprovalUsedError(ApprovalError):
    """There is an approval already, or it has released something already."""


class ApprovalRevokedError(ApprovalError):
    """What was approved, or waited for it, has been rejected since."""


class ApprovalExpiredError(ApprovalError):
    """The approval is older than its own expiry."""


class ApprovalForgedError(ApprovalError):
    """The record does not carry the signature of the approval key."""


class ApprovalMismatchError(ApprovalError):
    """The approval is for something else: another package, image, model, evaluation or environment."""


class SmokeError(PipelineError):
    """The endpoint does not run what was released, or does not answer its golden requests."""

    exit_code = 9


class LedgerError(PipelineError):
    """The ledger cannot be written, or its chain is broken."""

    exit_code = 10


class LeftOverError(PipelineError):
    """Resources are left after a teardown."""

    exit_code = 11


class ConformanceError(PipelineError):
    """The image fails checks of SageMaker's container contract."""

    exit_code = 12


class DriftError(PipelineError):
    """What is there differs from what was applied or released."""

    exit_code = 13


class TrackingError(PipelineError):
    """MLflow's server does not answer or refuses, or a run's files cannot be read; no delivery ends by it."""

    exit_code = 14
