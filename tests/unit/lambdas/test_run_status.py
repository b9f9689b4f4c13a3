"""The run item: claimed once, and each status only over one that it may follow."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

import pytest

from pipeline.artefact import Version
from pipeline.errors import RunError, UsageError
from pipeline.runs_table import MAY_FOLLOW, RunsTable, Status, release_attribute, run_id

RUN = "iris-0123456789abcdef"
ITEM = {"run_id": RUN, "model": "iris", "execution_arn": "execution-1", "uploaded_by": None}
STATUSES = [status for status in get_args(Status) if status != "Running"]


def test_a_run_is_named_after_the_exact_upload() -> None:
    upload = Version("bucket", "datasets/iris/a.csv", "v1")

    assert run_id("iris", upload) == "iris-17acdd7400c9a190"
    assert run_id("iris", Version("bucket", "datasets/iris/a.csv", "v2")) != run_id("iris", upload)


def test_the_first_execution_has_the_run(runs: RunsTable, now: datetime) -> None:
    assert runs.claim(ITEM, now=now)
    assert not runs.claim({**ITEM, "execution_arn": "execution-2"}, now=now)
    assert runs.claim(ITEM, now=now)
    assert runs.get(RUN)["created_at"] == "2026-03-01T12:00:00+00:00"


def test_the_first_uploader_named_stays(runs: RunsTable, now: datetime) -> None:
    runs.claim(ITEM, now=now)

    runs.name_uploader(RUN, uploaded_by="alice")
    runs.name_uploader(RUN, uploaded_by="mallory")

    assert runs.get(RUN)["uploaded_by"] == "alice"


def test_an_unknown_run_is_a_usage_error(runs: RunsTable) -> None:
    with pytest.raises(UsageError, match="no run iris-x in runs") as error:
        runs.get("iris-x")

    assert error.value.exit_code == 2


@pytest.mark.parametrize("before", get_args(Status))
@pytest.mark.parametrize("after", STATUSES)
def test_a_status_follows_only_what_it_may(before: Any, after: Any, runs: RunsTable, now: datetime) -> None:
    runs.claim(ITEM, now=now)
    path: dict[str, list[Any]] = {"Running": [], "Approved": ["WaitingForApproval"]}
    path |= {"Rejected": path["Approved"], "Expired": path["Approved"]}
    for status in [*path.get(before, []), before]:
        if status != "Running":
            runs.move(RUN, status, now=now)

    if before == after or before in MAY_FOLLOW[after]:
        runs.move(RUN, after, now=now)
        assert runs.get(RUN)["status"] == after
    else:
        with pytest.raises(RunError, match=f"is {before}; it cannot become {after} any more"):
            runs.move(RUN, after, now=now)
        assert runs.get(RUN)["status"] == before


def test_evidence_keeps_its_numbers(runs: RunsTable, now: datetime) -> None:
    runs.claim(ITEM, now=now)

    runs.note(RUN, {"metrics": {"accuracy": 0.95}, "rows": 150}, now=now)
    runs.note(RUN, {release_attribute("staging"): {"status": "InService"}}, now=now)

    (run,) = runs.all()
    assert (run["metrics"], run["rows"]) == ({"accuracy": 0.95}, 150)
    assert run["release_staging"] == {"status": "InService"}
    assert run["status"] == "Running"
