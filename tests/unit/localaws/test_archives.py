"""Archives are unpacked inside their target or not at all."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from localaws.runtime import archives
from localaws.runtime.archives import extract, pack, read_chunks
from localaws.runtime.errors import ClientFaultError


def archive(fill: Callable[[tarfile.TarFile], None], *, mode: str = "w:gz") -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        fill(tar)
    buffer.seek(0)
    return buffer


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(made, attribute, value)
    return made


@pytest.mark.parametrize(
    "hostile",
    [
        member("../escaped"),
        member("/../../escaped"),
        member("link", type=tarfile.SYMTYPE, linkname="/etc"),
        member("link", type=tarfile.SYMTYPE, linkname="../../.."),
        member("hard", type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
        member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    ],
)
def test_hostile_member_is_refused(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    target = tmp_path / "a/b"
    target.mkdir(parents=True)

    with pytest.raises(ClientFaultError, match="model data cannot be unpacked"):
        extract(archive(lambda tar: tar.addfile(hostile)), target, what="model data")

    assert list(target.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    content = archive(lambda tar: tar.addfile(member("zeros", size=2000), io.BytesIO(bytes(2000))))

    with pytest.raises(ClientFaultError, match="too large to be unpacked"):
        extract(content, tmp_path, what="model data")

    assert list(tmp_path.iterdir()) == []


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientFaultError, match="cannot be unpacked"):
        extract(io.BytesIO(b"not a tar"), tmp_path, what="model data")


def test_directory_survives_the_way_through_an_archive(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").write_text("content")
    target.mkdir()
    buffer = io.BytesIO()

    pack(source, buffer, prefix="opt/ml/")
    content = buffer.getvalue()
    chunks = (content[start : start + 7] for start in range(0, len(content), 7))
    extract(read_chunks(chunks), target, what="tree")

    assert (target / "opt/ml/deep/file").read_text() == "content"
