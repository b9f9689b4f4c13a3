"""Requests per second, latency, memory and start of our server and of those people would pick instead.

    python benchmarks/serving.py [--seconds 4] [--rounds 2] [--only NAME ...]

One run, one machine, one trained forest of 100 trees (iris, 4 features) for all, and for ours a linear model
too, which shows what is not the forest; every server has as many
workers as there are CPUs, and must name the first row's class as scikit-learn does before it is measured. wrk
asks as fast as it is answered; the 99th percentile at half of that load is hey's. All are measured in turn,
round by round, and the best of a server's rounds counts, for all of them: what else the machine does only
takes away. Needs wrk, hey and nginx (Debian: wrk hey nginx-light). Writes build/bench/serving.json and .png.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chart import draw_serving
from deployment import RESULTS, ROOT, write_result
from processes import resident_mb, tree
from servers import PEERS, Model, Request, Rows, Server, build_servers, first_label, our_server, running

MODEL = "iris"
CONNECTIONS = (1, 16, 64)
PORT = 5410
LARGE_BYTES = 6 * 1000**2  # SageMaker's default for one batch transform request, a 6 MB body
PEAK_CONNECTIONS = 16
FOREST = "type: random_forest\n  hyperparameters: {n_estimators: 100}"
LINEAR = "type: logistic_regression\n  hyperparameters: {C: 1.0, max_iter: 1000}"
NO_PEERS = ("ours", "ours, linear", "empty handler", "empty handler that reads")


def train_model(folder: Path, estimator: str = FOREST) -> Model:
    """Our own `train`, with iris's model.yaml but for its estimator."""
    source = ROOT / "model_src/models" / MODEL
    base, program = folder / "ml", folder / "program"
    shutil.copytree(source, program / "model")
    for name in ("train", "serve", "evaluate"):
        shutil.copy(ROOT / "container" / name, program)
    contract = program / "model/model.yaml"
    text = contract.read_text()
    contract.write_text(_replace_estimator(text, estimator))
    data = base / "input/data/train"
    data.mkdir(parents=True)
    training_data = Path(shutil.copy(source / "train.csv", data))
    environ = {"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, str(program / "train")], check=True, env=environ, stdout=subprocess.DEVNULL
    )
    return Model(base / "model", base / "model/model.onnx", training_data)


def _replace_estimator(text: str, wanted: str) -> str:
    lines = text.splitlines()
    start = lines.index("estimator:")
    return "\n".join([*lines[: start + 1], f"  {wanted}", *lines[start + 3 :]]) + "\n"


