from __future__ import annotations

from typing import Any

import pytest

from pipeline.drift import Difference, check_drift, compare_endpoint, read_releases
from pipeline.errors import DriftError
from pipeline.ledger import Entry

TAGS = {"Project": "mlops", "Environment": "staging", "ManagedBy": "release"}
ENDPOINT = {"EndpointName": "mlops-staging-iris", "EndpointConfigName": "mlops-staging-iris-1"}


def entry(kind: str, status: str, details: dict[str, Any], *, environment: str = "staging") -> Entry:
    body = {"environment": environment, "status": status, "details": details}
    return Entry(1, "", "", kind, "", body, "")


def release(config: str, *, status: str = "InService", environment: str = "staging") -> Entry:
    made = {"endpoint_name": f"mlops-{environment}-iris", "endpoint_config_name": config}
    return entry("release", status, {"release": made}, environment=environment)


def test_the_last_release_that_went_into_service_counts() -> None:
    entries = [release("one"), release("two"), release("three", status="Failed")]
    entries += [release("four", environment="production"), entry("run", "Quarantined", {})]

    assert read_releases(entries, "staging") == {"mlops-staging-iris": "two"}


def test_what_expired_is_no_longer_expected() -> None:
    removed = [{"kind": "endpoint", "name": "mlops-staging-iris"}]
    entries = [release("one"), entry("expiry", "Expired", {"removed": removed})]

    assert read_releases(entries, "staging") == {}


def test_an_endpoint_as_it_was_released_does_not_differ() -> None:
    assert list(compare_endpoint(ENDPOINT, "mlops-staging-iris-1", tags=TAGS)) == []


@pytest.mark.parametrize(
    ("config", "tags", "reason"),
    [
        (None, TAGS, "was never released"),
        (
            "mlops-staging-iris-2",
            TAGS,
            "serves mlops-staging-iris-1, and was released with mlops-staging-iris-2",
        ),
        ("mlops-staging-iris-1", {"Project": "mlops"}, "has no tag Environment, ManagedBy"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_named(
    config: str | None, tags: dict[str, str], reason: str
) -> None:
    (difference,) = compare_endpoint(ENDPOINT, config, tags=tags)

    assert reason in difference.reason


def test_drift_is_an_error_of_its_own() -> None:
    check_drift([], stack="core")

    with pytest.raises(DriftError, match=r"aws_kms_key\.data is gone") as caught:
        check_drift([Difference("aws_kms_key.data", "is gone")], stack="core")
    assert caught.value.exit_code == 13
