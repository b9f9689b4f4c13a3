"""Installs a lock into /opt/venv without a network: `packages.py serving.txt`, in a stage of the Dockerfile.

Only what runs is kept. Compiled once, package by package and each in a fresh interpreter: what a compiled
module's bytes are depends on what was compiled before it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VENV = Path("/opt/venv")
WHEELS = Path("/wheelhouse")
UNUSED = [
    "**/tests",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.a",
    "pip",
    "pip-*",
    "setuptools",
    "setuptools-*",
    "pkg_resources",
    "_distutils_hack",
    "distutils-precedence.pth",
    "numpy/_core/include",
    "numpy/distutils",
    "onnx/backend/test",
    # The C library; Python has its own, onnxruntime_pybind11_state.
    "onnxruntime/capi/libonnxruntime.so.*",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "skl2onnx/tutorial",
]
# scipy, which is not in it, names all of numpy.
UNUSED_IN = {"serving.txt": ["numpy/f2py"]}


def main(lock: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-compile", "--no-index"]
    locked = ["--find-links", str(WHEELS), "--require-hashes", "--requirement", str(WHEELS / lock)]
    subprocess.run([str(VENV / "bin/python"), "-m", "pip", "install", *options, *locked], check=True)
    library = next(VENV.glob("lib/python3*/site-packages"))
    for pattern in [*UNUSED, *UNUSED_IN.get(lock, [])]:
        for path in list(library.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for program in VENV.glob("bin/*"):
        if not program.name.startswith("python"):
            program.unlink()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_package, sorted(library.iterdir())))


def compile_package(path: Path) -> None:
    command = ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", str(path)]
    subprocess.run([sys.executable, *command], check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


if __name__ == "__main__":
    main(sys.argv[1])
