"""Small model images for tests: one layer of Python programs, pushed over the distribution protocol."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

import requests

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class RegistryClient:
    """Speaks to the local ECR as `docker push` does, with the token of the given ECR client."""

    def __init__(self, ecr: Any, ca_file: str):
        data = ecr.get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        self.url = data["proxyEndpoint"]
        self.session = requests.Session()
        self.session.auth = (user, password)
        # Given with every request: REQUESTS_CA_BUNDLE would win over the session's setting.
        self._ca_file = ca_file

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        url = path if path.startswith("http") else f"{self.url}{path}"
        return self.session.request(method, url, timeout=60, verify=self._ca_file, **arguments)

    def push_blob(self, repository: str, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        started = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        started.raise_for_status()
        location = started.headers["Location"]
        self.request("PATCH", location, data=content).raise_for_status()
        self.request("PUT", f"{location}?digest={digest}").raise_for_status()
        return digest

    def push_manifest(self, repository: str, tag: str, manifest: dict[str, Any]) -> requests.Response:
        headers = {"Content-Type": MANIFEST_TYPE}
        path = f"/v2/{repository}/manifests/{tag}"
        return self.request("PUT", path, data=json.dumps(manifest).encode(), headers=headers)


def layer(programs: dict[str, str]) -> bytes:
    """A compressed layer with the programs under /opt/program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, source in programs.items():
            member = tarfile.TarInfo(f"opt/program/{name}")
            content = f"#!/usr/bin/env python3\n{source}".encode()
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def push_process_image(client: RegistryClient, repository: str, tag: str, programs: dict[str, str]) -> str:
    """`repository@digest` of a pushed image that runs as plain processes."""
    content = layer(programs)
    labels = {"org.mlops.runtime": "process"}
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Labels": labels}}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(client, repository, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_descriptor(client, repository, content, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    answer = client.push_manifest(repository, tag, manifest)
    answer.raise_for_status()
    return f"{repository}@{answer.headers['Docker-Content-Digest']}"


def _descriptor(client: RegistryClient, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": client.push_blob(repository, content), "size": len(content)}
