from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import BuildError
from pipeline.image import BuildOptions, build_request, read_build_stream, read_push_stream
from pipeline.settings import Settings


def ignore(_line: str) -> None:
    pass


def test_a_build_reports_its_steps_and_gives_the_id() -> None:
    steps: list[str] = []
    stream: list[dict[str, Any]] = [
        {"stream": "Step 1/2 : FROM scratch"},
        {"stream": "\n"},
        {"stream": "Step 2/2 : COPY a b"},
        {"aux": {"ID": "sha256:abc"}},
        {"stream": "Successfully built abc\n"},
    ]

    assert read_build_stream(stream, report=steps.append) == "sha256:abc"
    assert steps == ["Step 1/2 : FROM scratch", "Step 2/2 : COPY a b"]


def test_a_failing_step_is_named_with_the_end_of_its_output() -> None:
    stream: list[dict[str, Any]] = [
        {"stream": "Step 3/9 : RUN pip install numpy"},
        {"stream": "ERROR: No matching distribution found for numpy"},
        {
            "errorDetail": {"code": 1},
            "error": "The command '/bin/sh -c pip install numpy' returned a non-zero code: 1",
        },
    ]

    with pytest.raises(BuildError) as failure:
        read_build_stream(stream, report=ignore)

    assert "failed in 'Step 3/9 : RUN pip install numpy'" in str(failure.value)
    assert "No matching distribution found for numpy" in str(failure.value)


def test_a_build_that_ends_without_an_image_is_an_error() -> None:
    with pytest.raises(BuildError, match="ended without an image, after 'Step 1/1 : FROM x'"):
        read_build_stream([{"stream": "Step 1/1 : FROM x"}], report=ignore)


def test_a_push_gives_the_digest_of_the_registry() -> None:
    stream: list[dict[str, Any]] = [
        {"status": "Pushed"},
        {"aux": {"Tag": "t", "Digest": "sha256:def", "Size": 1}},
    ]

    assert read_push_stream(stream, where="host/name:t") == "sha256:def"


def test_a_refused_push_carries_the_registrys_words() -> None:
    stream: list[dict[str, Any]] = [{"errorDetail": {}, "error": "unauthorized: authentication required"}]

    with pytest.raises(BuildError, match="Could not push host/name:t: unauthorized: authentication required"):
        read_push_stream(stream, where="host/name:t")


def test_a_push_without_a_digest_is_an_error() -> None:
    with pytest.raises(BuildError, match="named no digest"):
        read_push_stream([{"status": "Pushed"}], where="host/name:t")


def test_the_build_has_no_network_and_only_the_given_arguments(settings: Settings) -> None:
    request = build_request(
        settings, "iris", "serving", options=BuildOptions(commit="abc", base_image="base:1")
    )

    assert request["network_mode"] == "none"
    assert request["target"] == "serving"
    assert request["buildargs"] == {"MODEL_FOLDER_NAME": "iris", "COMMIT": "abc", "BASE_IMAGE": "base:1"}
