"""model.yaml: every broken rule is named with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_examples import AS_CLASSIFICATION, CONTRACT, SHIPPED, changed, read_example, write_contract

from model_src.__main__ import main
from model_src.contract import read_model
from model_src.errors import ContractError
from model_src.estimator import hyperparameter_names


def problems_of(folder: Path, text: str) -> list[tuple[int, str, str]]:
    """Line, rule and message of each problem."""
    with pytest.raises(ContractError) as caught:
        read_model(write_contract(folder, text), names=hyperparameter_names)
    return [(problem.line, problem.rule, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_models_keep_every_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", str(folder)])

    assert code == 0
    assert f"ok: {folder.name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "line", "rule", "message"),
    [
        (("target: rent", "target: price"), 3, "target-column", "no column 'price'"),
        (("name: rooms", "name: area"), 6, "column-unique", "'area' already"),
        (("type: integer", "type: int"), 6, "schema/enum", "columns[1].type: 'int' is not one of"),
        (("unit: m2", "units: m2"), 5, "schema/additionalProperties", "columns[0].units: is not a field"),
        (("min_rows: 4\n", ""), 1, "schema/required", "'min_rows' is a required property"),
        (("min: 1, max: 500", "min: 9, max: 5"), 5, "column-range", "9 is above max 5"),
        (("allowed: [gas, oil]", "min: 1"), 7, "column-range", "a category has no min"),
        (("allowed: [gas, oil]", "allowed: [gas, 1]"), 7, "column-allowed", "1 is no value of a column"),
        (("allowed: [gas, oil]", 'allowed: [gas, ""]'), 7, "column-allowed", "is never read"),
        (("unit: m2, min: 1", "allowed: [1]"), 5, "column-allowed", "a number has a range"),
        (
            ("{name: rent, type: number, min: 0}", "{name: rent, type: category}"),
            9,
            "target-type",
            "of type number",
        ),
        (
            ("rent, type: number", "rent, type: number, missing: true"),
            9,
            "target-missing",
            "may not be missing",
        ),
        (("type: ridge", "type: logistic_regression"), 11, "estimator-task", "does no regression"),
        (("alpha: 0.1", "alfa: 0.1"), 12, "estimator-hyperparameter", "no such hyperparameter; it has alpha"),
        (("rmse: {max", "accuracy: {max"), 15, "gate-metric", "no metric of a regression"),
        (("tolerance: 1e-3", "tolerance: 0"), 16, "schema/exclusiveMinimum", "gates.parity.tolerance"),
        (("{area: 50,", "{surface: 50,"), 18, "golden-column", "the features are area, rooms"),
        (("area: 50", "area: 5000"), 18, "golden-value", "5000 is above max 500"),
        (("heating: gas", "heating: wood"), 18, "golden-value", "'wood' is not allowed"),
        (("area: 50, ", ""), 18, "golden-column", "the feature 'area' is not given"),
        (
            ("expect: {value: 500, tolerance: 300}", "expect: {label: low}"),
            19,
            "golden-expect",
            "answer a value",
        ),
        (("name: flat", "name: Flat"), 1, "schema/pattern", "'Flat' does not match"),
        (("unit: m2,", "max_missing_share: 0.1,"), 5, "column-missing", "add `missing: true`"),
        (("min_rows: 4", "min_rows: 4\nmin_rows_per_class: 2"), 14, "target-classes", "has no classes"),
    ],
)
def test_each_broken_rule_is_named_with_its_line(
    tmp_path: Path, change: tuple[str, str], line: int, rule: str, message: str
) -> None:
    problems = problems_of(tmp_path, changed(CONTRACT, change))

    assert (line, rule) in [(found[0], found[1]) for found in problems]
    assert any(message in found[2] for found in problems if found[1] == rule)


def test_label_of_no_class_is_refused(tmp_path: Path) -> None:
    text = changed(
        CONTRACT, *AS_CLASSIFICATION, ("rent, type: category", "rent, type: category, allowed: [a, b]")
    )

    assert (
        18,
        "golden-value",
        "golden[0].expect.label: 'low' is not allowed; allowed are a, b",
    ) in problems_of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("", 1, "yaml"),
        ("name: [", 1, "yaml"),
        ("name: a\nname: b\n", 2, "yaml-key"),
        ("name: &x a\ntarget: *x\n", 1, "yaml-alias"),
        ("name: !!python/object/apply:os.system [ls]\n", 1, "yaml-tag"),
        ("- a list\n", 1, "schema/type"),
    ],
)
def test_what_is_not_one_plain_document_is_refused(tmp_path: Path, text: str, line: int, rule: str) -> None:
    problems = problems_of(tmp_path, text)

    assert [(found[0], found[1]) for found in problems] == [(line, rule)]


def test_words_and_numbers_are_read_as_terraform_reads_them(tmp_path: Path) -> None:
    model = read_example(tmp_path, ("[gas, oil]", "[no, gas]"))

    assert model.columns["heating"].allowed == ("no", "gas")
    assert model.gates.parity_tolerance == 0.001


def test_check_prints_every_problem_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_contract(tmp_path, changed(CONTRACT, ("target: rent", "target: price"), ("alpha", "alfa")))

    code = main(["check", str(folder)])

    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{folder}/model.yaml:3: target-column: target: there is no column 'price'")
    assert len(lines) == 2


def test_a_model_whose_folder_has_another_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_contract(tmp_path, changed(CONTRACT, ("name: flat", "name: house")))

    assert main(["check", str(folder)]) == 2
    assert "name-folder: name: 'house' is not the folder's name 'flat'" in capsys.readouterr().err


def test_show_prints_the_contract_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(write_contract(tmp_path))]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown["target"]["name"] == "rent"
    assert [column["name"] for column in shown["features"]] == ["area", "rooms", "heating", "district"]


def test_check_compares_the_csv_files_with_the_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_contract(tmp_path)
    header = "rent,area,rooms,heating,district\n"
    (folder / "train.csv").write_text(header + "many,more,rows,than,are read\n")
    assert main(["check", str(folder)]) == 0

    (folder / "train.csv").write_text(header.replace("rooms", "room"))
    (folder / "holdout.csv").write_text("")
    capsys.readouterr()

    assert main(["check", str(folder)]) == 2
    said = capsys.readouterr().err
    assert (
        f"{folder}/train.csv:1: csv-header: column 'rooms' is missing; the header has rent, area, room"
        in said
    )
    assert f"{folder}/holdout.csv:1: csv-header: the file is empty" in said
