"""Every rule of a root's variables has, in iac/testing/refusals.toml, input that it refuses."""

from __future__ import annotations

import re
import tomllib

import pytest
from checkout import ROOT

REFUSALS = tomllib.loads((ROOT / "iac" / "testing" / "refusals.toml").read_text())


@pytest.mark.parametrize("root", ["bootstrap", "core", "environment"])
def test_every_rule_has_input_that_it_refuses(root: str) -> None:
    text = "".join(file.read_text() for file in sorted((ROOT / "iac" / root).glob("*.tf")))
    messages = re.findall(r'error_message = "(.*)"', text)
    beginnings = [re.split(r"\$\{", message)[0] for message in messages]
    cases = [case["refused"] for case in REFUSALS[root]]

    without = [start for start in beginnings if not any(agree(start, case) for case in cases)]

    assert messages
    assert without == []
    assert len(cases) == len(messages)


def agree(one: str, other: str) -> bool:
    """Whether one is the other's beginning."""
    return one.startswith(other) or other.startswith(one)
