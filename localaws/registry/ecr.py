"""Joins ministack's ECR API to this registry: addresses, tokens, image details. For 1.5.33."""

from __future__ import annotations

import base64
import json

from ministack.core import iam_evaluator
from ministack.services import ecr

from localaws.errors import AwsError
from localaws.registry import images
from localaws.registry.blobs import BlobStore, Repository
from localaws.registry.tokens import USER, Tokens
from localaws.schema import Members
from localaws.service import Response, current_scope, error_response
from localaws.settings import Settings


def join(settings: Settings, blobs: BlobStore, tokens: Tokens) -> None:
    """Makes ministack's ECR speak of this registry."""
    delete_repository = ecr._delete_repository

    def repository_uri(name: str) -> str:
        return f"{settings.registry}/{name}"

    def get_authorization_token(_params: Members) -> Response:
        # The key whose signature this request passed; ministack hands handlers no caller.
        token = tokens.issue(iam_evaluator._verified_key.get(), current_scope())
        data = {
            "authorizationToken": base64.b64encode(f"{USER}:{token.password}".encode()).decode(),
            "expiresAt": int(token.expires_at),
            "proxyEndpoint": settings.endpoint,
        }
        return _answer({"authorizationData": [data]})

    def describe_images(params: Members) -> Response:
        try:
            return _answer(images.describe_images(params))
        except AwsError as error:
            return error_response(error)

    def delete_repository_with_blobs(params: Members) -> Response:
        status, headers, body = delete_repository(params)
        if status == 200:
            blobs.drop_repository(Repository(current_scope(), params["repositoryName"]))
        return status, headers, body

    ecr._repo_uri = repository_uri
    ecr._get_authorization_token = get_authorization_token
    ecr._describe_images = describe_images
    ecr._delete_repository = delete_repository_with_blobs


def _answer(members: Members) -> Response:
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(members).encode()
