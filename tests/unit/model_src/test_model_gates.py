"""The gates beside plain floors: the champion, classes, latency, size, the export; and the report's page."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_examples import AS_CLASSIFICATION, CONTRACT, changed, encode, random_data, read_example
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from model_src.artefact import Artefact
from model_src.comparison import Comparison, compare, shortfall
from model_src.contract import Bound, ChampionRule, Gates, Model, Require, read_model
from model_src.errors import ArtefactError, ContractError
from model_src.evaluation import Evaluation, Incumbent, evaluate, read_champion
from model_src.judgement import Champion, Measurements, judge
from model_src.latency import median_latencies_ms
from model_src.page import calibration, render_page, roc_curve
from model_src.training import fit_artefact

SAME = Comparison("accuracy", 0.9, 0.9, gain=0.0, low=-0.03, high=0.03)
WORSE = Comparison("accuracy", 0.8, 0.9, gain=-0.1, low=-0.15, high=-0.05)
BETTER = Comparison("accuracy", 0.95, 0.9, gain=0.05, low=0.01, high=0.09)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def holdout(folder: Path) -> Path:
    file = folder / "holdout.csv"
    file.write_text(random_data("classification", n_rows=150, seed=1))
    return file


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return read_example(folder, *AS_CLASSIFICATION)


@pytest.fixture(scope="module")
def good(folder: Path, model: Model) -> Artefact:
    return fit_artefact(model, encode(folder, model, random_data("classification")), commit="abc")[0]


@pytest.fixture(scope="module")
def bad(folder: Path, model: Model) -> Artefact:
    """Trained on labels that mean nothing."""
    header, *rows = random_data("classification", seed=2).splitlines()
    labels = np.random.default_rng(0).permutation([row.rpartition(",")[2] for row in rows])
    shuffled = [f"{row.rpartition(',')[0]},{label}" for row, label in zip(rows, labels, strict=True)]
    return fit_artefact(model, encode(folder, model, "\n".join([header, *shuffled]) + "\n"), commit="abc")[0]


def incumbent(artefact: Artefact, **facts: Any) -> Incumbent:
    return Incumbent(artefact, run_id="flat-1", model_sha256="sha", **facts)


def failed(evaluation: Evaluation) -> list[str]:
    return [gate["name"] for gate in evaluation.report["gates"] if not gate["passed"]]


def judged(gates: Gates, **facts: Any) -> dict[str, bool]:
    given = {
        "metrics": {},
        "parity": 0.0,
        "golden": [],
        "latency_ms": 1.0,
        "size_bytes": 1000,
        **facts,
    }
    return {gate.name: gate.passed for gate in judge(gates, Measurements(**given))}


def test_a_candidate_that_is_worse_than_the_champion_misses_the_gate(
    model: Model, good: Artefact, bad: Artefact, holdout: Path
) -> None:
    softer = replace(model, gates=replace(model.gates, metrics=()), golden=())

    worse = evaluate(softer, bad, holdout=holdout, champion=incumbent(good))
    better = evaluate(softer, good, holdout=holdout, champion=incumbent(bad))

    assert failed(worse) == ["champion/accuracy"]
    assert failed(better) == []
    (told,) = worse.report["champion"]["comparisons"]
    assert told["high"] < 0 < told["champion"] - told["candidate"]


def test_a_champion_beside_itself_has_no_gain_and_no_doubt(
    model: Model, good: Artefact, holdout: Path
) -> None:
    report = evaluate(model, good, holdout=holdout, champion=incumbent(good)).report

    (told,) = report["champion"]["comparisons"]
    assert (told["gain"], told["low"], told["high"]) == (0, 0, 0)
    assert all(gate["passed"] for gate in report["gates"])


def test_the_interval_covers_the_true_gain_as_often_as_it_says() -> None:
    """Two models with normal errors of deviation 1 and 1.2, on 60 holdouts of 100 rows."""
    random = np.random.default_rng(3)
    gain = 0.2 * np.sqrt(2 / np.pi)  # the mean of a normal error's size is so much of its deviation
    below = above = 0
    for _ in range(60):
        candidate, champion = random.normal(size=(2, 100)) * [[1.0], [1.2]]
        (found,) = compare(np.zeros(100), candidate, champion, names=["mae"], confidence=0.95)
        below += found.high < gain
        above += found.low > gain

    # 3 of 60 each are expected.
    assert max(below, above) <= 8
    assert below + above >= 1


def test_a_gain_is_what_is_better_in_the_metrics_own_sense() -> None:
    actual = np.array([1.0, 2.0, 3.0, 4.0])

    (rmse, r2) = compare(actual, actual + 0.1, actual + 0.5, names=["rmse", "r2"], confidence=0.9)

    assert rmse.gain == pytest.approx(0.4)
    assert rmse.low == pytest.approx(0.4)
    assert r2.gain > 0


@pytest.mark.parametrize(
    ("require", "max_loss", "passes"),
    [
        ("not_shown_worse", 0.0, [True, False, True]),
        ("not_shown_worse", 0.06, [True, True, True]),
        ("shown_as_good", 0.0, [False, False, True]),
        ("shown_as_good", 0.04, [True, False, True]),
        ("shown_better", 0.0, [False, False, True]),
        ("nothing", 0.0, [True, True, True]),
    ],
)
def test_what_is_asked_beside_the_champion(require: Require, max_loss: float, passes: list[bool]) -> None:
    rule = ChampionRule(require, 0.95, {"accuracy": max_loss})

    assert [shortfall(rule, one) is None for one in (SAME, WORSE, BETTER)] == passes


def test_a_comparison_without_a_number_never_passes() -> None:
    nothing = Comparison("accuracy", float("nan"), 0.9, float("nan"), float("nan"), float("nan"))

    for require in ("not_shown_worse", "shown_as_good", "shown_better"):
        assert shortfall(ChampionRule(require, 0.95, {"accuracy": 0.5}), nothing)  # type: ignore[arg-type]


def test_a_champion_of_another_contract_is_not_passed_over(
    folder: Path, model: Model, good: Artefact, holdout: Path
) -> None:
    four = random_data("classification").replace(",low\n", ",tiny\n")
    other = fit_artefact(model, encode(folder, model, four), commit="abc")[0]

    evaluation = evaluate(model, good, holdout=holdout, champion=incumbent(other))

    assert failed(evaluation) == ["champion"]
    assert "its classes are high, mid, tiny" in evaluation.report["champion"]["incomparable"]
    allowed = replace(model, gates=replace(model.gates, champion=ChampionRule()))
    assert failed(evaluate(allowed, good, holdout=holdout, champion=incumbent(other))) == []


def test_each_class_has_floors_of_its_own() -> None:
    gates = Gates((), 1e-4, classes={"cat": (Bound("recall", "min", 0.8), Bound("precision", "min", 0.5))})
    classes = {"cat": {"recall": 0.7, "precision": 0.6}}

    outcomes = judged(gates, classes=classes)

    assert outcomes["cat/recall"] is False
    assert outcomes["cat/precision"] is True
    assert judged(gates, classes={"hen": classes["cat"]})["cat/recall"] is False


def test_latency_is_bounded_by_itself_and_beside_the_champion() -> None:
    gates = Gates((), 1e-4, max_latency_ms=2.0, max_latency_ratio=5.0)

    alone = judged(gates, latency_ms=2.1)
    beside = judged(gates, latency_ms=1.5, champion=Champion(latency_ms=0.1))

    assert alone["latency_ms"] is False
    assert "latency_ratio" not in alone
    assert (beside["latency_ms"], beside["latency_ratio"]) == (True, False)


def test_the_size_of_the_model_is_bounded() -> None:
    gates = Gates((), 1e-4, max_size_bytes=1000)

    assert judged(gates, size_bytes=1000)["size_bytes"] is True
    assert judged(gates, size_bytes=1001)["size_bytes"] is False


def test_an_export_that_was_exchanged_is_found_without_the_training_library(
    model: Model, good: Artefact, bad: Artefact, holdout: Path
) -> None:
    """The card is the good one's, with the trainer's own word for its parity; the answers are another's."""
    exchanged = Artefact(good.card, bad.onnx)

    report = evaluate(model, exchanged, holdout=holdout).report

    assert good.card.parity < 1e-4 < report["parity"]["difference"]
    assert "parity" in [gate["name"] for gate in report["gates"] if not gate["passed"]]


