"""What the commands share: options, output, and the clients and settings they hand to the stages."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from pipeline import stack
from pipeline.aws import Aws, Caller, read_caller
from pipeline.commit import read_authors, read_commit
from pipeline.names import PipelineNames, read_names
from pipeline.settings import Environment, parse_environment, read_settings
from pipeline.toolchain import find_toolchain

Env = Annotated[
    Environment,
    typer.Option(
        "--env",
        envvar="TF_WORKSPACE",
        parser=parse_environment,
        metavar="staging|production|pro",
        help="The environment; `pro` is production.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object; errors become one on stderr.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, change nothing.")]
# Who has it answers a gate; nothing that is printed does.
SECRETS = frozenset({"task_token"})
Model = Annotated[str | None, typer.Option("--model", help="The model; needed where there are several.")]


class Desk:
    """One command's settings, clients and voice, each made when first used."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.settings = read_settings()
        self.aws = Aws(self.settings.region)
        self._stderr = Console(stderr=True, highlight=False)

    @cached_property
    def caller(self) -> Caller:
        return read_caller(self.aws.client("sts"))

    @cached_property
    def commit(self) -> str:
        return read_commit(self.settings.checkout, os.environ)

    @cached_property
    def workshop(self) -> stack.Workshop:
        return stack.Workshop(
            settings=self.settings,
            account_id=self.caller.account_id,
            caller=self.caller.arn,
            authors=tuple(sorted({*read_authors(self.settings.checkout, os.environ), self.caller.person})),
            toolchain=find_toolchain(self.settings.checkout, os.environ),
            environ=os.environ,
            commit=self.commit,
            report=self.report,
        )

    def names(self, environment: Environment) -> PipelineNames:
        return read_names(
            self.settings,
            environment,
            ask_terraform=lambda wanted: stack.read_outputs(self.workshop, wanted),
        )

    def report(self, line: str) -> None:
        """One line of progress, on stderr so that stdout stays the result's."""
        self._stderr.print(line, markup=False, soft_wrap=True)

    def show(self, result: Mapping[str, Any], *, text: RenderableType = "") -> None:
        """The command's result: the object for programs, or its text for people."""
        if self.as_json:
            print(json.dumps(_without_secrets(result), default=str), flush=True)  # noqa: T201 - the result of the command
            return
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        console.print(text, markup=False, soft_wrap=isinstance(text, str))


def _without_secrets(value: Any) -> Any:
    """The value, and what is in it, without what opens something."""
    if isinstance(value, Mapping):
        return {name: _without_secrets(one) for name, one in value.items() if name not in SECRETS}
    return [_without_secrets(one) for one in value] if isinstance(value, list | tuple) else value
