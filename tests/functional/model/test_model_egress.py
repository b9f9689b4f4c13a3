"""FAULTS 44: a model or a dataset that asks for the network gets none, and only its own paths are read."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from model_programs import MODELS, Programs, ask, hand_over_model, lay_out, predict, wait_for_ping
from ports import free_port

# First in every process of a program: writes down whom it looks up or connects to, and what it opens.
RECORDER = """
import os, sys
_file = os.open({file!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def _record(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        os.write(_file, f"{{event}} {{arguments[0]!r}}\\n".encode())
    elif event in ("socket.connect", "socket.sendto") and not isinstance(arguments[1], (str, bytes)):
        os.write(_file, f"{{event}} {{arguments[1]!r}}\\n".encode())
    elif event == "open" and "planted" in str(arguments[0]):
        os.write(_file, f"{{event}} {{arguments[0]!r}}\\n".encode())

sys.addaudithook(_record)
"""


@dataclass(frozen=True)
class Record:
    """What programs asked of the outside, as their own Python saw it and a listener on this machine."""

    folder: Path
    listener: socket.socket

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/"

    @property
    def asked(self) -> list[str]:
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def was_visited(self) -> bool:
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    folder = tmp_path / "recorder"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(RECORDER.format(file=str(folder / "asked")))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Record(folder, listener)


def run(programs: Programs, program: str, record: Record) -> tuple[int, str]:
    process = programs.start(program, PYTHONPATH=str(record.folder))
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


@contextmanager
def serving(programs: Programs, record: Record) -> Iterator[int]:
    port = free_port()
    with programs.serving(PYTHONPATH=str(record.folder), SAGEMAKER_BIND_TO_PORT=str(port)):
        yield port


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    programs = lay_out(tmp_path_factory.mktemp("egress"), "iris")
    code, output = programs.run("train")
    assert code == 0, output
    return programs


def test_a_program_that_asks_is_seen(record: Record, tmp_path: Path) -> None:
    (tmp_path / "planted").write_text("x")
    address = record.listener.getsockname()
    script = f"import socket; open({str(tmp_path / 'planted')!r}); socket.create_connection({address})"

    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(record.folder)}
    subprocess.run([sys.executable, "-c", script], env=environ, check=True)

    assert [line.split()[0] for line in record.asked] == ["open", "socket.getaddrinfo", "socket.connect"]
    assert record.was_visited


def test_a_whole_life_asks_nobody(record: Record, tmp_path: Path) -> None:
    programs = lay_out(tmp_path, "iris")

    assert run(programs, "train", record)[0] == 0
    hand_over_model(programs.base)
    assert run(programs, "evaluate", record)[0] == 0
    with serving(programs, record) as port:
        wait_for_ping(port=port)
        assert predict([[5, 3.4, 1.5, 0.2]], port=port)[0]["label"] == "setosa"

    assert record.asked == []


def test_an_address_in_a_dataset_is_a_wrong_value_and_nothing_is_fetched(
    record: Record, tmp_path: Path
) -> None:
    programs = lay_out(tmp_path, "penguins")
    text = (MODELS / "penguins" / "train.csv").read_text().replace("Torgersen", record.url, 1)
    (programs.base / "input/data/train/train.csv").write_text(text)

    code, _ = run(programs, "train", record)

    assert code == 1
    assert f"train.csv:2: column 'island': '{record.url}' is not allowed" in programs.failure
    assert (record.asked, record.was_visited) == ([], False)


@pytest.mark.parametrize("kind", ["url", "file"])
def test_a_model_whose_weights_are_elsewhere_is_refused_and_nothing_is_fetched(
    trained: Programs, record: Record, tmp_path: Path, kind: str
) -> None:
    programs = Programs(trained.tree, Path(shutil.copytree(trained.base, tmp_path / "ml")))
    (tmp_path / "planted").write_bytes(bytes(1024))
    move_weights(
        programs.base / "model/model.onnx", record.url if kind == "url" else str(tmp_path / "planted")
    )

    with serving(programs, record) as port:
        wait_for_ping(503, saying=b"external data", port=port)
        status, body = ask("POST", "/invocations", b"5,3.4,1.5,0.2", port=port, content_type="text/csv")

    assert status == 503, body
    assert (record.asked, record.was_visited) == ([], False)


def move_weights(file: Path, place: str) -> None:
    """Has a tensor of the model say that its values are to be had at `place`."""
    model = onnx.load(file)
    outside = onnx.TensorProto(name="elsewhere", data_type=onnx.TensorProto.FLOAT, dims=[4])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value=place)
    model.graph.initializer.append(outside)
    file.write_bytes(model.SerializeToString())