@pytest.mark.parametrize(
    "probe", [None, {}, {"rows": [], "answers": []}, {"rows": [["a"]], "answers": [[1]]}]
)
def test_a_card_without_the_training_librarys_answers_is_refused(
    probe: object, model: Model, good: Artefact, holdout: Path
) -> None:
    card = replace(good.card, origin={**good.card.origin, "probe": probe})

    with pytest.raises(ArtefactError, match="does not hold what the training library answered"):
        evaluate(model, Artefact(card, good.onnx), holdout=holdout)


class Slow:
    """Takes so many ticks of a clock for each answer."""

    def __init__(self, clock: Clock, ticks: float) -> None:
        self.clock, self.ticks = clock, ticks

    def predict(self, _matrix: object) -> None:
        self.clock.time_s += self.ticks


class Clock:
    time_s = 0.0

    def __call__(self) -> float:
        return self.time_s


def test_latencies_are_medians_of_models_asked_in_turn() -> None:
    clock = Clock()
    fast, slow = Slow(clock, 0.001), Slow(clock, 0.01)
    row: Any = np.zeros((1, 1), dtype=np.float32)

    measured = median_latencies_ms([fast, slow], [row, row], clock=clock)  # type: ignore[list-item]

    assert measured == pytest.approx([1.0, 10.0])


