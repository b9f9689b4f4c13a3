"""The server from outside: how it starts, what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError
from local_aws import LocalAws, create_role, wait_until
from ports import free_port
from process_image import push_process_image

from localaws import control
from localaws.settings import Settings

SLEEP = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(300)'])\n"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localaws", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = Settings(free_port(), tmp_path / "state", "process")
    yield made
    control.stop(made)


def up(settings: Settings, *more: str) -> subprocess.CompletedProcess[str]:
    return run(
        "up",
        "--port",
        str(settings.port),
        "--state-dir",
        str(settings.state_dir),
        "--runtime",
        "process",
        *more,
    )


def test_up_prints_the_lines_that_point_a_client_at_it(settings: Settings) -> None:
    result = up(settings)

    assert result.returncode == 0, result.stderr
    exports = dict(
        line.removeprefix("export ").split("=", 1) for line in result.stdout.splitlines() if "export" in line
    )
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    asked = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **exports},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == "arn:aws:iam::123456789012:root"


def test_status_and_down_speak_json(settings: Settings) -> None:
    started = json.loads(up(settings, "--json").stdout)
    shown = json.loads(run("status", "--state-dir", str(settings.state_dir), "--json").stdout)
    stopped = json.loads(run("down", "--state-dir", str(settings.state_dir), "--json").stdout)

    assert started == shown
    assert (shown["endpoint"], shown["runtime"]) == (settings.endpoint, "process")
    assert shown["profiles"][:4] == ["admin", "uploader", "approver", "deployer"]
    assert stopped == {"stopped": True}
    assert run("status", "--state-dir", str(settings.state_dir)).returncode == 1


def test_taken_port_is_named(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.port))
        other.listen()
        result = up(settings)

    assert result.returncode == 3
    assert f"Port {settings.port} on 127.0.0.1 cannot be used" in result.stderr
    assert "--port" in result.stderr


def test_second_start_in_the_same_directory_is_refused(settings: Settings) -> None:
    up(settings)

    result = up(Settings(free_port(), settings.state_dir))

    assert result.returncode == 3
    assert "runs already" in result.stderr


def test_one_of_two_starts_at_once_is_refused(settings: Settings) -> None:
    starts = [settings, Settings(free_port(), settings.state_dir)]

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(up, starts))

    assert sorted(result.returncode for result in results) == [0, 3]
    assert len(processes_of(settings)) == 1


def test_state_directory_that_is_none_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = up(Settings(settings.port, tmp_path / "file" / "state"))

    assert result.returncode == 3
    assert f"{tmp_path}/file/state cannot be used: Not a directory" in result.stderr


def test_stale_pid_file_is_no_obstacle(settings: Settings) -> None:
    settings.state_dir.mkdir(parents=True)
    settings.pid_file.write_text(f"{os.getpid()}\n")

    assert up(settings).returncode == 0


def test_demanded_engine_that_is_missing_is_named(settings: Settings, tmp_path: Path) -> None:
    result = run(
        "up",
        "--port",
        str(settings.port),
        "--state-dir",
        str(settings.state_dir),
        "--runtime",
        "container",
        DOCKER_HOST=f"unix://{tmp_path}/no-engine.sock",
        DOCKER_CONFIG=str(tmp_path),
    )

    assert result.returncode == 3
    assert "needs a container engine" in result.stderr
    assert "no-engine.sock" in result.stderr
    assert not settings.pid_file.exists()


@pytest.mark.parametrize("key", ["test", "123456789012", "the root's own"])
def test_root_is_who_holds_the_roots_secret(aws: LocalAws, key: str) -> None:
    admin = aws.client("sts")
    own = admin._request_signer._credentials.access_key
    forged = aws.client(
        "s3", aws_access_key_id=own if " " in key else key, aws_secret_access_key="not-the-secret"
    )

    with pytest.raises(ClientError) as refused:
        forged.list_buckets()

    assert admin.get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:root"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/sqs/messages?QueueUrl=x"),
        ("GET", "/_ministack/ses/messages"),
    ],
)
def test_ministacks_own_doors_are_closed(aws: LocalAws, method: str, path: str) -> None:
    answer = requests.request(
        method, f"{aws.settings.endpoint}{path}", data=b"{}", verify=str(aws.settings.ca_file), timeout=10
    )

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("user", "own", "other"),
    [
        ("alice", "data-scientist", "approver"),
        ("bob", "approver", "deployer"),
        ("carol", "deployer", "approver"),
    ],
)
def test_person_assumes_her_own_role_only(aws: LocalAws, user: str, own: str, other: str) -> None:
    iam = aws.client("iam")
    principal = {"AWS": "arn:aws:iam::123456789012:root"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    for role in (own, other):
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=f"mlops-{role}", AssumeRolePolicyDocument=document)
    sts = aws.client("sts", profile=user)

    session = sts.assume_role(RoleArn=f"arn:aws:iam::123456789012:role/mlops-{own}", RoleSessionName=user)
    with pytest.raises(ClientError) as refused:
        sts.assume_role(RoleArn=f"arn:aws:iam::123456789012:role/mlops-{other}", RoleSessionName=user)

    assert session["AssumedRoleUser"]["Arn"].endswith(f"assumed-role/mlops-{own}/{user}")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_only_its_own_port_on_loopback_is_opened(aws: LocalAws) -> None:
    pid = int(aws.settings.pid_file.read_text())
    inodes = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.exists() or fd.is_symlink()}
    listening = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]

    own = [entry[1] for entry in listening if f"socket:[{entry[9]}]" in inodes]

    assert own == [f"0100007F:{aws.settings.port:04X}"]


def start_sleeping_job(aws: LocalAws) -> None:
    """A training job whose program has a child of its own."""
    role = create_role(aws, "sleeper", ["s3:*", "ecr:*", "logs:*"])
    aws.client("s3").create_bucket(Bucket="sleep-bucket")
    aws.client("s3").put_object(Bucket="sleep-bucket", Key="train/a.csv", Body=b"a")
    aws.client("ecr").create_repository(repositoryName="sleep")
    reference = push_process_image(aws.registry(), "sleep", "v1", {"train": SLEEP})
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://sleep-bucket/train/"}
    sagemaker = aws.client("sagemaker")
    sagemaker.create_training_job(
        TrainingJobName="sleep",
        AlgorithmSpecification={
            "TrainingImage": f"{aws.settings.registry}/{reference}",
            "TrainingInputMode": "File",
        },
        RoleArn=role,
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": "s3://sleep-bucket/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    wait_until(lambda: len(processes_of(aws.settings)) >= 3)


def processes_of(settings: Settings) -> list[int]:
    """Every process that carries the server's mark: itself, and what it started."""
    mark = f"LOCALAWS_STATE_DIR={settings.state_dir}".encode()
    found = []
    for directory in Path("/proc").iterdir():
        try:
            if directory.name.isdigit() and mark in (directory / "environ").read_bytes().split(b"\0"):
                found.append(int(directory.name))
        except OSError:
            continue
    return found


