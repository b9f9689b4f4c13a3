from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from pipeline.layers import TIME_STAMP_S, normalise_layer
from pipeline.oci import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "oci")


def make_tar(*, time_s: int, owner: str, reverse: bool = False, content: bytes = b"x") -> io.BytesIO:
    """A layer as an engine may write it: a folder, a file of it and a link to that file."""
    entries = []
    for name, kind in [("a", tarfile.DIRTYPE), ("a/b", tarfile.REGTYPE), ("a-b", tarfile.REGTYPE)]:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mtime, entry.uname, entry.mode = kind, time_s, owner, 0o755
        entry.size = len(content) if kind == tarfile.REGTYPE else 0
        entry.pax_headers = {"mtime": f"{time_s}.5", "SCHILY.xattr.security.capability": "c"}
        entries.append(entry)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in reversed(entries) if reverse else entries:
            tar.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    buffer.seek(0)
    return buffer


def test_time_owner_and_order_do_not_matter(store: BlobStore) -> None:
    first = normalise_layer(store, make_tar(time_s=1_700_000_000, owner="root"))
    second = normalise_layer(store, make_tar(time_s=1_800_000_000, owner="me", reverse=True))

    assert first == second


def test_content_matters(store: BlobStore) -> None:
    first = normalise_layer(store, make_tar(time_s=1, owner="root"))
    second = normalise_layer(store, make_tar(time_s=1, owner="root", content=b"y"))

    assert first.diff_id != second.diff_id
    assert first.blob.digest != second.blob.digest


def test_entries_keep_what_they_are_and_carry_one_time(store: BlobStore) -> None:
    layer = normalise_layer(store, make_tar(time_s=1_700_000_000, owner="root"))

    with tarfile.open(store.check(layer.blob)) as tar:
        entries = list(tar)
        assert [entry.name for entry in entries] == ["a", "a/b", "a-b"]
        assert {entry.mtime for entry in entries} == {TIME_STAMP_S}
        assert {entry.mode for entry in entries} == {0o755}
        assert entries[1].pax_headers["SCHILY.xattr.security.capability"] == "c"


def test_a_broken_layer_leaves_nothing_behind(store: BlobStore) -> None:
    whole = make_tar(time_s=1, owner="root", content=os.urandom(100_000)).getvalue()

    with pytest.raises(tarfile.ReadError):
        normalise_layer(store, io.BytesIO(whole[:60_000]))

    assert list((store.folder / "blobs" / "sha256").glob("*")) == []
