"""Datasets: what is refused, with the place, and what the numbers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_examples import AS_CLASSIFICATION, DATA, SHIPPED, changed, encode, read_example

from model_src.contract import read_model
from model_src.dataset import read_table
from model_src.encoding import UNKNOWN, CellError, Feature, encode_text, encode_values
from model_src.errors import DatasetError
from model_src.split import split_table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "part-0.csv:1: the file is empty"),
        ("area,rooms,heating,district,rent\n", "part-0.csv:1: there is a header but no row"),
        (changed(DATA, (",rent", ",price")), "part-0.csv:1: column 'rent' is missing; the header has area"),
        (changed(DATA, (",rent", ",rent,age")), "part-0.csv:1: column 'age' is not in the contract"),
        (changed(DATA, ("area,rooms", "area,area,rooms")), "part-0.csv:1: column 'area' is there twice"),
        (changed(DATA, ("80.5", "large")), "part-0.csv:3: column 'area': 'large' is not a number"),
        (changed(DATA, ("80.5", "nan")), "part-0.csv:3: column 'area': 'nan' is not a finite number"),
        (changed(DATA, ("80.5", "1e39")), "part-0.csv:3: column 'area': 1e+39 is beyond 1e+30"),
        (changed(DATA, ("80.5", "8_0")), "part-0.csv:3: column 'area': '8_0' is not a number"),
        (changed(DATA, ("80.5", "")), "part-0.csv:3: column 'area': a value is missing"),
        (changed(DATA, ("80.5", "501")), "part-0.csv:3: column 'area': 501 is above max 500"),
        (changed(DATA, ("80.5", "0")), "part-0.csv:3: column 'area': 0 is below min 1"),
        (changed(DATA, ("80.5,3", "80.5,3.5")), "part-0.csv:3: column 'rooms': 3.5 is not an integer"),
        (
            changed(DATA, ("80.5,3", "80.5,16777217")),
            "part-0.csv:3: column 'rooms': 16777217 is beyond 16777216, up to where an integer is exact",
        ),
        (
            changed(DATA, ("oil", "wood")),
            "part-0.csv:3: column 'heating': 'wood' is not allowed; allowed are gas, oil",
        ),
        (
            changed(DATA, ("80.5,3,oil,south,750", "80.5,3,oil,south,")),
            "part-0.csv:3: column 'rent': a value is missing",
        ),
        (changed(DATA, (",620\n", "")), "part-0.csv:5: 4 fields where the header has 5"),
        (changed(DATA, ("oil", 'o"il"')), None),
        (changed(DATA, ("620\n", '"620\n')), "part-0.csv:5: not CSV: unexpected end of data"),
        (changed(DATA, ("oil", "o\0l")), "part-0.csv:3: not text: a zero byte"),
        (changed(DATA, ("60,2,,north,620\n", "")), "part-0.csv: 3 rows are fewer than min_rows 4"),
    ],
)
def test_a_wrong_dataset_is_refused_with_its_place(tmp_path: Path, text: str, message: str | None) -> None:
    model = read_example(tmp_path)

    with pytest.raises(DatasetError) as caught:
        encode(tmp_path, model, text)

    assert str(caught.value).startswith(message or "part-0.csv:3: ")


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.csv"
    file.write_bytes(DATA.replace("oil", "öl").encode("latin-1"))

    with pytest.raises(DatasetError, match=r"^latin.csv:3: not UTF-8 text"):
        read_table([file], columns=list(read_example(tmp_path).columns))


def test_cells_become_numbers_codes_and_nan(tmp_path: Path) -> None:
    dataset = encode(tmp_path, read_example(tmp_path), DATA)

    expected = [[50, 2, 0, 0], [80.5, 3, 1, 1], [35, np.nan, 0, 1], [60, 2, np.nan, 0]]
    assert dataset.matrix.dtype == np.float32
    assert np.array_equal(dataset.matrix, np.array(expected, dtype=np.float32), equal_nan=True)
    assert dataset.target.tolist() == [500, 750, 400, 620]
    assert dataset.features[3].categories == ("north", "south")


def test_order_of_columns_and_division_into_files_do_not_matter(tmp_path: Path) -> None:
    model = read_example(tmp_path)
    rows = [row.split(",") for row in DATA.splitlines()]
    turned = [",".join(row[::-1]) for row in rows]

    whole = encode(tmp_path, model, DATA)
    parts = encode(tmp_path, model, "\ufeff" + "\r\n".join(turned[:3]), "\n".join([turned[0], *turned[3:]]))

    assert np.array_equal(whole.matrix, parts.matrix, equal_nan=True)
    assert whole.target.tolist() == parts.target.tolist()


def test_a_class_without_a_row_is_refused(tmp_path: Path) -> None:
    listed = ("rent, type: category", "rent, type: category, allowed: [low, high, royal]")
    model = read_example(tmp_path, *AS_CLASSIFICATION, listed)
    data = changed(DATA, (",500", ",low"), (",750", ",high"), (",400", ",low"), (",620", ",high"))

    with pytest.raises(DatasetError, match="no row has the class 'royal'"):
        encode(tmp_path, model, data)


def test_integer_classes_keep_the_order_of_the_contract(tmp_path: Path) -> None:
    listed = ("{name: rent, type: category}", "{name: rent, type: integer, allowed: [7, 3]}")
    model = read_example(tmp_path, *AS_CLASSIFICATION, listed, ("label: low", "label: 7"))
    data = changed(DATA, (",500", ",3"), (",750", ",7"), (",400", ",3"), (",620", ",7"))

    dataset = encode(tmp_path, model, data)

    assert dataset.classes == (7, 3)
    assert dataset.target.tolist() == [1, 0, 1, 0]


def test_a_column_without_any_value_is_refused(tmp_path: Path) -> None:
    data = changed(DATA, ("50,2", "50,"), ("80.5,3", "80.5,"), ("60,2", "60,"))

    with pytest.raises(DatasetError, match="column 'rooms': no row has a value"):
        encode(tmp_path, read_example(tmp_path), data)


def test_a_category_never_seen_has_a_code_of_its_own_only_where_none_are_listed() -> None:
    learned = Feature("district", "category", False, ("north",), closed=False)
    listed = Feature("heating", "category", False, ("gas",), closed=True)

    assert encode_text(learned, ["west"]).tolist() == encode_values(learned, ["west"]).tolist() == [UNKNOWN]
    with pytest.raises(CellError, match="'west' is not allowed"):
        encode_values(listed, ["west"])


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_no_row_of_a_holdout_is_in_the_training_data(folder: Path) -> None:
    columns = list(read_model(folder).columns)
    train, holdout = (
        set(zip(*read_table([folder / name], columns=columns).cells.values(), strict=True))
        for name in ("train.csv", "holdout.csv")
    )

    assert not train & holdout
    assert len(holdout) >= 0.15 * len(train)


def test_split_is_stratified_seeded_and_without_copies(tmp_path: Path) -> None:
    model = read_example(tmp_path, *AS_CLASSIFICATION)
    rows = [f"{area},1,gas,north,{'low' if area < 30 else 'high'}" for area in range(10, 50)]
    file = tmp_path / "all.csv"
    file.write_text("\n".join(["area,rooms,heating,district,rent", *rows, *rows[:20]]))
    table = read_table([file], columns=list(model.columns))

    parts = split_table(table, model, share=0.2, seed=1)

    assert parts == split_table(table, model, share=0.2, seed=1)
    assert sorted(parts["train"] + parts["holdout"]) == list(range(40))
    assert sum(row < 20 for row in parts["holdout"]) == sum(row >= 20 for row in parts["holdout"]) == 4
