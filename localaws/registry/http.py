"""The OCI distribution protocol over ASGI: what `docker push` and `docker pull` speak.

Layers stream between the socket and the disk. Every request is authenticated by an ECR token and
authorised with the IAM actions that ECR asks for.
Source: OCI Distribution Specification 1.1; Amazon ECR user guide, "Private image repositories".
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ministack import app

from localaws.registry import images
from localaws.registry.blobs import BlobStore, DigestMismatchError, Repository, Upload
from localaws.registry.images import ManifestError
from localaws.registry.tokens import Token, Tokens

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

CHUNK_BYTES = 256 * 1024
_PATH = re.compile(
    r"/v2/(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)/"
    r"(?P<noun>blobs/uploads|blobs|manifests|tags)/?(?P<reference>[^/]*)"
)
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


class RegistryError(Exception):
    """A refusal in the words of the distribution protocol."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Answer:
    """Status, headers, and a body in memory or in a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Path = b""


@dataclass(frozen=True)
class Request:
    """One request on one repository."""

    method: str
    repository: Repository
    noun: str
    reference: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    token: Token
    receive: Receive


class Registry:
    """The registry of this server, as an ASGI application for the paths under /v2/."""

    def __init__(self, blobs: BlobStore, tokens: Tokens):
        self._blobs = blobs
        self._tokens = tokens

    @staticmethod
    def handles(path: str) -> bool:
        """Whether a path is the registry's: other services share the prefix /v2/.

        What ministack takes for a registry's path is never left to its own registry, which asks nobody.
        """
        return app._is_ecr_registry_path(path) or _PATH.fullmatch(path) is not None

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except RegistryError as error:
            answer = _error_answer(error)
        await _send(answer, send, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> Answer:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        token = self._tokens.of_header(headers.get("authorization", ""))
        if token is None:
            raise RegistryError(401, "UNAUTHORIZED", "authentication required")
        matched = _PATH.fullmatch(scope["path"])
        if scope["path"] in ("/v2", "/v2/"):
            return Answer(200, {"Content-Type": "application/json"}, b"{}")
        if matched is None:
            raise RegistryError(404, "UNSUPPORTED", f"there is nothing at {scope['path'][:200]}")
        query = parse_qs(scope.get("query_string", b"").decode())
        request = Request(
            scope["method"],
            Repository(token.scope, matched["name"]),
            matched["noun"],
            matched["reference"],
            {name: values[0] for name, values in query.items()},
            headers,
            token,
            receive,
        )
        if not images.exists(request.repository):
            raise RegistryError(
                404,
                "NAME_UNKNOWN",
                f"The repository with name '{request.repository.name}' does not exist in the registry with "
                f"id '{token.scope.account_id}'",
            )
        return await self._route(request)

    async def _route(self, request: Request) -> Answer:
        handlers: dict[tuple[str, str], Callable[[Request], Awaitable[Answer]]] = {
            ("blobs/uploads", "POST"): self._start_upload,
            ("blobs/uploads", "PATCH"): self._append_upload,
            ("blobs/uploads", "PUT"): self._finish_upload,
            ("blobs/uploads", "GET"): self._show_upload,
            ("blobs/uploads", "DELETE"): self._cancel_upload,
            ("blobs", "GET"): self._get_blob,
            ("blobs", "HEAD"): self._head_blob,
            ("manifests", "PUT"): self._put_manifest,
            ("manifests", "GET"): self._get_manifest,
            ("manifests", "HEAD"): self._get_manifest,
            ("manifests", "DELETE"): self._delete_manifest,
            ("tags", "GET"): self._list_tags,
        }
        handler = handlers.get((request.noun, request.method))
        if handler is None:
            raise RegistryError(405, "UNSUPPORTED", f"{request.method} is not supported here")
        return await handler(request)

    async def _start_upload(self, request: Request) -> Answer:
        _authorise(request, "ecr:InitiateLayerUpload")
        mounted = request.query.get("mount")
        if mounted and "from" in request.query:
            source = Repository(request.token.scope, request.query["from"])
            _authorise(request, "ecr:GetDownloadUrlForLayer", repository=source)
            if self._blobs.mount(request.repository, mounted, source=source):
                return self._created(request, mounted)
        upload = self._blobs.start_upload(request.repository)
        if "digest" in request.query:
            _authorise(request, "ecr:CompleteLayerUpload")
            return await self._complete(request, upload)
        return _upload_answer(202, upload)

    async def _append_upload(self, request: Request) -> Answer:
        _authorise(request, "ecr:UploadLayerPart")
        upload = self._upload(request)
        async for chunk in _body(request.receive):
            upload.append(chunk)
        return _upload_answer(202, upload)

    async def _finish_upload(self, request: Request) -> Answer:
        _authorise(request, "ecr:CompleteLayerUpload")
        return await self._complete(request, self._upload(request))

    async def _complete(self, request: Request, upload: Upload) -> Answer:
        digest = request.query.get("digest", "")
        async for chunk in _body(request.receive):
            upload.append(chunk)
        try:
            self._blobs.finish_upload(upload, digest)
        except DigestMismatchError as error:
            raise RegistryError(400, "DIGEST_INVALID", f"uploaded content does not match: {error}") from error
        return self._created(request, digest)

    async def _show_upload(self, request: Request) -> Answer:
        return _upload_answer(204, self._upload(request))

    async def _cancel_upload(self, request: Request) -> Answer:
        self._blobs.cancel_upload(self._upload(request))
        return Answer(204, {})

    async def _get_blob(self, request: Request) -> Answer:
        _authorise(request, "ecr:GetDownloadUrlForLayer")
        return self._blob(request)

    async def _head_blob(self, request: Request) -> Answer:
        _authorise(request, "ecr:BatchCheckLayerAvailability")
        return self._blob(request)

    def _blob(self, request: Request) -> Answer:
        path = self._blobs.path(request.repository, request.reference)
        if path is None:
            raise RegistryError(404, "BLOB_UNKNOWN", f"blob {request.reference} is unknown to the registry")
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(path.stat().st_size),
            "Docker-Content-Digest": request.reference,
        }
        return Answer(200, headers, path)

    async def _put_manifest(self, request: Request) -> Answer:
        _authorise(request, "ecr:PutImage")
        content = b""
        async for chunk in _body(request.receive):
            content += chunk
            if len(content) > images.MAX_MANIFEST_BYTES:
                raise RegistryError(413, "MANIFEST_INVALID", "the manifest is too large")
        try:
            digest = images.put_manifest(
                self._blobs,
                request.repository,
                request.reference,
                content=content,
                media_type=request.headers.get("content-type", images.DEFAULT_MEDIA_TYPE),
            )
        except ManifestError as error:
            raise RegistryError(400, error.code, str(error)) from error
        location = f"/v2/{request.repository.name}/manifests/{digest}"
        return Answer(201, {"Location": location, "Docker-Content-Digest": digest, "Content-Length": "0"})

    async def _get_manifest(self, request: Request) -> Answer:
        _authorise(request, "ecr:BatchGetImage")
        manifest = images.find_manifest(request.repository, request.reference)
        if manifest is None:
            raise RegistryError(404, "MANIFEST_UNKNOWN", f"Requested image not found: {request.reference}")
        headers = {
            "Content-Type": manifest.media_type,
            "Content-Length": str(len(manifest.content)),
            "Docker-Content-Digest": manifest.digest,
        }
        return Answer(200, headers, manifest.content)

    async def _delete_manifest(self, request: Request) -> Answer:
        _authorise(request, "ecr:BatchDeleteImage")
        if not images.delete_manifest(request.repository, request.reference):
            raise RegistryError(404, "MANIFEST_UNKNOWN", f"Requested image not found: {request.reference}")
        return Answer(202, {"Content-Length": "0"})

    async def _list_tags(self, request: Request) -> Answer:
        _authorise(request, "ecr:ListImages")
        names = {"name": request.repository.name, "tags": images.tags(request.repository)}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(names).encode())

    def _upload(self, request: Request) -> Upload:
        upload = self._blobs.find_upload(request.repository, request.reference)
        if upload is None:
            raise RegistryError(404, "BLOB_UPLOAD_UNKNOWN", "the upload is unknown to the registry")
        return upload

    def _created(self, request: Request, digest: str) -> Answer:
        location = f"/v2/{request.repository.name}/blobs/{digest}"
        return Answer(201, {"Location": location, "Docker-Content-Digest": digest, "Content-Length": "0"})


def _authorise(request: Request, action: str, *, repository: Repository | None = None) -> None:
    """Raises: RegistryError unless the caller may do `action` on the request's repository, or on another."""
    from ministack.core.iam_evaluator import AuthError, enforce
    from ministack.core.responses import request_scope

    token, arn = request.token, (repository or request.repository).arn
    with request_scope(token.scope.account_id, token.scope.region):
        denied = enforce(token.access_key_id, action, "ecr", token.scope.region, resource_arn=arn)
    if denied is None:
        return
    if isinstance(denied, AuthError):
        raise RegistryError(401, "UNAUTHORIZED", denied.message)
    raise RegistryError(
        403,
        "DENIED",
        f"User: {denied.principal_arn} is not authorized to perform: {action} on resource: {arn}",
    )


def _upload_answer(status: int, upload: Upload) -> Answer:
    headers = {
        "Location": f"/v2/{upload.repository.name}/blobs/uploads/{upload.id}",
        "Range": f"0-{max(0, upload.size_bytes - 1)}",
        "Docker-Upload-UUID": upload.id,
    }
    return Answer(status, headers if status == 204 else {**headers, "Content-Length": "0"})


def _error_answer(error: RegistryError) -> Answer:
    body = {"errors": [{"code": error.code, "message": str(error)}]}
    headers = {"Content-Type": "application/json"}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="ecr",service="ecr.amazonaws.com"'
    return Answer(error.status, headers, json.dumps(body).encode())


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RegistryError(400, "BLOB_UPLOAD_INVALID", "the client went away")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _send(answer: Answer, send: Send, *, head: bool) -> None:
    headers = {**_VERSION, **answer.headers}
    if isinstance(answer.body, bytes):
        headers.setdefault("Content-Length", str(len(answer.body)))
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": lines})
    if isinstance(answer.body, Path) and not head:
        with answer.body.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    content = b"" if head or isinstance(answer.body, Path) else answer.body
    await send({"type": "http.response.body", "body": content, "more_body": False})
