"""A client of one repository in a container registry, over the OCI distribution API.

Source: the OCI Distribution Specification 1.1, "Pushing Blobs" and "Pushing Manifests".
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pipeline.errors import BuildError

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_ACCEPTED = ", ".join([MANIFEST_TYPE, "application/vnd.oci.image.manifest.v1+json"])
_TIMEOUT_S = (5, 120)
_BINARY = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Credentials:
    username: str
    password: str


@dataclass(frozen=True)
class StoredManifest:
    digest: str
    config_digest: str


class Repository:
    """One repository; holds the session that carries its authorisation."""

    def __init__(
        self, host: str, name: str, *, credentials: Credentials | None, ca_bundle: str | None = None
    ) -> None:
        self.host = host
        self.name = name
        self.credentials = credentials
        self._session = requests.Session()
        # Given with each call: a session's own is overruled by REQUESTS_CA_BUNDLE.
        self._verify = ca_bundle
        self._base = ""

    @property
    def uri(self) -> str:
        return f"{self.host}/{self.name}"

    def log_in(self) -> None:
        """Raises: BuildError when the registry is not there, is none, or refuses the login."""
        answer = self._reach()
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status_code == 401 and self.credentials and challenge.lower().startswith("basic"):
            self._session.auth = (self.credentials.username, self.credentials.password)
            answer = self._send("GET", "/v2/")
        elif answer.status_code == 401 and challenge.lower().startswith("bearer"):
            self._session.headers["Authorization"] = f"Bearer {self._fetch_token(challenge)}"
            answer = self._send("GET", "/v2/")
        if answer.status_code in {401, 403}:
            who = self.credentials.username if self.credentials else "anonymous"
            raise BuildError(f"Registry {self.host} refuses the login of {who}: {_reason(answer)}")
        if answer.status_code != 200:
            raise BuildError(f"{self.host} does not answer as a container registry: {_reason(answer)}")

    def find(self, reference: str) -> StoredManifest | None:
        """The manifest under a tag or digest, if there is one."""
        answer = self._send("GET", f"/v2/{self.name}/manifests/{reference}", headers={"Accept": _ACCEPTED})
        if answer.status_code == 404:
            return None
        _check(answer, 200, doing=f"look up {self.uri}:{reference}")
        config: dict[str, Any] = answer.json().get("config", {})
        return StoredManifest(answer.headers["Docker-Content-Digest"], str(config.get("digest", "")))

    def push_blob(self, file: Path, digest: str) -> None:
        """Uploads the blob unless the registry has it."""
        if self._send("HEAD", f"/v2/{self.name}/blobs/{digest}").status_code == 200:
            return
        begun = self._send("POST", f"/v2/{self.name}/blobs/uploads/")
        _check(begun, 202, doing=f"push to {self.uri}")
        # In one piece and then closed, as every client that ECR is used with does it.
        with file.open("rb") as content:
            sent = self._send("PATCH", begun.headers["Location"], data=content, headers=_BINARY)
        _check(sent, 202, doing=f"push to {self.uri}")
        location = sent.headers["Location"]
        done = self._send("PUT", location + ("&" if "?" in location else "?") + f"digest={digest}")
        _check(done, 201, doing=f"push to {self.uri}")

    def push_manifest(self, manifest: bytes, *, tag: str) -> None:
        path = f"/v2/{self.name}/manifests/{tag}"
        answer = self._send("PUT", path, data=manifest, headers={"Content-Type": MANIFEST_TYPE})
        _check(answer, 201, doing=f"tag {self.uri}:{tag}")

    def _reach(self) -> requests.Response:
        """The registry's first answer. Plain HTTP is spoken only to this machine, as Docker does."""
        schemes = ["https", "http"] if re.match(r"(localhost|127\.[\d.]+)(:|$)", self.host) else ["https"]
        problem: Exception | None = None
        for scheme in schemes:
            self._base = f"{scheme}://{self.host}"
            try:
                return self._session.get(f"{self._base}/v2/", timeout=_TIMEOUT_S, verify=self._verify)
            except (requests.ConnectionError, requests.Timeout) as error:
                problem = problem or error
        raise BuildError(f"Registry {self.host} cannot be reached: {problem}") from problem

    def _fetch_token(self, challenge: str) -> str:
        """Source: the Distribution project's "Token Authentication Specification"."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {"scope": f"repository:{self.name}:pull,push", "service": fields.get("service", "")}
        login = (self.credentials.username, self.credentials.password) if self.credentials else None
        answer = self._session.get(
            fields["realm"], params=query, auth=login, timeout=_TIMEOUT_S, verify=self._verify
        )
        if answer.status_code != 200:
            raise BuildError(f"Registry {self.host} refuses the login: {_reason(answer)}")
        body = answer.json()
        return str(body.get("token") or body["access_token"])

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else self._base + path
        try:
            return self._session.request(method, url, timeout=_TIMEOUT_S, verify=self._verify, **options)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise BuildError(f"Registry {self.host} does not answer: {error}") from error


def decode_authorization(token: str) -> Credentials:
    """The user and password in ECR's authorization token."""
    username, _, password = base64.b64decode(token).decode().partition(":")
    return Credentials(username, password)


def _check(answer: requests.Response, wanted: int, *, doing: str) -> None:
    if answer.status_code != wanted:
        raise BuildError(f"Could not {doing}: {_reason(answer)}")


def _reason(answer: requests.Response) -> str:
    """The registry's own words, or the status line where it has none."""
    try:
        errors = answer.json()["errors"]
        words = "; ".join(f"{error['code']} {error.get('message', '')}".strip() for error in errors)
    except (ValueError, KeyError, TypeError):
        words = answer.text[:200]
    return f"HTTP {answer.status_code} {words}".strip()
