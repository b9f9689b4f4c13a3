"""`python -m model_src`: what a model team runs before it commits.

check FOLDER            every broken rule of FOLDER/model.yaml, and CSV files beside it with other columns,
                        as file:line: rule: message
show FOLDER             the model as JSON
split CSV FOLDER        CSV divided into FOLDER/train.csv and FOLDER/holdout.csv
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from model_src.contract import FILE_NAME, Model, read_model
from model_src.dataset import read_header, read_table
from model_src.errors import ContractError, DatasetError, ModelError, Problem
from model_src.estimator import hyperparameter_names
from model_src.split import split_table, write_rows


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, or 2 when the folder or the data is wrong."""
    options = _parser().parse_args(arguments)
    try:
        sys.stdout.write(_COMMANDS[options.command](options) + "\n")
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_src", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "show", "split"):
        command = commands.add_parser(name)
        if name == "split":
            command.add_argument("csv", type=Path)
            command.add_argument("--share", type=float, default=0.2, help="the holdout's share of the rows")
            command.add_argument("--seed", type=int, default=0)
        command.add_argument("folder", type=Path)
    return parser


def _check(options: argparse.Namespace) -> str:
    model = _read(options.folder)
    check_samples(options.folder, model)
    return f"{options.folder / FILE_NAME}: ok: {model.name}, {model.task} of {model.target.name}"


def check_samples(folder: Path, model: Model) -> None:
    """Nothing, if the CSV files beside a model.yaml have its columns. Raises: ContractError."""
    problems = []
    for file in sorted(folder.glob("*.csv")):
        try:
            read_header(file, columns=list(model.columns))
        except DatasetError as error:
            message = str(error).removeprefix(f"{file.name}:1: ")
            problems.append(Problem(str(file), 1, "csv-header", message))
    if problems:
        raise ContractError(problems)


def _show(options: argparse.Namespace) -> str:
    return json.dumps(asdict(_read(options.folder)), indent=2)


def _split(options: argparse.Namespace) -> str:
    model = read_model(options.folder)
    table = read_table([options.csv], columns=list(model.columns))
    parts = split_table(table, model, share=options.share, seed=options.seed)
    for name, rows in parts.items():
        write_rows(table, rows, options.folder / f"{name}.csv")
    return ", ".join(f"{name}.csv: {len(rows)} rows" for name, rows in parts.items())


def _read(folder: Path) -> Model:
    """The model of a source folder; builds and Terraform find it by the folder's name, so that is its own."""
    model = read_model(folder, names=hyperparameter_names)
    if model.name != folder.resolve().name:
        message = f"name: '{model.name}' is not the folder's name '{folder.resolve().name}'"
        raise ContractError([Problem(str(folder / FILE_NAME), 1, "name-folder", message)])
    return model


_COMMANDS = {"check": _check, "show": _show, "split": _split}

if __name__ == "__main__":
    sys.exit(main())
