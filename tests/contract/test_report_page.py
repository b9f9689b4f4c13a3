"""The evaluation's page in a real browser: headless Chromium opens it, and what it paints is looked at."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_src.contract import read_model
from model_src.dataset import encode_training, read_table
from model_src.evaluation import Incumbent, evaluate
from model_src.page import render_page
from model_src.training import fit_artefact

MODELS = Path(__file__).resolve().parents[2] / "model_src" / "models"
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
WIDTH, HEIGHT = 1100, 2600
CANDIDATE, CHAMPION = (0x1F, 0x5F, 0xA8), (0xC2, 0x57, 0x1A)


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("MLOPS_REQUIRE_CI") == "1":
        pytest.fail(f"MLOPS_REQUIRE_CI=1, and there is no Chromium (Debian: apt install {BROWSERS[0]})")
    if found is None:
        pytest.skip(f"no Chromium (Debian: apt install {BROWSERS[0]})")
    return found


def make_page(name: str, file: Path) -> None:
    """The page of a candidate that is as good as its champion, with the drift of each column."""
    folder = MODELS / name
    model = read_model(folder)
    dataset = encode_training(read_table([folder / "train.csv"], columns=list(model.columns)), model)
    artefact, _ = fit_artefact(model, dataset, commit="")
    drift = tuple({"column": column, "psi": 0.1, "limit": 0.25} for column in model.columns)
    champion = Incumbent(artefact, "before", hashlib.sha256(artefact.onnx).hexdigest(), drift)
    evaluation = evaluate(model, artefact, holdout=folder / "holdout.csv", champion=champion)
    file.write_text(render_page(evaluation.report, evaluation.page))


def open_page(browser: str, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What the browser prints. Without its sandbox, which root has none of; the page is our own."""
    own = file.parent / "profile"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--hide-scrollbars", "--no-first-run", f"--user-data-dir={own}", "--enable-logging=stderr"]
    # No name resolves: what the page loaded from anywhere would be missing and said so.
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={WIDTH},{HEIGHT}", *options]
    return subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_the_page_opens_in_a_browser_and_shows_its_plots(browser: str, tmp_path: Path, name: str) -> None:
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    make_page(name, page)

    painted = open_page(browser, page, f"--screenshot={picture}")
    document = open_page(browser, page, "--dump-dom").stdout

    # The browser tells in its console what it refused, could not load or could not read.
    assert "CONSOLE" not in painted.stderr
    assert f"<h1>Evaluation of {name}</h1>" in document
    assert document.count("<svg") == page.read_text().count("<svg") > 1
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    for color in (CANDIDATE, CHAMPION):
        assert (pixels == color).all(axis=2).sum() > 50, f"nothing is painted in {color}"
    # Nothing runs over the window's edge.
    assert (pixels[:, -20:] == 255).all()
