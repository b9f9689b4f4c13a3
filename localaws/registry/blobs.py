"""Blobs on disk by digest, and uploads that become blobs without ever being whole in memory."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from localaws.store import Scope


class DigestMismatchError(Exception):
    """What was uploaded is not what its digest says."""

    def __init__(self, expected: str, actual: str):
        super().__init__(f"expected {expected}, received {actual}")
        self.expected = expected
        self.actual = actual


@dataclass(frozen=True)
class Repository:
    """A repository of one account and region."""

    scope: Scope
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:ecr:{self.scope.region}:{self.scope.account_id}:repository/{self.name}"


@dataclass
class Upload:
    """Bytes on their way to a blob."""

    repository: Repository
    path: Path
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    size_bytes: int = 0
    _sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def append(self, chunk: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(chunk)
        self._sha256.update(chunk)
        self.size_bytes += len(chunk)


class BlobStore:
    """One file per blob, shared by every repository that holds it."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._uploads: dict[str, Upload] = {}
        self._held: dict[Repository, set[str]] = {}

    def path(self, repository: Repository, digest: str) -> Path | None:
        """The file of a blob that the repository holds, or None."""
        return self._file(digest) if digest in self._held.get(repository, ()) else None

    def size_bytes(self, repository: Repository, digest: str) -> int | None:
        path = self.path(repository, digest)
        return path.stat().st_size if path else None

    def start_upload(self, repository: Repository) -> Upload:
        self._directory.mkdir(parents=True, exist_ok=True)
        upload = Upload(repository, self._directory / f"upload-{uuid.uuid4()}")
        upload.path.touch()
        self._uploads[upload.id] = upload
        return upload

    def find_upload(self, repository: Repository, upload_id: str) -> Upload | None:
        upload = self._uploads.get(upload_id)
        return upload if upload and upload.repository == repository else None

    def finish_upload(self, upload: Upload, digest: str) -> None:
        """Turns an upload into a blob. Raises: DigestMismatchError, and the upload is gone."""
        self._uploads.pop(upload.id, None)
        if upload.digest != digest:
            upload.path.unlink()
            raise DigestMismatchError(digest, upload.digest)
        upload.path.replace(self._file(digest))
        self._held.setdefault(upload.repository, set()).add(digest)

    def cancel_upload(self, upload: Upload) -> None:
        self._uploads.pop(upload.id, None)
        upload.path.unlink()

    def mount(self, repository: Repository, digest: str, *, source: Repository) -> bool:
        """Whether the blob of another repository is now held by this one too."""
        if self.path(source, digest) is None:
            return False
        self._held.setdefault(repository, set()).add(digest)
        return True

    def drop_repository(self, repository: Repository) -> None:
        """Forgets a repository's blobs and deletes the files that nobody else holds."""
        dropped = self._held.pop(repository, set())
        still_held = set().union(*self._held.values())
        for digest in dropped - still_held:
            self._file(digest).unlink(missing_ok=True)

    def _file(self, digest: str) -> Path:
        return self._directory / digest.replace(":", "-")
