from __future__ import annotations

from typing import Any

import pytest

from pipeline.engine import EngineBuild, read_build_stream
from pipeline.errors import BuildError
from pipeline.image import BuildOptions, build_request
from pipeline.settings import Settings


def ignore(_line: str) -> None:
    pass


def test_a_build_reports_its_steps_and_gives_the_id() -> None:
    steps: list[str] = []
    stream: list[dict[str, Any]] = [
        {"stream": "Step 1/3 : FROM base AS first"},
        {"stream": "\n"},
        {"stream": " ---> 0123456789ab\n"},
        {"stream": "Step 2/3 : FROM scratch"},
        {"stream": "Step 3/3 : COPY a b"},
        {"stream": " ---> Using cache\n"},
        {"stream": " ---> abcabcabcabc\n"},
        {"aux": {"ID": "sha256:abc"}},
        {"stream": "Successfully built abc\n"},
    ]

    assert read_build_stream(stream, report=steps.append) == EngineBuild("sha256:abc", ("0123456789ab",))
    assert steps == ["Step 1/3 : FROM base AS first", "Step 2/3 : FROM scratch", "Step 3/3 : COPY a b"]


def test_a_failing_step_is_named_once_with_the_end_of_its_output() -> None:
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

    assert str(failure.value) == (
        "The image build failed in 'Step 3/9 : RUN pip install numpy': exit code 1: "
        "ERROR: No matching distribution found for numpy"
    )


def test_a_build_that_ends_without_an_image_is_an_error() -> None:
    with pytest.raises(BuildError, match="ended without an image, after 'Step 1/1 : FROM x'"):
        read_build_stream([{"stream": "Step 1/1 : FROM x"}], report=ignore)


def test_the_build_has_no_network_and_only_the_given_arguments(settings: Settings) -> None:
    request = build_request(
        settings, "iris", "serving", options=BuildOptions(commit="abc", created="", base_image="base:1")
    )

    assert request["network_mode"] == "none"
    assert request["target"] == "serving"
    assert request["buildargs"] == {"MODEL_FOLDER_NAME": "iris", "COMMIT": "abc", "BASE_IMAGE": "base:1"}
