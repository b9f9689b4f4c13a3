"""A job ends with its reason and exit code even where the reason cannot be written to its file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
JOB = """
import sys, time
from pathlib import Path
from model_src.errors import JobError
from model_src.failure import run_job

def work(_):
    print("at work", flush=True)
    if sys.argv[2] == "fails":
        raise JobError("there is no data")
    time.sleep(60)

sys.exit(run_job(work, reason_file=Path(sys.argv[1])))
"""


@pytest.fixture
def no_folder(tmp_path: Path) -> Path:
    """Where not even root can write: below a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "failure"


def start(reason_file: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", JOB, str(reason_file), what]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_reason_that_cannot_be_written_is_still_told(no_folder: Path) -> None:
    with start(no_folder, "fails") as job:
        _, told = job.communicate(timeout=50)

    assert job.returncode == 1
    assert told.splitlines()[0] == "JobError: there is no data"
    assert told.splitlines()[1].startswith(f"The reason cannot be written to {no_folder}: ")
    assert len(told.splitlines()) == 2


def test_sigterm_ends_a_job_whose_reason_cannot_be_written(no_folder: Path) -> None:
    with start(no_folder, "waits") as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "at work\n"
        job.send_signal(signal.SIGTERM)
        _, told = job.communicate(timeout=50)

    assert job.returncode == 143
    assert told.startswith("Stopped: SIGTERM arrived before the job was done.\nThe reason cannot be written")