def test_down_ends_what_the_server_started(settings: Settings) -> None:
    control.start(settings)
    start_sleeping_job(LocalAws(settings))

    control.stop(settings)

    assert processes_of(settings) == []
    assert sorted(file.name for file in settings.state_dir.iterdir()) == [
        "ca.pem",
        "config",
        "decisions.jsonl",
        "server-certificate.pem",
        "server-key.pem",
        "server.log",
    ]


def test_down_waits_for_no_client(settings: Settings) -> None:
    control.start(settings)
    sts = LocalAws(settings).client("sts")
    sts.get_caller_identity()
    started_at = time.monotonic()

    control.stop(settings)

    assert time.monotonic() - started_at < 30
    with pytest.raises(EndpointConnectionError):
        sts.get_caller_identity()


def test_next_start_ends_what_a_killed_server_left(settings: Settings) -> None:
    control.start(settings)
    start_sleeping_job(LocalAws(settings))
    os.kill(int(settings.pid_file.read_text()), signal.SIGKILL)
    left = processes_of(settings)

    control.start(settings)

    assert left
    assert not set(left) & set(processes_of(settings))


def test_memory_stays_small_when_every_service_is_used(settings: Settings) -> None:
    control.start(settings)
    aws = LocalAws(settings)

    aws.client("s3").list_buckets()
    aws.client("iam").list_roles()
    aws.client("ec2").describe_vpcs()
    aws.client("lambda").list_functions()
    aws.client("sagemaker").list_models()
    aws.client("stepfunctions").list_state_machines()

    pid = settings.pid_file.read_text().strip()
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line)
    assert int(line.split()[1]) < 200 * 1024


def test_an_answer_comes_in_one_piece(settings: Settings) -> None:
    """A TLS socket gives at most one record at a time: the first one must hold the whole answer."""
    assert up(settings).returncode == 0
    trusted = ssl.create_default_context(cafile=str(settings.ca_file))
    request = b"GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", settings.port)) as plain,
        trusted.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        for _ in range(2):
            secured.sendall(request)
            head, _, body = secured.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(body)
