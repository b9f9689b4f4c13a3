"""check-image without a server: the catalogue, what is read off an image, limits to the unit, reports."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.conformance import image, invocation, report, tree
from pipeline.conformance.catalogue import CHECKS, choose_checks
from pipeline.conformance.check import BreachError, NotApplicableError, Result
from pipeline.conformance.containers import parse_listeners
from pipeline.conformance.executor import run_checks
from pipeline.conformance.health import judge_time
from pipeline.conformance.limits import Limits
from pipeline.conformance.processes import ProcessRuntime
from pipeline.conformance.program import ImageFacts, Launch, StartError
from pipeline.conformance.sample import Sample, read_sample
from pipeline.conformance.subject import Material, Subject
from pipeline.errors import ConformanceError, UsageError

FACTS = ImageFacts(
    os="linux",
    architecture="amd64",
    size_bytes=10 * 1000**3,
    entrypoint=("python3", "serve.py"),
    user="",
    environment={"PATH": "/bin"},
    labels={},
    history=("COPY . .",),
)


class FactsOnly:
    """A runtime whose image is only looked at."""

    name: Any = "container"

    def __init__(self, facts: ImageFacts | None):
        self.facts = facts

    def start(self, launch: Launch) -> Any:
        raise AssertionError(f"{launch} is not to be started")

    def close(self) -> None:
        pass


def look(facts: ImageFacts | None) -> dict[str, Result]:
    subject = Subject(FactsOnly(facts), Material(), Limits())
    try:
        results = run_checks(image.CHECKS, subject, report=lambda _: None)
    finally:
        subject.close()
    return {result.check.id: result for result in results}


def failed(facts: ImageFacts) -> set[str]:
    return {name for name, result in look(facts).items() if result.status == "fail"}


def test_there_are_forty_checks_and_more_each_with_a_name_of_its_own() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS) >= 40
    assert all(check.says.endswith(".") and check.source for check in CHECKS)


def test_an_image_just_within_the_limits_passes() -> None:
    assert failed(FACTS) == set()


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"size_bytes": 10 * 1000**3 + 1}, "image-size"),
        ({"os": "windows"}, "image-platform"),
        ({"architecture": "s390x"}, "image-platform"),
        ({"entrypoint": ("/bin/sh", "-c", "python3 serve.py")}, "entrypoint-exec-form"),
        ({"entrypoint": ("bash", "-lc", "serve")}, "entrypoint-exec-form"),
        ({"entrypoint": ("/usr/bin/tini", "--", "python3")}, "entrypoint-no-tini"),
        ({"user": "1000:1000"}, "image-user"),
        ({"environment": {"API_KEY": "x"}}, "image-no-secrets"),
        ({"history": ("RUN aws configure set aws_access_key_id AKIAABCDEFGHIJKLMNOP",)}, "image-no-secrets"),
    ],
)
def test_an_image_says_what_is_wrong_with_it(change: dict[str, Any], check: str) -> None:
    assert failed(replace(FACTS, **change)) == {check}


def test_a_program_folder_has_no_image_to_be_looked_at() -> None:
    assert {result.status for result in look(None).values()} == {"n/a"}


def test_a_time_at_the_limit_passes_and_one_over_it_fails() -> None:
    assert judge_time(lambda: 0.25, 0.25, "to connect") == "250 ms to connect"
    with pytest.raises(BreachError, match=r"0\.26 s to connect"):
        judge_time(lambda: 0.26, 0.25, "to connect")


def test_a_pause_of_this_machine_is_not_held_against_the_server() -> None:
    times = iter([3.0, 0.1])

    assert judge_time(lambda: next(times), 2, "to answer") == "100 ms to answer"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"MaxConcurrentTransforms": 10, "MaxPayloadInMB": 10, "BatchStrategy": "SINGLE_RECORD"}, None),
        ({"MaxPayloadInMB": 100}, None),
        ({"MaxPayloadInMB": 101}, "more than 100 MB"),
        ({"MaxConcurrentTransforms": 11, "MaxPayloadInMB": 10}, "more than 100 MB"),
        ({"MaxConcurrentTransforms": "8"}, "no whole number"),
        ({"MaxPayloadInMB": True}, "no whole number"),
        ({"BatchStrategy": "SOME"}, "BatchStrategy is 'SOME'"),
        ([], "no JSON object"),
    ],
)
def test_execution_parameters_are_judged(parameters: object, problem: str | None) -> None:
    found = invocation.find_parameter_problem(parameters)

    assert found is None if problem is None else problem in str(found)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"1,2\n", "text/csv"), (b'{"instances": [[1, 2]]}', "application/json; charset=utf-8")],
)
def test_a_sample_is_padded_to_the_byte(body: bytes, content_type: str) -> None:
    padded = Sample(body, content_type).padded(1000)

    assert padded is not None
    assert len(padded) == 1000
    assert padded.strip() == body.strip()


def test_a_sample_is_filled_with_its_rows_to_the_byte() -> None:
    csv = Sample(b"a,b\n1,2\n", "text/csv").filled(15)
    body = Sample(b'{"instances": [[1]]}', "application/json").filled(1000)

    assert csv == b"a,b\n1,2\n1,2\n\n\n\n"
    assert body is not None
    assert len(body) == 1000
    assert len(json.loads(body)["instances"]) == 197
    assert Sample(b"x", "image/png").filled(10) is None


def test_rows_of_a_sample_are_repeated() -> None:
    assert Sample(b"a,b\n1,2\n", "text/csv").repeated(3) == b"a,b\n1,2\n1,2\n1,2\n"
    assert json.loads(Sample(b'{"instances": [[1]]}', "application/json").repeated(3)) == {
        "instances": [[1], [1], [1]]
    }
    assert json.loads(Sample(b"[[1]]", "application/json").repeated(2)) == [[1], [1]]
    assert Sample(b'{"text": "hello"}', "application/json").repeated(3) == b'{"text": "hello"}'
    assert Sample(b"\x00\x01", "application/octet-stream").repeated(3) == b"\x00\x01"


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.bin", b"x"), ("a.json", b"{"), ("a.csv", b" \n"), ("deep.json", b"[" * 100_000)],
)
def test_a_payload_that_cannot_be_a_sample_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(UsageError, match=name):
        read_sample(tmp_path / name, None)


def test_listeners_are_read_from_the_kernels_table() -> None:
    table = (
        "  sl  local_address rem_address   st\n"
        "   0: 0100007F:1F90 00000000:0000 0A\n"
        "   1: 00000000:1388 00000000:0000 0A\n"
        "   2: 0B00007F:A2C3 00000000:0000 0A\n"
        "   3: 020011AC:1F90 010011AC:C350 01\n"
        "   4: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A\n"
        "   5: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A\n"
    )

    assert parse_listeners(table) == ("0.0.0.0:5000", "0.0.0.0:8081", "127.0.0.1:8080", "::1:8082")


def test_a_training_tree_has_hyperparameters_as_strings_and_no_results(tmp_path: Path) -> None:
    given = tmp_path / "given"
    (given / "input/config").mkdir(parents=True)
    (given / "input/config/hyperparameters.json").write_text('{"depth": 3, "name": "x", "on": true}')
    (given / "input/data/train").mkdir(parents=True)
    (given / "input/data/train/a.csv").write_text("1\n")
    (given / "model").mkdir()
    (given / "model/old").write_text("of the last time")

    made = tree.make_training_tree(given, tmp_path / "made")
    name = tree.add_channel(made)

    parameters = json.loads((made / "input/config/hyperparameters.json").read_text())
    assert parameters == {"depth": "3", "name": "x", "on": "true"}
    assert list((made / "model").iterdir()) == []
    assert (made / "input/data" / name / "a.csv").read_text() == "1\n"
    assert list(json.loads((made / "input/config/inputdataconfig.json").read_text())) == [name]


def test_a_model_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        member = tarfile.TarInfo("../escaped")
        file.addfile(member, io.BytesIO())

    with pytest.raises(UsageError, match="escaped"):
        tree.make_serving_tree(archive, tmp_path / "ml")
    assert not (tmp_path / "ml/escaped").exists()


@pytest.mark.parametrize(("files", "size"), [(1, 40 * 1024**3), (10_001, 0)])
def test_a_model_archive_larger_than_a_model_is_refused_before_it_is_unpacked(
    files: int, size: int, tmp_path: Path
) -> None:
    archive = tmp_path / "model.tar"
    with archive.open("wb") as file:
        for number in range(files):
            member = tarfile.TarInfo(f"file-{number}")
            member.size = size
            file.write(member.tobuf())

    with pytest.raises(UsageError, match="unpacks to more than 21474836480 bytes or 10000 files"):
        tree.make_serving_tree(archive, tmp_path / "ml")
    assert list((tmp_path / "ml/model").iterdir()) == []


@pytest.mark.parametrize("content_type", ["text/csv\r\nX: y", "text/\u20ac", "text/\u00e9", " "])
def test_a_content_type_that_no_header_can_hold_is_refused(content_type: str, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("1\n")

    with pytest.raises(UsageError, match="is no value of a header"):
        read_sample(tmp_path / "one.csv", content_type)


def test_a_test_folder_with_entries_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    for number, spoil in enumerate(
        [
            lambda given: (given / "input/data/train/gone").symlink_to(given / "nowhere"),
            lambda given: (given / "input/config").write_text("a file"),
            lambda given: (given / "input/config/hyperparameters.json").mkdir(parents=True),
        ]
    ):
        given = tmp_path / f"job-{number}"
        (given / "input/data/train").mkdir(parents=True)
        spoil(given)

        with pytest.raises(UsageError, match=r"test folder"):
            prepare(Material(test_dir=given))


def prepare(material: Material) -> None:
    subject = Subject(FactsOnly(FACTS), material, Limits())
    try:
        subject.prepare()
    finally:
        subject.close()


def test_what_cannot_be_used_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no archive")
    (tmp_path / "data").mkdir()
    job = tmp_path / "job"
    (job / "input/data/train").mkdir(parents=True)
    (job / "input/config").mkdir()
    prepare(Material(model=tmp_path / "data", test_dir=job))

    with pytest.raises(UsageError, match=r"model\.bin is neither a folder nor a model archive"):
        prepare(Material(model=tmp_path / "model.bin"))
    with pytest.raises(UsageError, match="has no input/data"):
        prepare(Material(test_dir=tmp_path / "data"))
    for text, problem in (("{", "is not JSON"), ("[1]", "no JSON object"), ("[" * 100_000, "is not JSON")):
        (job / "input/config/hyperparameters.json").write_text(text)
        with pytest.raises(UsageError, match=rf"hyperparameters\.json .*{problem}"):
            prepare(Material(test_dir=job))


def test_a_report_that_cannot_be_written_is_refused_before_the_engine_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    refused = CliRunner().invoke(app, ["check-image", "any:1", "--junit", str(tmp_path / "file" / "a.xml")])

    assert isinstance(refused.exception, UsageError)
    assert "its folder cannot be made" in str(refused.exception)


def test_a_script_that_may_not_be_executed_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "serve").write_text("#!/bin/sh\nsleep 60\n")
    runtime = ProcessRuntime(tmp_path)
    (tmp_path / "ml").mkdir()

    with pytest.raises(StartError, match=r"not executable\. Make it so: chmod \+x"):
        runtime.start(Launch("serve", tmp_path / "ml"))
    runtime.close()


def test_checks_are_chosen_by_id_and_by_part() -> None:
    assert [check.id for check in choose_checks(only=["empty-body"])] == ["empty-body"]
    assert "empty-body" not in {check.id for check in choose_checks(skip=["empty-body"])}
    training = {check.id for check in choose_checks(part="training")}
    assert {"train-succeeds", "image-size"} <= training
    assert "ping-in-time" not in training
    with pytest.raises(UsageError, match="no check full-body"):
        choose_checks(only=["full-body"])


@pytest.mark.parametrize(
    "choice",
    [["--part", "training", "--only", "keep-alive"], ["--only", "empty-body", "--skip", "empty-body"]],
)
def test_a_choice_that_leaves_no_check_is_refused(choice: list[str]) -> None:
    refused = CliRunner().invoke(app, ["check-image", "any:1", *choice])

    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception).startswith("No check is left by --part ")


def results() -> list[Result]:
    must = next(check for check in CHECKS if check.id == "ping-in-time")
    should = next(check for check in CHECKS if check.id == "logs")
    other = next(check for check in CHECKS if check.id == "bind-to-port")
    return [
        Result(must, "pass", "3 ms", 0.1),
        Result(should, "fail", "nothing\x1b[2J was written <here>", 0.2),
        Result(other, "n/a", "no label", 0),
    ]


def test_a_should_fails_an_image_only_when_asked_to() -> None:
    report.check_results(results(), "mine", strict=False)

    with pytest.raises(ConformanceError, match="mine fails logs") as caught:
        report.check_results(results(), "mine", strict=True)
    assert caught.value.exit_code == 12


def test_results_that_are_all_not_applicable_do_not_pass_a_strict_check() -> None:
    unchecked = [result for result in results() if result.status == "n/a"]
    report.check_results(unchecked, "mine", strict=False)

    with pytest.raises(ConformanceError, match="Nothing of mine was checked"):
        report.check_results(unchecked, "mine", strict=True)


def test_results_as_json_keep_what_was_not_checked_apart() -> None:
    body = report.to_json(results(), image="mine", runtime="process")

    assert body["summary"] == {"pass": 1, "fail (must)": 0, "fail (should)": 1, "n/a": 1}
    assert [one["status"] for one in body["checks"]] == ["pass", "fail", "n/a"]
    assert body["checks"][0]["source"] == "Custom Inference Code with Hosting Services"


def test_results_as_junit_are_xml_whatever_the_image_says() -> None:
    suite = ElementTree.fromstring(report.to_junit(results(), image="mine"))  # noqa: S314 - our own

    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    failure = suite.find("testcase[@name='logs']/failure")
    assert failure is not None
    assert failure.get("type") == "should"
    assert "<here>" in str(failure.get("message"))


def test_without_a_sample_or_a_model_the_checks_say_what_to_give() -> None:
    subject = Subject(FactsOnly(FACTS), Material(), Limits())

    for ask, option in ((lambda: subject.sample, "--payload"), (lambda: subject.model, "--model")):
        with pytest.raises(NotApplicableError, match=option):
            ask()
    with pytest.raises(NotApplicableError, match="--test-dir"):
        subject.training_tree()
    subject.close()
