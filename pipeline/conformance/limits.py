"""The contract's numbers, each once."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1024**2


@dataclass(frozen=True)
class Limits:
    """SageMaker's numbers. Others than these make another contract: only the tests shorten them.

    `healthy_s` and `answer_s` may be lowered by whoever does not want to wait that long, which is stricter.

    Source: "Custom Inference Code with Hosting Services" (the times of serving), "Custom Inference Code with
    Batch Transform", "Amazon SageMaker AI endpoints and quotas" (payloads), "How Amazon SageMaker AI Runs
    Your Training Image" (120 s), "How Amazon SageMaker AI Processes Training Output" (1,024 characters),
    "Deploy models with Amazon SageMaker Serverless Inference" (10 GB), InvokeEndpoint (custom attributes).
    """

    accept_s: float = 0.25
    ping_s: float = 2.0
    answer_s: float = 60.0
    healthy_s: float = 480.0
    stop_s: float = 30.0
    train_stop_s: float = 120.0
    real_time_bytes: int = 25 * MB
    old_real_time_bytes: int = 6 * MB
    batch_bytes: int = 100 * MB
    image_bytes: int = 10 * 1000**3
    failure_characters: int = 1024
    attribute_characters: int = 1024
    # What follows is ours: how hard a server is tried. The contract has no numbers for it.
    burst_connections: int = 32
    slow_clients: int = 100
    load_s: float = 0.5
    # What of an answer, a log and a failure file is read at most: nothing sensible is larger.
    answer_bytes: int = 100 * MB
    text_bytes: int = MB
    train_s: float = 3600.0
    # A server that falls over after it has answered needs a moment for it.
    settle_s: float = 0.5
    # How long a server without a usable model is watched once it listens: this, or twice as long as it took
    # to be healthy with one.
    watch_s: float = 1.0
