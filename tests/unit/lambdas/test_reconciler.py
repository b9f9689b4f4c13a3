"""Uploads that no event reported are found and started once; all others are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lambda_fakes import FakeS3, FakeStepFunctions

from pipeline.lambdas.claim import claim
from pipeline.lambdas.reconcile import Route, enter_stops, reconcile, release_claims
from pipeline.ledger import Ledger
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


def stopped_place(place: Place, *, holder: str = "e1") -> str:
    place.runs.claim({"run_id": "iris-1", "model": "iris", "execution_arn": holder}, now=place.now)
    place.states.executions[holder] = "ABORTED"
    return "iris-1"


def test_an_execution_that_aws_has_forgotten_ends_its_run_and_not_the_round(place: Place) -> None:
    stopped_place(place)
    place.states.executions["e1"] = "GONE"
    place.runs.claim({"run_id": "iris-2", "model": "iris", "execution_arn": "e2"}, now=place.now)
    place.states.executions["e2"] = "ABORTED"

    assert sorted(released(place)) == ["iris-1", "iris-2"]
    assert place.runs.get("iris-1")["reason"] == "the execution ended so long ago that AWS no longer knows it"


def test_other_errors_about_an_execution_end_the_round(place: Place) -> None:
    stopped_place(place)
    place.states.executions["e1"] = "DENIED"

    with pytest.raises(ClientError, match="AccessDeniedException"):
        released(place)


def test_a_claim_that_another_execution_took_meanwhile_is_not_released(place: Place) -> None:
    run_id = stopped_place(place)

    assert not place.runs.release(run_id, holder="e0", reason="late", now=place.now)
    assert place.runs.get(run_id)["status"] == "Running"


def test_a_stop_is_entered_into_the_ledger_once(place: Place) -> None:
    run_id = stopped_place(place)
    released(place)
    ledger = Ledger("ledger", s3=place.s3, now=lambda: place.now, sleep=float)

    for _ in range(2):
        enter_stops(environment="staging", runs=place.runs, ledger=ledger, now=place.now)

    (entry,) = ledger.entries()
    assert (entry.kind, entry.entry_id) == ("run", "e1/Stopped")
    assert entry.body == {
        "environment": "staging",
        "run_id": run_id,
        "status": "Stopped",
        "reason": "the execution was stopped",
        "execution_arn": "e1",
        "details": {},
    }


def test_a_stop_whose_entry_was_not_noted_is_not_entered_again(place: Place) -> None:
    run_id = stopped_place(place)
    released(place)
    ledger = Ledger("ledger", s3=place.s3, now=lambda: place.now, sleep=float)
    enter_stops(environment="staging", runs=place.runs, ledger=ledger, now=place.now)
    noted = {"entered": "nobody", "release_staging": {"status": "Failed"}}
    place.runs.note(run_id, noted, now=place.now + timedelta(hours=1))

    enter_stops(environment="staging", runs=place.runs, ledger=ledger, now=place.now)

    assert len(list(ledger.entries())) == 1
    assert place.runs.get(run_id)["entered"] == "e1"


def test_what_an_execution_recorded_of_its_end_stays(place: Place) -> None:
    place.runs.claim({"run_id": "iris-1", "model": "iris", "execution_arn": "e1"}, now=place.now)
    place.runs.move("iris-1", "Failed", now=place.now, facts={"reason": "its own"})
    place.states.executions["e1"] = "FAILED"

    assert released(place) == []
    assert place.runs.get("iris-1")["reason"] == "its own"
