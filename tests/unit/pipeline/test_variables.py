from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.variables import check_variables

TAKEN = {
    "models": {
        "iris": {"latency_alarm_ms": 500, "serving": {"autoscaling": None, "network_isolation": True}}
    },
    "network": {"enabled": True, "zones": ["a", "b"]},
}


def represent(**given: Any) -> dict[str, Any]:
    """As `terraform show -json` gives a plan: the variables as given, the outputs as planned."""
    return {
        "variables": {name: {"value": value} for name, value in given.items()},
        "planned_values": {"outputs": {"settings": {"value": TAKEN}}},
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "staging.tfvars"
    file.write_text("models = {\n  iris = {\n    serving = { network_isolaton = false }\n  }\n}\n")
    return file


def test_a_misspelled_setting_is_refused_with_its_line(file: Path) -> None:
    given = {"iris": {"serving": {"network_isolaton": False}}}

    with pytest.raises(UsageError) as refused:
        check_variables(represent(models=given), file)

    assert str(refused.value) == (
        "staging.tfvars:3: there is no setting models.iris.serving.network_isolaton; models.iris.serving has "
        "autoscaling, network_isolation."
    )


def test_every_misspelled_setting_is_named(file: Path) -> None:
    given = represent(models={"iris": {"servin": {}}}, network={"enable": True})

    with pytest.raises(
        UsageError, match=r"models\.iris\.servin; .* network\.enable; network has enabled, zones"
    ):
        check_variables(given, file)


def test_what_was_taken_passes(file: Path) -> None:
    models = {"iris": {"latency_alarm_ms": 100, "serving": {"network_isolation": False}}}

    check_variables(represent(models=models, network=None, ttl_hours=72), file)


def test_a_root_without_such_settings_passes(file: Path) -> None:
    check_variables({"planned_values": {}}, file)
