"""`python -m localaws up|down|status|interrupt`.

Exit codes: 0, 1 for a failure, 2 for wrong usage, 3 when the machine is not ready.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from localaws import control, profiles
from localaws.errors import LocalAwsError
from localaws.settings import Recording, Runtime, Settings

app = typer.Typer(
    help="A local AWS on this machine. Its state is in memory and ends with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StateDir = Annotated[Path, typer.Option(help="Where its certificate, profiles, log and status are written.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")]
RuntimeOption = Annotated[
    Runtime,
    typer.Option(help="container demands an engine; process never uses one; auto takes one if it answers."),
]
DecisionsOption = Annotated[
    Recording,
    typer.Option(help="What of IAM's decisions is written to decisions.jsonl: each once, all, or none."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

DEFAULT_STATE_DIR = Path("build/local")
DEFAULT_PORT = 4566


def main() -> None:
    """Runs the command line."""
    try:
        app()
    except LocalAwsError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


@app.command()
def up(
    port: Port = DEFAULT_PORT,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    runtime: RuntimeOption = "auto",
    decisions: DecisionsOption = "distinct",
    as_json: Json = False,
) -> None:
    """Start the local AWS in the background and print the lines that point any AWS client at it."""
    settings = Settings(port, state_dir.resolve(), runtime, decisions)
    status = control.start(settings)
    if as_json:
        typer.echo(json.dumps(vars(status)))
        return
    engine = f" with {status.engine}" if status.engine else ""
    typer.echo(
        f"# Local AWS at {status.endpoint}, jobs as {status.runtime}{engine}; state ends with it (`down`)."
    )
    for name, value in profiles.environment(settings).items():
        typer.echo(f"export {name}={value}")


@app.command()
def down(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """Stop the local AWS and everything it started. What it held is gone."""
    settings = Settings(0, state_dir.resolve())
    stopped = control.stop(settings)
    if as_json:
        typer.echo(json.dumps({"stopped": stopped}))
        return
    message = "The local AWS is stopped; its state is gone." if stopped else "No local AWS was running."
    typer.echo(message)


@app.command()
def status(state_dir: StateDir = DEFAULT_STATE_DIR, as_json: Json = False) -> None:
    """Show the running local AWS; exit code 1 when there is none."""
    settings = Settings(0, state_dir.resolve())
    found = control.read_status(settings)
    if found is None:
        typer.echo(json.dumps(None) if as_json else "No local AWS is running.")
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(vars(found)))
        return
    for name, value in vars(found).items():
        typer.echo(f"{name}: {value}")


@app.command()
def interrupt(
    training_job: Annotated[str, typer.Argument(help="A training job with EnableManagedSpotTraining.")],
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Take the Spot instance of a training job back, as AWS does; the job goes on from its checkpoints."""
    control.interrupt(Settings(0, state_dir.resolve()), training_job)
    typer.echo(f"The Spot instance of {training_job} is taken back.")


@app.command(hidden=True)
def serve(
    port: Port, state_dir: StateDir, runtime: RuntimeOption, decisions: DecisionsOption = "distinct"
) -> None:
    """Run the server in this process; `up` starts it so."""
    from localaws import server

    server.serve(Settings(port, state_dir, runtime, decisions))
