"""`python -m pipeline.cli.docs` writes docs/cli.md; with --check it says whether the page is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import typer
from typer.cli import get_docs_for_click

from pipeline.cli import app
from pipeline.errors import PipelineError
from pipeline.settings import read_settings

_PREFACE = """# The command line

<!-- Written by `make docs` from the commands themselves. -->

Results go to stdout, progress and errors to stderr. With `--json` a result is one JSON object, an error
`{"error": {"type", "message", "exit_code"}}` on one line.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
"""
_INTERRUPTED = "Interrupted by Ctrl-C or SIGTERM. What the command had started was ended first."
_ENVIRONMENT = """
## Environment variables

| variable | meaning |
|---|---|
| `AWS_*` | whatever the AWS SDK knows: profile, region, endpoint, certificates |
| `TF_WORKSPACE` | the environment, where `--env` is not given |
| `MLOPS_BASE_IMAGE` | the image to build on |
| `MLOPS_BUILD_DIR` | where everything is written; `build` |
| `MLOPS_COMMIT` | the commit, where there is no git folder to ask |
| `SOURCE_DATE_EPOCH` | the time that images bear, in seconds since 1970, instead of the commit's |
| `MLOPS_SOURCE` | the address of the code for the images' labels, instead of git's origin |
| `MLOPS_MODELS`, `MLOPS_PROJECT` | instead of `models` and `project` in mlops.toml |
| `MLOPS_REGISTRY_USERNAME`, `MLOPS_REGISTRY_PASSWORD` | the login of `mlops push --registry` |

"""


def render() -> str:
    """The whole page."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in list_exit_codes())
    context = typer.Context(typer.main.get_command(app))
    commands = get_docs_for_click(obj=context.command, ctx=context, indent=1, name="mlops")
    codes += f"| 130 | {_INTERRUPTED} |\n"
    return _PREFACE + codes + _ENVIRONMENT + "\n".join(line.rstrip() for line in commands.splitlines()) + "\n"


def list_exit_codes() -> Iterator[tuple[int, str]]:
    """Each code of the error tree with what its first error says of itself."""
    errors: tuple[type[PipelineError], ...] = (PipelineError, *PipelineError.__subclasses__())
    for error in errors:
        meaning = "Any other failure of the pipeline." if error is PipelineError else error.__doc__
        yield error.exit_code, " ".join(str(meaning).split())


def main() -> int:
    file = read_settings().checkout / "docs" / "cli.md"
    page = render()
    if "--check" not in sys.argv:
        file.write_text(page)
        return 0
    if file.is_file() and file.read_text() == page:
        return 0
    print(f"{file} is not up to date: run `make docs`.", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
