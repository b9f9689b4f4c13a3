"""Requests of an interval become one data point per variant and metric."""

from __future__ import annotations

from localaws.sagemaker.metrics import Invocation, metric_data


def invocation(variant: str, status: int, latency_s: float) -> Invocation:
    return Invocation("iris", variant, 2, status, latency_s, 0.001)


def test_requests_are_counted_by_variant() -> None:
    requests = [invocation("a", 200, 0.010), invocation("a", 500, 0.010), invocation("b", 400, 0.020)]

    points = {
        (point["Dimensions"][1]["Value"], point["MetricName"]): dict(
            zip(point["Values"], point["Counts"], strict=True)
        )
        for point in metric_data(requests)
    }

    assert points["a", "Invocations"] == {1.0: 2.0}
    assert points["a", "Invocation5XXErrors"] == {0.0: 1.0, 1.0: 1.0}
    assert points["a", "ModelLatency"] == {10_000.0: 2.0}
    assert points["b", "Invocation4XXErrors"] == {1.0: 1.0}
    assert points["b", "InvocationsPerInstance"] == {0.5: 1.0}


def test_request_without_an_answer_is_an_error() -> None:
    (point,) = (
        p for p in metric_data([invocation("a", 0, 60.0)]) if p["MetricName"] == "Invocation5XXErrors"
    )

    assert point["Values"] == [1.0]
