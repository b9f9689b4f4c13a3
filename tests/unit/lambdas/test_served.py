"""What answered at a time gone by, as the ledger tells."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lambda_fakes import FakeS3
from release_samples import RELEASE

from pipeline.errors import UsageError
from pipeline.ledger import Ledger
from pipeline.served import Served, find_served, parse_time

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Past:
    """A ledger into which things are written hour by hour, from noon on."""

    def __init__(self) -> None:
        self.hour = -1
        self.ledger = Ledger("ledger", s3=FakeS3(), now=self.now, sleep=lambda _s: None)

    def now(self) -> datetime:
        return NOON + timedelta(hours=self.hour)

    def write(self, kind: str, **body: Any) -> None:
        self.hour += 1
        self.ledger.append(kind, body, entry_id=f"entry-{self.hour}", since=self.now())

    def release(self, run_id: str, *, status: str = "InService", **changed: Any) -> None:
        values = {"run_id": run_id, "dataset_sha256": f"data of {run_id}", **changed}
        release = dataclasses.asdict(dataclasses.replace(RELEASE, **values))
        self.write(
            "release",
            environment=release["environment"],
            run_id=run_id,
            status=status,
            details={"release": release},
        )

    def served(self, hour: float, **wanted: Any) -> Served:
        question = {"environment": "production", "model": "iris", **wanted}
        return find_served(self.ledger.entries(), at=NOON + timedelta(hours=hour), **question)


@pytest.fixture
def past() -> Past:
    return Past()


def test_the_last_release_before_a_time_answered_then(past: Past) -> None:
    past.release("iris-1")
    past.release("iris-2", image_digest="sha256:2", model_sha256="two")

    first, second = past.served(0.5), past.served(1)

    assert (first.run_id, first.dataset_sha256, first.entry) == ("iris-1", "data of iris-1", 1)
    assert (second.run_id, second.image_digest, second.model_sha256) == ("iris-2", "sha256:2", "two")
    assert second.since == (NOON + timedelta(hours=1)).isoformat()
    assert second.entry_sha256 == list(past.ledger.entries())[1].sha256


def test_what_was_rolled_back_never_answered(past: Past) -> None:
    past.release("iris-1")
    past.release("iris-2", status="Failed")

    assert past.served(5).run_id == "iris-1"
    assert past.served(5).doubt is None


def test_a_rollback_that_failed_leaves_a_doubt_until_the_next_release(past: Past) -> None:
    past.release("iris-1")
    past.release("iris-2", status="RollbackFailed")
    past.release("iris-3")

    assert past.served(0.5).doubt is None
    assert "run iris-2 failed" in str(past.served(1.5).doubt)
    assert (past.served(2).run_id, past.served(2).doubt) == ("iris-3", None)


def test_other_environments_and_models_do_not_count(past: Past) -> None:
    past.release("iris-1")
    past.release("iris-2", environment="staging")
    past.release("penguins-1", model="penguins")
    past.write("plan", environment="production", status="Planned")

    assert past.served(9).run_id == "iris-1"
    assert past.served(9, environment="staging").run_id == "iris-2"
    assert past.served(9, model="penguins").run_id == "penguins-1"


def test_before_the_first_release_nothing_answered(past: Past) -> None:
    past.write("plan", environment="production", status="Planned")
    past.release("iris-1")

    with pytest.raises(UsageError, match=r"first release is of 2026-03-01T13:00:00\+00:00 \(entry 2\)"):
        past.served(0.5)
    with pytest.raises(UsageError, match="or has been since"):
        past.served(5, environment="staging")


def test_what_expired_answers_no_more(past: Past) -> None:
    past.release("iris-1", environment="staging")
    past.write("expiry", environment="staging", status="Expired", details={})
    removed = [{"kind": "endpoint", "name": RELEASE.endpoint_name}]
    past.write("expiry", environment="staging", status="Expired", details={"removed": removed})

    assert past.served(1.5, environment="staging").run_id == "iris-1"
    with pytest.raises(UsageError, match=r"its endpoint was removed at .* \(entry 3\)"):
        past.served(2, environment="staging")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T13:00+01:00", NOON),
        ("2026-03-01T12:00", NOON),
        ("2026-03-01", NOON - timedelta(hours=12)),
    ],
)
def test_times_are_read_as_iso_8601_and_utc(text: str, time: datetime) -> None:
    assert parse_time(text, now=NOON) == time


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("yesterday", "is no time"),
        ("", "is no time"),
        ("2026-03-02", "is still to come"),
        ("2026-13-01", "no time"),
    ],
)
def test_other_times_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_time(text, now=NOON)
