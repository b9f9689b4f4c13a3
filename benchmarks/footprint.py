"""How soon our server answers, what its workers hold, and how many of them a container should have.

    python benchmarks/footprint.py [--runs 10] [--image IMAGE]

One forest of 100 trees, trained on iris. Start: from starting the program, or a container that is made
already, until /ping answers 200. Memory: each worker's proportional set size after load, in which a shared
page counts in parts. Workers: requests per second by the CPUs a container is given and the workers it is
told to have, where `auto` is what the server chooses by itself. IMAGE is a serving image, by default the
last that `mlops build` made. Needs wrk and a container engine. Writes build/bench/footprint.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import requests
from deployment import write_result
from processes import proportional_mb, tree
from servers import PEERS, Model, Request, our_server, running
from serving import MODEL, PEAK_CONNECTIONS, make_cases, measure_load, train_model

from pipeline.image import read_image
from pipeline.settings import read_settings

PORT = 5480
CPUS = (1, 2)
WORKERS = ("auto", "1", "2", "4")
LIMIT_S = 30


@contextmanager
def container(
    client: docker.DockerClient, image: str, model: Model, *, cpus: int, workers: str = "auto"
) -> Iterator[float]:
    """A container that answers on PORT; the seconds from its start to its first 200."""
    made = client.containers.create(
        image,
        "serve",
        environment={} if workers == "auto" else {"SAGEMAKER_MODEL_SERVER_WORKERS": workers},
        ports={"8080/tcp": ("127.0.0.1", PORT)},
        volumes={str(model.folder): {"bind": "/opt/ml/model", "mode": "ro"}},
        nano_cpus=cpus * 10**9,
    )
    try:
        started = time.monotonic()
        made.start()
        wait_for_ping()
        yield time.monotonic() - started
    finally:
        made.remove(force=True)


def wait_for_ping() -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            if requests.get(f"http://127.0.0.1:{PORT}/ping", timeout=1).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.002)
    raise SystemExit(f"The container did not answer within {LIMIT_S} s.")


def measure_process(model: Model, request: Request, *, runs: int, folder: Path) -> dict[str, Any]:
    """Starts of the server as a plain process, and what its workers hold after a second of load."""
    server = our_server(model, [], PORT, len(os.sched_getaffinity(0)))
    starts = []
    for _ in range(runs):
        with running(server) as state:
            starts.append(state.start_s)
            measure_load(request, connections=PEAK_CONNECTIONS, seconds=1, folder=folder)
            parts = tree(state.pids[0]) - set(state.pids)
            workers = sorted(round(proportional_mb(pid), 1) for pid in parts)
    return {"start": summarise(starts), "workers_mb": workers}


def measure_containers(
    client: docker.DockerClient, image: str, model: Model, *, runs: int, cpus: int
) -> dict[str, Any]:
    starts = []
    for _ in range(runs):
        with container(client, image, model, cpus=cpus) as start_s:
            starts.append(start_s)
    return {"start": summarise(starts), "image_mb": client.images.get(image).attrs["Size"] / 1e6}


def measure_workers(
    client: docker.DockerClient, image: str, model: Model, request: Request, *, folder: Path
) -> list[dict[str, Any]]:
    """Requests per second by CPUs and workers."""
    measured = []
    for cpus in (count for count in CPUS if count <= len(os.sched_getaffinity(0))):
        for workers in WORKERS:
            with container(client, image, model, cpus=cpus, workers=workers):
                rate = measure_load(request, connections=PEAK_CONNECTIONS, seconds=4, folder=folder)
            measured.append({"cpus": cpus, "workers": workers, **rate})
            print(f"{cpus} CPUs, {workers:4} workers: {rate['per_s']:8.0f}/s, p99 {rate['p99_ms']:.1f} ms")
    return measured


def summarise(seconds: list[float]) -> dict[str, float]:
    return {
        "median_s": round(statistics.median(seconds), 3),
        "worst_s": round(max(seconds), 3),
        "runs": len(seconds),
    }


def main() -> None:
    """Measures everything and writes the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--image", help="a serving image")
    options = parser.parse_args()
    image = options.image or read_image(read_settings(os.environ), MODEL, "serving").image_id
    client = docker.from_env()
    cpus = len(os.sched_getaffinity(0))
    PEERS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = train_model(folder)
        cases = our_server(model, list(make_cases(model).values()), PORT, cpus).cases
        request = dataclasses.replace(cases["json 1 row"], path=f"http://127.0.0.1:{PORT}/invocations")
        result = {
            "process": measure_process(model, request, runs=options.runs, folder=folder),
            "container": measure_containers(client, image, model, runs=options.runs, cpus=cpus),
            "workers": measure_workers(client, image, model, request, folder=folder),
        }
    write_result("footprint", result)


if __name__ == "__main__":
    main()
