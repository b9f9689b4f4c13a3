"""The `mlops` command line: one thin function per command, grouped by flow."""

from __future__ import annotations

import json
import signal
import sys

import typer
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as AwsConnectionError

from pipeline.cli import (
    answers,
    conformance,
    demo,
    images,
    infrastructure,
    lineage,
    machine,
    models,
    serving,
    state,
    tracking,
)
from pipeline.errors import PipelineError, SetupError, UsageError

_UNREACHABLE = (
    AwsConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
_REFUSALS = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
_ABSENT = {"NoSuchBucket", "ResourceNotFoundException"}

app = typer.Typer(
    name="mlops",
    help="Deliver machine-learning models on AWS: from a merge, from a dataset upload, to production.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(machine.doctor)
app.add_typer(machine.local, name="local")
app.add_typer(state.state, name="state")
app.add_typer(serving.ledger, name="ledger")
for command in (
    infrastructure.bootstrap,
    images.build,
    images.push,
    conformance.check_image,
    infrastructure.plan,
    infrastructure.apply,
    infrastructure.destroy,
    infrastructure.drift,
    models.upload,
    models.retrain,
    models.runs,
    models.watch,
    models.redrive,
    lineage.show,
    lineage.compare,
    tracking.track,
    lineage.reproduce,
    answers.approve,
    answers.reject,
    serving.status,
    serving.smoke,
    serving.predict,
    serving.history,
    serving.served,
    demo.demo,
):
    app.command()(command)


def main() -> None:
    """Runs a command. Our own errors are one line and a documented exit code; others keep their traceback."""
    # As for Ctrl-C: Terraform is interrupted and gives back its lock, and a demo tears down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    as_json = "--json" in sys.argv
    try:
        # Typer words a wrong call for people; as JSON it is worded here.
        sys.exit(app(standalone_mode=not as_json))
    except typer.Abort:
        sys.exit(1)
    except Exception as error:
        known = translate_error(error)
        if known is None:
            raise
        sys.exit(report_error(known, as_json=as_json))


def translate_error(error: Exception) -> PipelineError | None:
    """Our own error, or one for what a person can mend about the way to AWS; None for everything else."""
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, typer.TyperException):
        words = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
        return UsageError(f"{words.rstrip('.')}. See `mlops --help`.")
    if isinstance(error, _UNREACHABLE):
        return SetupError(
            f"AWS cannot be asked: {error}. Check AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL."
        )
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else None
    if code in _REFUSALS:
        return SetupError(f"AWS refuses this caller: {error}. Check AWS_PROFILE.")
    if code in _ABSENT:
        return SetupError(
            f"What was applied from this checkout is not there: {error}. Check AWS_PROFILE and "
            "AWS_ENDPOINT_URL, or plan and apply again."
        )
    return None


def report_error(error: PipelineError, *, as_json: bool) -> int:
    """Prints the error in one line on stderr; the exit code."""
    message = " ".join(str(error).split())
    body = {"error": {"type": type(error).__name__, "message": message, "exit_code": error.exit_code}}
    print(json.dumps(body) if as_json else f"error: {message}", file=sys.stderr)  # noqa: T201
    return error.exit_code
