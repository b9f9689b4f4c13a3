from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from botocore.exceptions import ClientError
from registry_server import RegistryServer, serve_registry

from pipeline.errors import BuildError
from pipeline.image import BuildOptions, build_image, open_ecr, open_private, push_image, read_image
from pipeline.registry import Credentials, Repository
from pipeline.settings import TARGETS, Settings, Target
from pipeline.stack import read_images

COMMIT = "0123456789abcdef"
LOGIN = Credentials("AWS", "secret")


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with serve_registry("AWS:secret") as server:
        yield server


def open_repository(server: RegistryServer, credentials: Credentials | None = LOGIN) -> Repository:
    return Repository(server.host, "mlops-iris", credentials=credentials)


def build(settings: Settings, target: Target = "serving") -> Any:
    options = BuildOptions(commit=COMMIT, created="2026-01-02T03:04:05Z")
    return build_image(settings, "iris", target, engine=None, options=options, report=lambda _line: None)


def push(settings: Settings, image: Any, repository: Repository) -> Any:
    return push_image(settings, image, repository=repository, report=lambda _line: None)


def test_what_was_built_is_pushed_and_named_by_digest(settings: Settings, registry: RegistryServer) -> None:
    built = build(settings)

    pushed = push(settings, built, open_repository(registry))

    assert pushed.uri == f"{registry.host}/mlops-iris@{pushed.digest}"
    assert pushed.tag == f"serving-0123456789ab-{built.image_id.removeprefix('sha256:')[:12]}"
    assert json.loads(registry.manifests[pushed.tag])["config"]["digest"] == built.image_id
    assert read_image(settings, "iris", "serving") == pushed


def test_both_images_of_a_model_stand_in_its_one_repository(
    settings: Settings, registry: RegistryServer
) -> None:
    pushed = [push(settings, build(settings, target), open_repository(registry)) for target in TARGETS]

    assert [image.tag.partition("-")[0] for image in pushed] == ["training", "serving"]
    assert len({image.digest for image in pushed}) == 2
    assert read_images(settings) == {"iris": {image.target: image.uri for image in pushed}}


def test_the_same_content_is_not_sent_twice(settings: Settings, registry: RegistryServer) -> None:
    first = push(settings, build(settings), open_repository(registry))
    sent = registry.uploads

    second = push(settings, build(settings), open_repository(registry))

    assert second.digest == first.digest
    assert registry.uploads == sent == 2


def test_a_tag_with_other_content_is_never_overwritten(settings: Settings, registry: RegistryServer) -> None:
    built = build(settings)
    registry.manifests[built.tag] = b'{"config": {"digest": "sha256:0000"}}'

    with pytest.raises(BuildError, match="has other content"):
        push(settings, built, open_repository(registry))


def test_a_refused_login_is_an_error_and_nothing_is_pushed(
    settings: Settings, registry: RegistryServer
) -> None:
    with pytest.raises(BuildError, match=r"refuses the login of AWS: HTTP 401 UNAUTHORIZED"):
        push(settings, build(settings), open_repository(registry, Credentials("AWS", "wrong")))

    assert registry.blobs == {}


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_private_registry_is_pushed_to(settings: Settings, scheme: Literal["Basic", "Bearer"]) -> None:
    with serve_registry("me:pass", scheme) as server:
        environ = {"MLOPS_REGISTRY_USERNAME": "me", "MLOPS_REGISTRY_PASSWORD": "pass"}

        pushed = push(settings, build(settings), open_private(f"{server.host}/team/iris", environ))

        assert pushed.uri.startswith(f"{server.host}/team/iris@sha256:")


def test_a_registry_that_is_not_there_is_named(settings: Settings, registry: RegistryServer) -> None:
    registry.server_close()
    registry.shutdown()

    with pytest.raises(BuildError, match=f"Registry {registry.host} cannot be reached"):
        push(settings, build(settings), open_repository(registry))


def test_an_address_without_a_name_is_refused() -> None:
    with pytest.raises(BuildError, match="--registry wants HOST/NAME, not 'localhost:5000'"):
        open_private("localhost:5000", {})


class Ecr:
    """ECR with or without the repository."""

    def __init__(self, *, exists: bool) -> None:
        self.exists = exists
        self.created: list[dict[str, Any]] = []

    def describe_repositories(self, *, repositoryNames: list[str]) -> dict[str, Any]:  # noqa: N803
        if not self.exists:
            answer: Any = {"Error": {"Code": "RepositoryNotFoundException", "Message": "no"}}
            raise ClientError(answer, "DescribeRepositories")
        return {
            "repositories": [{"repositoryUri": f"1.dkr.ecr.eu-west-1.amazonaws.com/{repositoryNames[0]}"}]
        }

    def create_repository(self, **request: Any) -> dict[str, Any]:
        self.created.append(request)
        return {"repository": {"repositoryUri": f"host/{request['repositoryName']}"}}

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:pa:ss").decode()
        return {"authorizationData": [{"authorizationToken": token}]}


def test_ecr_gives_address_and_login() -> None:
    repository = open_ecr(Ecr(exists=True), "mlops-iris", create=False, ca_bundle=None)

    assert repository.uri == "1.dkr.ecr.eu-west-1.amazonaws.com/mlops-iris"
    assert repository.credentials == Credentials("AWS", "pa:ss")


def test_without_the_repository_core_must_be_applied_first() -> None:
    with pytest.raises(BuildError, match="no ECR repository mlops-iris"):
        open_ecr(Ecr(exists=False), "mlops-iris", create=False, ca_bundle=None)


def test_the_repository_is_made_only_on_request_and_with_immutable_tags() -> None:
    ecr = Ecr(exists=False)

    open_ecr(ecr, "mlops-iris", create=True, ca_bundle=None)

    assert ecr.created[0]["imageTagMutability"] == "IMMUTABLE"
