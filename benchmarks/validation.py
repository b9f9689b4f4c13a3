"""Speed and memory of the data contract's check, by the size of the file.

    python benchmarks/validation.py [--sizes-mb 10 1000]

Rows of the penguins' contract are made while they are read, so that no file takes memory or disk. All that
the retraining's second step does is on: every cell, the holdout, the sample, leakage and drift. Each size has
a process of its own, whose peak is the kernel's (ru_maxrss); the seconds are of its CPU, the making of the
rows among them. Writes build/bench/validation.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from deployment import ROOT, write_result

from model_src.contract import read_model
from pipeline.artefact import CHUNK_BYTES
from pipeline.dataset import Reference, check_dataset, parse_contract, read_holdout

FOLDER = ROOT / "model_src" / "models" / "penguins"
HEADER = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year,species\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes-mb", nargs="+", type=int, default=[10, 1000])
    parser.add_argument("--one", type=int, help="measure this size in this process, and print it as JSON")
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one)))
        return
    results = {}
    for size_mb in options.sizes_mb:
        command = [sys.executable, __file__, "--one", str(size_mb)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        results[f"{size_mb} MB"] = json.loads(done.stdout)
    write_result("validation", {"sizes": results})


def measure(size_mb: int) -> dict[str, Any]:
    contract = parse_contract(plain_contract())
    held = read_holdout([(FOLDER / "holdout.csv").read_bytes()], contract=contract)
    before = check_dataset(chunks(1), contract=contract).profile
    start_mb = peak_mb()
    started = time.process_time()
    report = check_dataset(chunks(size_mb), contract=contract, reference=Reference(held, before))
    took_s = time.process_time() - started
    if not report.accepted:
        raise SystemExit(f"the rows that were made are not of the contract: {report.reason}")
    return {
        "rows": report.rows,
        "mb": report.size_bytes / 1e6,
        "cpu_s": round(took_s, 2),
        "mb_per_cpu_s": round(report.size_bytes / 1e6 / took_s, 2),
        "peak_mb": round(peak_mb(), 1),
        "peak_mb_before": round(start_mb, 1),
    }


def plain_contract() -> dict[str, Any]:
    """The contract as the pipeline reads it: model.json."""
    model = read_model(FOLDER)
    columns: list[dict[str, Any]] = []
    for column in model.columns.values():
        value = {"name": column.name, "type": column.type, "missing": column.missing}
        limits = {"min": column.min, "max": column.max, "allowed": column.allowed}
        columns.append({**value, **{name: limit for name, limit in limits.items() if limit is not None}})
    return {
        "task": model.task,
        "target": model.target.name,
        "min_rows": model.min_rows,
        "columns": columns,
    }


def chunks(size_mb: int) -> Iterator[bytes]:
    """So many megabytes of rows, all different, as S3 hands them over."""
    pending, left, number = bytearray(HEADER.encode()), size_mb * 1_000_000, 0
    while left > 0:
        while len(pending) < CHUNK_BYTES:
            number += 1
            pending += row(number).encode()
        chunk = bytes(pending[:CHUNK_BYTES]) if left > CHUNK_BYTES else bytes(pending)
        left -= len(chunk)
        del pending[: len(chunk)]
        yield chunk


def row(number: int) -> str:
    place = ("Biscoe", "Dream", "Torgersen")[number % 3]
    species = ("Adelie", "Chinstrap", "Gentoo")[number * 7 // 5 % 3]
    bill = 30 + number * 37 % 3001 / 100
    sex = ("male", "female", "")[number * 11 // 7 % 3]
    return (
        f"{place},{bill},{13 + number * 13 % 901 / 100},{170 + number * 17 % 61},{2700 + number * 19 % 3600},"
        f"{sex},{2007 + number * 23 // 9 % 3},{species}\n"
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
