"""Uploads that no event reported are found and started once; all others are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from lambda_fakes import FakeS3, FakeStepFunctions

from pipeline.lambdas.claim import claim
from pipeline.lambdas.reconcile import Route, reconcile, release_claims
from pipeline.runs_table import RunsTable, Status

ROUTES = {name: Route(f"datasets/{name}/", f"machine-{name}") for name in ("iris", "wine")}
GRACE, LOOKBACK = timedelta(minutes=2), timedelta(days=1)


class Place:
    """One bucket, one table, and executions that claim as the state machine's first state does."""

    def __init__(self, s3: FakeS3, runs: RunsTable, now: datetime) -> None:
        self.s3, self.runs, self.now = s3, runs, now
        self.states = FakeStepFunctions()

    def put(self, key: str, *, age: timedelta) -> dict[str, Any]:
        self.s3.now = self.now - age
        version = self.s3.put_object(Bucket="data", Key=key, Body=b"")["VersionId"]
        return {"bucket": "data", "key": key, "version_id": version}

    def pass_by(self) -> list[str]:
        return list(
            reconcile(
                ROUTES,
                bucket="data",
                since=self.now - LOOKBACK,
                until=self.now - GRACE,
                s3=self.s3,
                states=self.states,
                runs=self.runs,
            )
        )

    def claim_all(self) -> Iterator[str]:
        for place, (machine, event) in enumerate(self.states.started):
            model = machine.removeprefix("machine-")
            request = {"model": model, "execution_arn": f"e{place}", "event": event}
            yield claim(request, s3=self.s3, runs=self.runs, now=self.now)["outcome"]


@pytest.fixture
def place(s3: FakeS3, runs: RunsTable, now: datetime) -> Place:
    return Place(s3, runs, now)


def test_each_unreported_upload_starts_its_own_models_machine_once_the_oldest_first(place: Place) -> None:
    later = place.put("datasets/iris/a.csv", age=timedelta(minutes=3))
    first = place.put("datasets/iris/b.csv", age=timedelta(hours=1))
    second = place.put("datasets/iris/b.csv", age=timedelta(hours=1))
    wine = place.put("datasets/wine/a.csv", age=timedelta(minutes=3))

    started = place.pass_by()
    outcomes = list(place.claim_all())
    again = place.pass_by()

    assert [machine for machine, _ in place.states.started] == ["machine-iris"] * 3 + ["machine-wine"]
    assert [event for _, event in place.states.started] == [
        {**upload, "uploaded_by": None, "route": "reconciler"} for upload in (first, second, later, wine)
    ]
    assert len(set(started)) == 4
    assert outcomes == ["claimed"] * 4
    assert again == []


def test_an_upload_with_a_run_is_left_alone(place: Place) -> None:
    upload = place.put("datasets/iris/a.csv", age=timedelta(hours=1))
    request = {"model": "iris", "execution_arn": "e", "event": upload}
    claim(request, s3=place.s3, runs=place.runs, now=place.now)

    assert place.pass_by() == []


@pytest.mark.parametrize(
    ("key", "age"),
    [
        ("datasets/iris/young.csv", timedelta(seconds=119)),
        ("datasets/iris/old.csv", timedelta(days=2)),
        ("datasets/of-no-model.csv", timedelta(hours=1)),
        ("quarantine/iris/a.csv", timedelta(hours=1)),
    ],
)
def test_what_is_young_or_old_or_beside_the_datasets_is_not_started(
    key: str, age: timedelta, place: Place
) -> None:
    place.put(key, age=age)

    assert place.pass_by() == []


def test_an_event_that_comes_after_all_is_a_duplicate(place: Place) -> None:
    upload = place.put("datasets/iris/a.csv", age=timedelta(minutes=3))
    place.pass_by()
    place.states.started.append(("machine-iris", {**upload, "uploaded_by": None, "route": "s3"}))

    assert list(place.claim_all()) == ["claimed", "duplicate"]


def test_two_passes_before_the_claim_are_one_run(place: Place) -> None:
    place.put("datasets/iris/a.csv", age=timedelta(minutes=3))

    assert place.pass_by() == place.pass_by()
    assert list(place.claim_all()) == ["claimed", "duplicate"]


def released(place: Place) -> list[str]:
    return list(release_claims(states=place.states, runs=place.runs, now=place.now))


@pytest.mark.parametrize("status", ["Running", "WaitingForApproval"])
@pytest.mark.parametrize("ended", ["ABORTED", "TIMED_OUT", "FAILED"])
def test_a_run_whose_execution_ended_without_a_record_is_stopped(
    place: Place, ended: str, status: Status
) -> None:
    place.runs.claim({"run_id": "iris-1", "model": "iris", "execution_arn": "e1"}, now=place.now)
    if status != "Running":
        place.runs.move("iris-1", status, now=place.now)
    assert released(place) == []

    place.states.executions["e1"] = ended

    assert released(place) == ["iris-1"]
    assert released(place) == []
    run = place.runs.get("iris-1")
    assert run["status"] == "Stopped"
    assert run["reason"].startswith("the execution ")


def test_what_an_execution_recorded_of_its_end_stays(place: Place) -> None:
    place.runs.claim({"run_id": "iris-1", "model": "iris", "execution_arn": "e1"}, now=place.now)
    place.runs.move("iris-1", "Failed", now=place.now, facts={"reason": "its own"})
    place.states.executions["e1"] = "FAILED"

    assert released(place) == []
    assert place.runs.get("iris-1")["reason"] == "its own"