def test_a_model_that_takes_seconds_is_asked_less_often() -> None:
    clock = Clock()

    (measured,) = median_latencies_ms([Slow(clock, 3.0)], [np.zeros((1, 1))], clock=clock)  # type: ignore[list-item]

    assert measured == pytest.approx(3000.0)
    assert clock.time_s < 100


def champion_folder(folder: Path, **facts: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "champion.json").write_text(json.dumps({"run_id": "flat-1", "model_sha256": "", **facts}))
    return folder


def test_no_champion_is_no_rival(tmp_path: Path) -> None:
    assert read_champion(tmp_path) is None
    assert read_champion(champion_folder(tmp_path, run_id=None)) is None


def test_a_champion_whose_model_is_not_there_or_not_the_one_is_refused(tmp_path: Path) -> None:
    folder = champion_folder(tmp_path)

    with pytest.raises(ArtefactError, match=r"There is no .*model\.tar\.gz, which champion\.json says"):
        read_champion(folder)
    (folder / "model.tar.gz").write_bytes(b"another")
    with pytest.raises(ArtefactError, match=f"has sha256 {hashlib.sha256(b'another').hexdigest()}"):
        read_champion(folder)
    (folder / "champion.json").write_text("[]")
    with pytest.raises(ArtefactError, match="does not say which model is the champion"):
        read_champion(folder)
    shutil.rmtree(folder)


