"""Every mend says what it hooks, the hooks are there, and another version of ministack is refused."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

from localaws import mends
from localaws.errors import LocalAwsError

HOOK = re.compile(r"`(?:(?P<file>[a-z0-9_/]+)\.py)?(?:::)(?P<name>[A-Za-z0-9_.]+)")


def hooks(name: str) -> list[tuple[str, str]]:
    """Module and name of each hook in a mend's docstring; `::name` is of the module named before."""
    text = (import_module(f"localaws.mends.{name}").__doc__ or "").partition("Hook:")[2]
    found, module = [], ""
    for match in HOOK.finditer(text):
        if match["file"]:
            module = f"ministack.{match['file'].replace('/', '.')}"
        found.append((module, match["name"].rstrip(".")))
    return found


@pytest.mark.parametrize("name", mends.MENDS)
def test_a_mend_says_what_it_hooks_and_the_hooks_are_there(name: str) -> None:
    documented = import_module(f"localaws.mends.{name}").__doc__ or ""

    assert re.search(r"^AWS: .*^ministack: .*^Hook: ", documented, re.MULTILINE | re.DOTALL)
    assert hooks(name)
    for module, attribute in hooks(name):
        reduce(getattr, attribute.split("."), import_module(module))


@pytest.mark.parametrize("name", mends.MENDS)
def test_a_mend_has_a_contract_test(name: str) -> None:
    assert (Path(__file__).parent / f"test_mend_{name}.py").exists()


def test_another_version_of_ministack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mends, "version", lambda _: "1.5.34")

    with pytest.raises(LocalAwsError, match=r"is for ministack 1\.5\.33, and 1\.5\.34 is installed"):
        mends.apply()
