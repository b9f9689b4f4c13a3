"""The registry behind ECR: addresses, tokens, permissions, immutable tags, memory."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from local_aws import LocalAws
from process_image import RegistryClient, push_process_image

PROGRAMS = {"train": "print('hello')\n"}


@pytest.fixture
def ecr(aws: LocalAws) -> Any:
    return aws.client("ecr")


@pytest.fixture
def repository(ecr: Any, name: str) -> str:
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    return name


@pytest.fixture
def registry(aws: LocalAws) -> RegistryClient:
    return aws.registry()


def test_addresses_are_this_servers(aws: LocalAws, ecr: Any, repository: str) -> None:
    (found,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    (data,) = ecr.get_authorization_token()["authorizationData"]

    assert found["repositoryUri"] == f"{aws.settings.registry}/{repository}"
    assert data["proxyEndpoint"] == aws.settings.endpoint
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")


def test_pushed_image_is_described_with_its_size_and_tag(
    ecr: Any, registry: RegistryClient, repository: str
) -> None:
    digest = push_process_image(registry, repository, "v1", PROGRAMS).partition("@")[2]

    (detail,) = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["imageDetails"]

    manifest = registry.request("GET", f"/v2/{repository}/manifests/v1").json()
    size = manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])
    assert (detail["imageDigest"], detail["imageTags"], detail["imageSizeInBytes"]) == (digest, ["v1"], size)


def test_image_that_is_not_there_is_not_described(ecr: Any, repository: str) -> None:
    with pytest.raises(ClientError) as missing:
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v9"}])

    assert missing.value.response["Error"]["Code"] == "ImageNotFoundException"


def test_immutable_tag_is_not_moved(registry: RegistryClient, repository: str) -> None:
    push_process_image(registry, repository, "v1", PROGRAMS)

    with pytest.raises(requests.HTTPError) as refused:
        push_process_image(registry, repository, "v1", {"train": "print('other')\n"})

    (error,) = refused.value.response.json()["errors"]
    assert error["code"] == "TAG_INVALID"
    assert "repository is immutable" in error["message"]


def test_same_image_may_be_pushed_again(registry: RegistryClient, repository: str) -> None:
    references = {push_process_image(registry, repository, "v1", PROGRAMS) for _ in range(2)}

    assert len(references) == 1


@pytest.mark.parametrize("auth", [None, ("AWS", "wrong"), ("alice", "wrong")])
def test_registry_wants_a_token(aws: LocalAws, auth: Any) -> None:
    answer = requests.get(
        f"{aws.settings.endpoint}/v2/", auth=auth, verify=str(aws.settings.ca_file), timeout=10
    )

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "path",
    ["/v2/_catalog", "/v2/{}/manifests/v1/", "/v2/{}/manifests/a/b", "/v2/{}/blobs/a/b", "/v2/A/tags/list"],
)
def test_odd_paths_do_not_lead_around_the_token(
    aws: LocalAws, registry: RegistryClient, repository: str, path: str
) -> None:
    push_process_image(registry, repository, "v1", PROGRAMS)
    url = f"{aws.settings.endpoint}{path.format(repository)}"

    read = requests.get(url, verify=str(aws.settings.ca_file), timeout=10)
    written = requests.put(url, data=b"{}", verify=str(aws.settings.ca_file), timeout=10)

    assert (read.status_code, written.status_code) == (401, 401)
    assert registry.request("GET", path.format(repository)).status_code == 404


def test_token_has_the_permissions_of_who_asked_for_it(aws: LocalAws, name: str, repository: str) -> None:
    statement = {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("iam").put_user_policy(UserName="alice", PolicyName=name, PolicyDocument=policy)
    registry = RegistryClient(aws.client("ecr", profile="alice"), str(aws.settings.ca_file))

    with pytest.raises(requests.HTTPError) as refused:
        registry.push_blob(repository, b"layer")

    (error,) = refused.value.response.json()["errors"]
    assert error["code"] == "DENIED"
    assert "user/alice is not authorized to perform: ecr:InitiateLayerUpload" in error["message"]


def test_blob_that_is_not_what_its_digest_says_is_refused(registry: RegistryClient, repository: str) -> None:
    location = registry.request("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]

    answer = registry.request("PUT", f"{location}?digest=sha256:{'0' * 64}", data=b"something")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "DIGEST_INVALID"


def test_manifest_of_missing_blobs_is_refused(registry: RegistryClient, repository: str) -> None:
    manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{'0' * 64}"}, "layers": []}

    answer = registry.push_manifest(repository, "v1", manifest)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"layers": 5, "config": {}}',
        b'{"layers": [1], "config": {"digest": "sha256:0"}}',
        b'{"layers": {"digest": "sha256:0"}, "config": {"digest": "sha256:0"}}',
        b'{"manifests": [{}]}',
        b"[" * 100_000,
        "{}".encode("utf-16"),
    ],
)
def test_what_is_no_manifest_is_refused(registry: RegistryClient, repository: str, content: bytes) -> None:
    answer = registry.request("PUT", f"/v2/{repository}/manifests/v1", data=content)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "MANIFEST_INVALID"


def test_index_of_missing_images_is_refused(registry: RegistryClient, repository: str) -> None:
    answer = registry.push_manifest(repository, "v1", {"manifests": [{"digest": f"sha256:{'0' * 64}"}]})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"


def test_tag_that_is_none_is_refused(registry: RegistryClient, repository: str) -> None:
    answer = registry.push_manifest(repository, ".hidden", {"manifests": []})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "TAG_INVALID"


def test_layer_is_not_mounted_from_a_repository_that_the_caller_may_not_read(
    aws: LocalAws, registry: RegistryClient, ecr: Any, name: str, repository: str
) -> None:
    digest = registry.push_blob(repository, b"secret")
    ecr.create_repository(repositoryName=f"{name}-own")
    own = f"arn:aws:ecr:us-east-1:123456789012:repository/{name}-own"
    statements = [
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": "ecr:*", "Resource": own},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    aws.client("iam").put_user_policy(UserName="bob", PolicyName=name, PolicyDocument=policy)
    bob = RegistryClient(aws.client("ecr", profile="bob"), str(aws.settings.ca_file))

    answer = bob.request("POST", f"/v2/{name}-own/blobs/uploads/?mount={digest}&from={repository}")

    (error,) = answer.json()["errors"]
    assert error["code"] == "DENIED"
    assert "ecr:GetDownloadUrlForLayer" in error["message"]


def test_repository_that_does_not_exist_takes_nothing(registry: RegistryClient) -> None:
    answer = registry.request("POST", "/v2/never-made/blobs/uploads/")

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "NAME_UNKNOWN"


def test_large_layer_goes_to_disk_and_not_into_memory(
    aws: LocalAws, registry: RegistryClient, repository: str, tmp_path: Path
) -> None:
    size_bytes = 200 * 1024 * 1024
    file = tmp_path / "layer"
    chunk = os.urandom(1024 * 1024)
    digest = hashlib.sha256(chunk * (size_bytes // len(chunk))).hexdigest()
    with file.open("wb") as target:
        for _ in range(size_bytes // len(chunk)):
            target.write(chunk)
    before_kb = peak_memory_kb(aws)

    location = registry.request("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
    with file.open("rb") as source:
        registry.request("PATCH", location, data=source).raise_for_status()
    registry.request("PUT", f"{location}?digest=sha256:{digest}").raise_for_status()
    pulled = registry.request("GET", f"/v2/{repository}/blobs/sha256:{digest}", stream=True)

    assert sum(len(part) for part in pulled.iter_content(1024 * 1024)) == size_bytes
    assert peak_memory_kb(aws) - before_kb < 50 * 1024


def test_deleted_repository_leaves_no_blobs(
    aws: LocalAws, ecr: Any, registry: RegistryClient, repository: str
) -> None:
    digest = registry.push_blob(repository, b"only here")
    file = aws.settings.work_dir / "blobs" / digest.replace(":", "-")
    assert file.exists()

    ecr.delete_repository(repositoryName=repository, force=True)

    assert not file.exists()


def peak_memory_kb(aws: LocalAws) -> int:
    """The most memory the server has held."""
    pid = aws.settings.pid_file.read_text().strip()
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1])
