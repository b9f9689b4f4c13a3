from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bootstrap import set_cut_off_aside


@pytest.mark.parametrize("text", ["", '{"version": 4, "resour'])
def test_a_state_file_that_a_killed_terraform_left_empty_or_broken_off_is_set_aside(
    tmp_path: Path, text: str
) -> None:
    state = tmp_path / "local.tfstate"
    state.write_text(text)

    set_cut_off_aside(state)

    assert not state.exists()
    assert state.with_suffix(".cut-off").read_text() == text


def test_a_whole_state_file_stays_and_an_absent_one_is_none(tmp_path: Path) -> None:
    state = tmp_path / "local.tfstate"
    set_cut_off_aside(state)
    state.write_text('{"version": 4}')

    set_cut_off_aside(state)

    assert state.exists()