def make_cases(model: Model) -> dict[str, Rows]:
    """One row, 1,000 rows, and as many as make a 6 MB CSV body."""
    with model.training_data.open() as file:
        known = [[float(value) for value in row[:-1]] for row in list(csv.reader(file))[1:]]
    width = len(Rows("", known).csv)
    large = known * (LARGE_BYTES // width)
    return {
        "1 row": Rows("1 row", known[:1]),
        "1,000 rows": Rows("1,000 rows", (known * (1000 // len(known) + 1))[:1000]),
        "6 MB": Rows("6 MB", large, csv_only=True),
    }


def measure_load(request: Request, *, connections: int, seconds: int, folder: Path) -> dict[str, float]:
    """As many requests as the connections get answered, from one wrk thread."""
    body, result = folder / "body", folder / "result.json"
    body.write_bytes(request.body)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "--latency"]
    command += ["-s", str(ROOT / "benchmarks/load.lua"), request.path]
    environ = {**os.environ, "BODY": str(body), "TYPE": request.content_type, "RESULT": str(result)}
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    measured: dict[str, float] = json.loads(result.read_text())
    if measured["failed"] or not measured["requests"]:
        raise SystemExit(f"{request.path} with {connections} connections: {measured}")
    return {"per_s": measured["requests"] / measured["seconds"], **measured}


def measure_one_by_one(request: Request, *, times: int = 3) -> dict[str, float]:
    """Requests that take long, one after the other."""
    seconds = []
    for _ in range(times):
        started = time.monotonic()
        first_label(request)
        seconds.append(time.monotonic() - started)
    return {
        "per_s": 1 / statistics.median(seconds),
        "requests": times,
        "p50_ms": statistics.median(seconds) * 1000,
        "p99_ms": max(seconds) * 1000,
    }


def measure_latency(request: Request, *, rate: float, seconds: int, folder: Path) -> dict[str, float]:
    """Milliseconds at `rate` requests per second over 16 connections."""
    body = folder / "body"
    body.write_bytes(request.body)
    command = [
        "hey",
        "-z",
        f"{seconds}s",
        "-c",
        str(PEAK_CONNECTIONS),
        "-q",
        f"{rate / PEAK_CONNECTIONS:.2f}",
    ]
    command += ["-m", "POST", "-T", request.content_type, "-D", str(body), "-o", "csv", request.path]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(output.splitlines()))
    bad = [row for row in rows if row["status-code"] != "200"]
    if bad:
        raise SystemExit(f"{request.path} at {rate:.0f} requests/s: {bad[0]}")
    times_ms = sorted(float(row["response-time"]) * 1000 for row in rows)
    percentiles = statistics.quantiles(times_ms, n=100)
    return {
        "wanted_per_s": rate,
        "per_s": len(rows) / seconds,
        "p50_ms": percentiles[49],
        "p99_ms": percentiles[98],
    }


def measure_server(server: Server, expected: str, *, seconds: int, folder: Path) -> dict[str, Any]:
    """One round of one server: every case it offers, its memory after them, and its start."""
    measured: dict[str, Any] = {}
    with running(server) as state:
        for case, request in server.cases.items():
            label = first_label(request)
            if label and label != expected:
                raise SystemExit(f"{server.name} says {label} to {case}; scikit-learn says {expected}.")
            if case.endswith("6 MB"):
                measured[case] = measure_one_by_one(request)
                report(server.name, case, measured[case])
                continue
            for connections in CONNECTIONS if case.endswith("1 row") else (2,):
                name = f"{case}, {connections} connections"
                measured[name] = measure_load(
                    request, connections=connections, seconds=seconds, folder=folder
                )
                report(server.name, name, measured[name])
        peak = measured[f"json 1 row, {PEAK_CONNECTIONS} connections"]["per_s"]
        half = measure_latency(server.cases["json 1 row"], rate=peak / 2, seconds=seconds, folder=folder)
        report(server.name, "half of its peak", half)
        members = {pid for root in state.pids for pid in tree(root)}
        memory = sorted((round(resident_mb(pid), 1) for pid in members), reverse=True)
    return {
        "cases": measured,
        "half_load": half,
        "processes_mb": memory,
        "start_s": state.start_s,
    }


def report(server: str, case: str, measured: Mapping[str, float]) -> None:
    print(f"{server:40} {case:30} {measured['per_s']:10.1f}/s  p99 {measured['p99_ms']:9.2f} ms", flush=True)


def best_of(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Per case the round with the most requests; the lowest 99th percentile; the median start."""
    return {
        "cases": {
            case: max((one["cases"][case] for one in rounds), key=lambda measured: measured["per_s"])
            for case in rounds[0]["cases"]
        },
        "half_load": min((one["half_load"] for one in rounds), key=lambda measured: measured["p99_ms"]),
        "processes_mb": rounds[-1]["processes_mb"],
        "start_s": statistics.median(one["start_s"] for one in rounds),
    }


def compare(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Our rate over that of the fastest peer, of the empty handler, and of Flask, by case."""
    ours = results["ours"]["cases"]
    peers = {name: result["cases"] for name, result in results.items() if name not in NO_PEERS}
    ratios: dict[str, Any] = {}
    for case, measured in ours.items():
        rivals = {name: cases[case]["per_s"] for name, cases in peers.items() if case in cases}
        ratio: dict[str, Any] = {}
        if rivals:
            fastest = max(rivals, key=lambda name: rivals[name])
            ratio |= {"fastest_peer": fastest, "over_it": measured["per_s"] / rivals[fastest]}
            ratio |= {f"over {name}": measured["per_s"] / rate for name, rate in rivals.items()}
        for name in NO_PEERS[2:]:
            nothing = results.get(name, {"cases": {}})["cases"].get(case.replace("csv", "json"))
            if nothing and "1 row" in case:
                ratio[f"of {name}"] = measured["per_s"] / nothing["per_s"]
        ratios[case] = ratio
    return ratios


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=4, help="of load per case")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="servers whose name begins so; ours always are"
    )
    return parser.parse_args()


def main() -> None:
    """Measures everything and writes the result."""
    options = parse_arguments()
    missing = [tool for tool in ("wrk", "hey", "nginx") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"{', '.join(missing)} not found. On Debian: apt install wrk hey nginx-light")
    PEERS.mkdir(parents=True, exist_ok=True)
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = train_model(folder)
        cases = make_cases(model)
        expected = model.training_data.read_text().splitlines()[1].split(",")[-1]
        servers = build_servers(
            model, list(cases.values()), port=PORT, workers=workers, only=options.only or ()
        )
        linear = train_model(folder / "linear", LINEAR)
        servers += [our_server(linear, list(cases.values()), PORT + 80, workers, name="ours, linear")]
        rounds: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for _ in range(options.rounds):
            for server in servers:
                rounds[server.name].append(
                    measure_server(server, expected, seconds=options.seconds, folder=folder)
                )
    results = {name: best_of(measured) for name, measured in rounds.items()}
    result = {
        "workers": workers,
        "rounds": options.rounds,
        "seconds_per_case": options.seconds,
        "body_rows": {case: len(rows.rows) for case, rows in cases.items()},
        "body_csv_bytes": {case: len(rows.csv) for case, rows in cases.items()},
        "servers": results,
        "ours_over": compare(results),
    }
    print(json.dumps(result["ours_over"], indent=2))
    write_result("serving", result)
    draw_serving(results, RESULTS / "serving.png")


if __name__ == "__main__":
    main()
