"""Archives made to do harm: refused, nothing written, nothing large held."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from model_src.archive import MAX_MEMBERS, read_archive
from model_src.artefact import read_artefact
from model_src.errors import ArtefactError


def member(name: str, content: bytes = b"{}", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def link(kind: bytes, name: str, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", type=kind, linkname=target)


def pack(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    file = folder / "model.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file


def sparse_bomb(folder: Path) -> Path:
    """An archive of a few hundred bytes whose model.onnx says that it has an exabyte of zeros."""
    info = member("model.onnx", b"")[0]
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "model.onnx",
        "GNU.sparse.size": str(2**60),
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.map": "0,0",
    }
    file = folder / "model.tar.gz"
    with tarfile.open(file, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    return file


def name_bomb(folder: Path) -> Path:
    """An archive whose first file has a name of 100 MB."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 100 * 1024**2
    file = folder / "model.tar.gz"
    with gzip.open(file, "wb", compresslevel=1) as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        stream.write(b"a" * header.size)
    return file


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("../model.onnx")], "a path that leads out of it"),
        ([member("/model.onnx")], "a path that leads out of it"),
        ([member("a/../../model.onnx")], "a path that leads out of it"),
        ([link(tarfile.SYMTYPE, "model.onnx", "/etc/passwd")], "'model.onnx', which is no plain file"),
        ([link(tarfile.LNKTYPE, "model.onnx", "model.json")], "'model.onnx', which is no plain file"),
        ([link(tarfile.CHRTYPE, "zero")], "'zero', which is no plain file"),
        ([link(tarfile.FIFOTYPE, "model.onnx")], "'model.onnx', which is no plain file"),
        ([member("model.json"), member("model.json")], "holds model.json twice"),
        ([member("model.pkl", b"\x80\x04.")], "holds model.pkl: pickles and arrays are never loaded"),
        ([member("code/model.JOBLIB")], "never loaded"),
        ([member("weights.npy")], "never loaded"),
        ([member(f"file-{number}", b"") for number in range(MAX_MEMBERS + 1)], "more than 1000 files"),
        ([member("model.json", b" " * (16 * 1024**2 + 1))], "16777217 bytes; no card has"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_that_is_more_than_plain_files_is_refused(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], reason: str
) -> None:
    archive = pack(tmp_path, *members)

    with pytest.raises(ArtefactError, match=reason):
        read_archive(archive)
    assert [file.name for file in tmp_path.iterdir()] == ["model.tar.gz"]


def test_an_archive_that_claims_or_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"'model\.onnx', which is no plain file"):
        read_archive(sparse_bomb(tmp_path))
    with pytest.raises(ArtefactError, match="a name or attributes of 104857600 bytes"):
        read_archive(name_bomb(tmp_path))
    with pytest.raises(ArtefactError, match="unpacks to more than 1000000 bytes"):
        read_archive(pack(tmp_path, member("model.onnx", bytes(10_000_000))), max_bytes=1_000_000)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path, member("model.json"), member("model.onnx", bytes(100_000)))
    archive.write_bytes(archive.read_bytes()[:-20])

    with pytest.raises(ArtefactError, match="is not a readable archive"):
        read_archive(archive)


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.npy", "MODEL.PT", "code/old/m.pkl"])
def test_a_folder_with_a_pickle_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\x80\x04.")

    with pytest.raises(ArtefactError, match=f"{name}: pickles and arrays are never loaded"):
        read_artefact(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "model.onnx"])
def test_a_file_that_is_larger_than_a_model_is_not_read(name: str, tmp_path: Path) -> None:
    for file in ("model.json", "model.onnx"):
        (tmp_path / file).write_text("{}")
    os.truncate(tmp_path / name, 2 * 1024**3 + 1)  # a hole: nothing of it is on the disk

    with pytest.raises(ArtefactError, match=rf"{name} is larger than \d+ bytes"):
        read_artefact(tmp_path)