class Outline(HTMLParser):
    """What a page is made of: tags that are open, tables and plots, and everything it would load."""

    VOID = {"meta", "br", "rect", "circle", "line", "path", "polyline"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[str] = []
        self.plots = 0
        self.loaded: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes: Mapping[str, str | None] = dict(attrs)
        self.plots += tag == "svg"
        if tag == "table":
            self.tables.append(str(attributes["id"]))
        loads = [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        self.loaded += [str(value) for value in loads] + ([tag] if tag in ("script", "link") else [])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.plots += tag == "svg"

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_of_a_classification_shows_everything_and_loads_nothing(
    model: Model, good: Artefact, bad: Artefact, holdout: Path
) -> None:
    drift = ({"column": "area", "psi": 0.31, "limit": 0.25}, {"column": "rooms", "psi": 0.02, "limit": 0.25})
    evaluation = evaluate(model, bad, holdout=holdout, champion=incumbent(good, drift=drift))

    page = render_page(evaluation.report, evaluation.page)

    outline = Outline(page)
    assert outline.open == []
    assert outline.loaded == []
    assert outline.tables == [
        "facts", "gates", "metrics", "champion", "confusion", "classes", "drift"
    ]  # fmt: skip
    assert outline.plots == 3 + 1 + 1  # a ROC for each class, calibration, drift
    text = " ".join(outline.text)
    assert "The candidate misses" in text
    assert "ROC: low" in text
    assert "area" in text


def test_the_page_of_a_regression_shows_residuals(folder: Path, tmp_path: Path) -> None:
    model = read_example(tmp_path)
    artefact = fit_artefact(model, encode(tmp_path, model, random_data("regression")), commit="abc")[0]
    holdout = tmp_path / "holdout.csv"
    holdout.write_text(random_data("regression", n_rows=40, seed=1))

    evaluation = evaluate(model, artefact, holdout=holdout)
    outline = Outline(render_page(evaluation.report, evaluation.page))

    assert outline.tables == ["facts", "gates", "metrics"]
    assert outline.plots == 2
    assert "Residuals" in outline.text


def test_what_comes_from_data_is_text_on_the_page(folder: Path, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    model = read_example(tmp_path, *AS_CLASSIFICATION)
    data = random_data("classification").replace(",low\n", f",{hostile}\n")
    artefact = fit_artefact(model, encode(tmp_path, model, data), commit="abc")[0]
    holdout = tmp_path / "holdout.csv"
    holdout.write_text(data)

    evaluation = evaluate(model, artefact, holdout=holdout)
    page = render_page(evaluation.report, evaluation.page)

    assert "<script" not in page
    assert hostile in "".join(Outline(page).text)


def test_the_roc_curves_area_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    positive = random.random(500) < 0.3
    scores = np.round(random.random(500) + 0.3 * positive, 2)  # with equal ones

    points, area = roc_curve(positive, scores)

    assert area == pytest.approx(reference.roc_auc_score(positive, scores))
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (1.0, 1.0)


def test_calibration_of_a_model_that_knows_what_it_knows_is_the_diagonal() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(4000, 2))
    labels = (features.sum(axis=1) + random.logistic(size=4000) > 0).astype(int)
    model = LogisticRegression().fit(features[:2000], labels[:2000])

    points = calibration(labels[2000:], model.predict_proba(features[2000:]))

    assert max(abs(sure - right) for sure, right in points) < 0.1


GATES = "  parity: {tolerance: 1e-3}\n"


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ("  classes: {low: {recall: 0.5}}\n", "gate-classes: gates.classes: a regression has no classes"),
        ("  champion: {metrics: {accuracy: {}}}\n", "gate-metric: gates.champion.metrics.accuracy: is no"),
        ("  champion: {confidence: 0.4}\n", "schema/exclusiveMinimum: gates.champion.confidence"),
        ("  champion: {require: luck}\n", "schema/enum: gates.champion.require"),
        ("  champion: {metrics: {rmse: {max_loss: -1}}}\n", "schema/minimum: gates.champion.metrics.rmse"),
        ("  latency: {}\n", "schema/minProperties: gates.latency"),
        ("  latency: {max_s: 1}\n", "schema/additionalProperties: gates.latency.max_s"),
        ("  max_size_bytes: 0\n", "schema/minimum: gates.max_size_bytes"),
    ],
)
def test_a_wrong_gate_is_refused_with_its_place(added: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError) as error:
        read_example(tmp_path, (GATES, GATES + added))

    assert problem in str(error.value)


def test_a_class_that_is_none_is_refused_where_the_contract_lists_them(tmp_path: Path) -> None:
    listed = changed(CONTRACT, *AS_CLASSIFICATION).replace(
        "{name: rent, type: category}", "{name: rent, type: category, allowed: [low, mid, high]}"
    )
    folder = tmp_path / "flat"
    folder.mkdir()
    (folder / "model.yaml").write_text(listed.replace(GATES, GATES + "  classes: {tiny: {recall: 1}}\n"))

    with pytest.raises(ContractError, match="is no class of rent; its classes are low, mid, high"):
        read_model(folder)


def test_a_contract_that_says_nothing_of_the_champion_asks_for_one_not_shown_worse(tmp_path: Path) -> None:
    rule = read_example(tmp_path).gates.champion

    assert rule == ChampionRule("not_shown_worse", 0.95, {"rmse": 0.0})
