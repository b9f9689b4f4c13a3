"""What only shows beside something else: rows of the holdout, a leaked label, drift; and its statistics."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline.dataset import Reference, Report, check_dataset, parse_contract, read_holdout
from pipeline.errors import UsageError
from pipeline.profile import (
    MAX_CHARACTERS,
    SAMPLE_ROWS,
    Cell,
    Sample,
    _chi_squared,
    _cramers_v,
    _psi,
    association,
    describe,
    measure_drift,
)

MODEL: dict[str, Any] = {
    "task": "classification",
    "target": "species",
    "min_rows": 3,
    "columns": [
        {"name": "length", "type": "number", "missing": True},
        {"name": "place", "type": "category", "missing": True},
        {"name": "code", "type": "integer"},
        {"name": "species", "type": "category", "allowed": ["cat", "hen"]},
    ],
}
HEADER = "length,place,code,species"
NAMES = ["length", "place", "code", "species"]
NUMERIC = {"length": True, "place": False, "code": True, "species": False}


def rows(count: int, *, seed: int = 0, shift: float = 0.0, places: str = "abc") -> list[str]:
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        species = draw.choice(["cat", "hen"])
        length = draw.gauss(shift + (species == "cat"), 1)
        made.append(f"{length:.3f},{draw.choice(places)},{draw.randrange(100)},{species}")
    return made


def text(lines: list[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *lines]).encode()


def check(
    lines: list[str], *, holdout: list[str] | None = None, profile: Any = None, **checks: float
) -> Report:
    contract = parse_contract({**MODEL, **({"checks": checks} if checks else {})})
    held = read_holdout([text(holdout)], contract=contract) if holdout else frozenset()
    return check_dataset([text(lines)], contract=contract, reference=Reference(held, profile))


def test_rows_of_the_holdout_are_refused_with_the_first_of_them() -> None:
    lines = rows(100)

    report = check(lines, holdout=[*rows(10, seed=1), lines[7]])

    (problem,) = report.problems
    assert (problem.line, problem.value, problem.bound) == (9, "0.01", "0")
    assert problem.message == "1 of 100 rows are in the frozen holdout; this is the first"


def test_a_row_is_the_same_however_its_numbers_and_columns_are_written() -> None:
    lines = [*rows(50), "1.50, a ,7,cat"]
    held = "cat,07,a,+1.5e0"
    contract = parse_contract(MODEL)
    holdout = read_holdout([text([held], "species,code,place,length")], contract=contract)

    report = check_dataset([text(lines)], contract=contract, reference=Reference(holdout))

    assert "1 of 51 rows are in the frozen holdout" in report.reason


def test_a_share_of_rows_may_be_in_the_holdout_where_the_contract_says_so() -> None:
    lines = rows(100)

    assert check(lines, holdout=lines[:5], max_holdout_share=0.05).accepted
    assert not check(lines, holdout=lines[:6], max_holdout_share=0.05).accepted


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", text(["x,a,1,cat"]), text(["1,a"])])
def test_a_holdout_of_another_contract_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match="The holdout of the model is not one of its contract"):
        read_holdout([content], contract=parse_contract(MODEL))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_label_that_was_copied_into_a_column_is_refused(noise: float) -> None:
    draw = random.Random(1)
    lines = []
    for line in rows(400):
        length, place, _, species = line.split(",")
        told = (species == "cat") != (draw.random() < noise)
        lines.append(f"{length},{place},{int(told)},{species}")

    report = check(lines)

    assert [problem.column for problem in report.problems] == ["code"]
    assert "the column tells the target species: association" in report.reason
    assert check(lines, max_leakage=1.0).accepted


def test_a_target_that_was_copied_into_a_column_of_a_regression_is_refused() -> None:
    model = {
        "task": "regression",
        "target": "rent",
        "columns": [
            {"name": "area", "type": "number"},
            {"name": "taxes", "type": "number"},
            {"name": "rent", "type": "number"},
        ],
    }
    draw = random.Random(0)
    lines = []
    for _ in range(300):
        area = draw.uniform(20, 200)
        rent = 10 * area + draw.gauss(0, 300)
        lines.append(f"{area},{rent * 0.2 + draw.gauss(0, 1)},{rent}")

    report = check_dataset([text(lines, "area,taxes,rent")], contract=parse_contract(model))

    assert [problem.column for problem in report.problems] == ["taxes"]


def profile_of(lines: list[str]) -> Any:
    return check(lines).profile


def test_data_of_the_same_kind_has_not_drifted() -> None:
    for seed in range(20):
        report = check(rows(300, seed=seed + 100), profile=profile_of(rows(300, seed=seed)))

        assert report.accepted, report.reason
        assert [drift.column for drift in report.drift] == NAMES


@pytest.mark.parametrize(
    ("changed", "column"),
    [({"shift": 1.5}, "length"), ({"places": "cd"}, "place"), ({"places": "aaaaaabc"}, "place")],
)
def test_drift_is_refused_with_its_column_and_statistic(changed: dict[str, Any], column: str) -> None:
    profile = profile_of(rows(500))

    report = check(rows(500, seed=1, **changed), profile=profile)

    assert [problem.column for problem in report.problems] == [column]
    assert "the values have drifted from the champion's training data: PSI" in report.reason
    assert report.problems[0].bound == "0.250"
    assert check(rows(500, seed=1, **changed), profile=profile, max_drift=20).accepted


def test_values_that_begin_to_be_missing_are_drift() -> None:
    lines = [line if index % 3 else "," + line.partition(",")[2] for index, line in enumerate(rows(300))]

    report = check(lines, profile=profile_of(rows(300)))

    assert [problem.column for problem in report.problems] == ["length"]


def test_a_column_that_the_champion_did_not_have_is_not_compared() -> None:
    profile = profile_of(rows(100))
    del profile["columns"]["place"]

    assert [drift.column for drift in check(rows(100), profile=profile).drift] == [
        "length",
        "code",
        "species",
    ]


def test_the_same_file_has_the_same_profile() -> None:
    lines = rows(2 * SAMPLE_ROWS)

    assert profile_of(lines) == profile_of(lines)
    assert profile_of(lines)["rows"] == SAMPLE_ROWS


def test_every_row_has_the_same_chance_of_being_in_the_sample() -> None:
    sample = Sample()
    for number in range(4 * SAMPLE_ROWS):
        sample.add((float(number),))

    quarters = np.array([row[0] for row in sample.rows], dtype=float) // SAMPLE_ROWS

    counts = np.bincount(quarters.astype(int), minlength=4)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_a_sample_of_enormous_fields_stays_small() -> None:
    sample = Sample()

    sample.add(("x" * 1_000_000, 1.0))

    assert sample.rows == [("x" * MAX_CHARACTERS, 1.0)]


def test_cramers_v_is_scipys_but_for_its_bias() -> None:
    draw = random.Random(0)
    pairs: list[tuple[Cell, Cell]] = []
    for _ in range(20_000):
        label = draw.choice("abc")
        pairs.append((label if draw.random() < 0.7 else draw.choice("abc"), label))
    table = [[sum(pair == (x, y) for pair in pairs) for y in "abc"] for x in "abc"]

    assert _cramers_v(pairs) == pytest.approx(stats.contingency.association(table), abs=1e-3)


def test_columns_that_know_nothing_of_each_other_have_no_association() -> None:
    draw = random.Random(0)
    feature: list[Cell] = [draw.choice("abcdefghij") for _ in range(60)]
    target: list[Cell] = [draw.choice("xyz") for _ in range(60)]

    assert association(feature, target, numeric=False, classes=True) < 0.25
    assert association(feature[:5], target[:5], numeric=False, classes=True) == 0
    assert association(["a"] * 60, target, numeric=False, classes=True) == 0


def test_the_rank_correlation_is_scipys() -> None:
    draw = random.Random(0)
    xs: list[Cell] = [float(draw.randrange(20)) for _ in range(200)]
    ys: list[Cell] = [float(x) ** 2 + draw.gauss(0, 50) for x in xs]

    found = association(xs, ys, numeric=True, classes=False)

    assert found == pytest.approx(abs(stats.spearmanr(xs, ys).statistic))
    assert association([1.0] * 200, ys, numeric=True, classes=False) == 0
    assert association(["a"] * 200, ys, numeric=False, classes=False) == 0


@pytest.mark.parametrize("degrees", [1, 3, 9, 20])
def test_the_chi_squared_quantile_is_scipys_within_a_few_per_cent(degrees: int) -> None:
    assert _chi_squared(0.999, degrees=degrees) == pytest.approx(stats.chi2.ppf(0.999, degrees), rel=0.04)


def test_the_psi_is_its_definition() -> None:
    old, new = [0.5, 0.3, 0.2], [0.4, 0.4, 0.2]
    expected = sum((b - a) * math.log(b / a) for a, b in zip(old, new, strict=True))

    assert _psi(old, new, rows=1000) == pytest.approx(expected)
    assert math.isfinite(_psi([1.0, 0.0], [0.0, 1.0], rows=100))


def test_empty_columns_have_a_profile_and_no_drift() -> None:
    cells: list[tuple[Cell, ...]] = [("", "", 1.0, "cat")] * 50
    profile = describe(cells, names=NAMES, numeric=NUMERIC)

    assert [one.psi for one in measure_drift(profile, cells, names=NAMES, max_psi=0.25)] == [0, 0, 0, 0]
