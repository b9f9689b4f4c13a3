"""The two servers of the mend tests: the local AWS, and the same ministack without a mend.

Each is started once for a whole test run, on first use.
"""

from __future__ import annotations

import atexit
import functools
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from ports import free_port

from localaws.certificates import write_certificates
from localaws.control import INHERITED
from localaws.settings import Settings

ACCOUNT = "123456789012"
REGION = "us-east-1"
WITHOUT_MENDS = "import localaws.mends; localaws.mends.apply = lambda: None; "
SERVE = "import sys; from localaws.cli import main; sys.argv[0] = 'localaws'; main()"


@dataclass(frozen=True)
class Server:
    """A running server and clients of it."""

    endpoint: str
    ca_file: Path
    root: dict[str, str]
    clients: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def client(self, service: str, credentials: dict[str, str] | None = None) -> Any:
        """A client as root, or with the credentials that AssumeRole or CreateAccessKey answered."""
        keys = self.root if credentials is None else _client_keys(credentials)
        key = (service, keys["aws_access_key_id"])
        if key not in self.clients:
            config = Config(
                retries={"total_max_attempts": 1}, read_timeout=60, s3={"addressing_style": "path"}
            )
            self.clients[key] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                verify=str(self.ca_file),
                region_name=REGION,
                config=config,
                **keys,
            )
        return self.clients[key]

    def role(self, service: str, *statements: dict[str, Any]) -> str:
        """The ARN of a new role that `service` may assume."""
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        iam, name = self.client("iam"), unique("role")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        return arn

    def function(self, source: str, *, role: str | None = None, **options: Any) -> str:
        """The ARN of a new Python function; `source` defines `handler`."""
        name = unique("function")
        self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="index.handler",
            Role=role or self.role("lambda"),
            Code={"ZipFile": zip_of({"index.py": source})},
            **{"Timeout": 20, **options},
        )
        self.client("lambda").get_waiter("function_active_v2").wait(FunctionName=name)
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"

    def queue(self, *statements: dict[str, Any]) -> tuple[str, str]:
        """URL and ARN of a new queue; the statements lack only their Resource."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        if statements:
            document = policy(*({**statement, "Resource": arn} for statement in statements))
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
        return url, arn

    def messages(self, url: str, *, count: int = 1, timeout_s: float = 10) -> list[dict[str, Any]]:
        """The messages that arrive, at least `count`, or what came in time."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < deadline:
            answer = self.client("sqs").receive_message(
                QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            found += answer.get("Messages", [])
        return found

    def execute(
        self, definition: dict[str, Any], value: Any = None, *, role: str, timeout_s: float = 20
    ) -> Any:
        """A new state machine's execution, described after its end."""
        states = self.client("stepfunctions")
        execution = self.start(definition, value, role=role)
        return until(
            lambda: states.describe_execution(executionArn=execution),
            lambda answer: answer["status"] != "RUNNING",
            timeout_s=timeout_s,
        )

    def start(self, definition: dict[str, Any], value: Any = None, *, role: str) -> str:
        """The ARN of an execution of a new state machine."""
        states = self.client("stepfunctions")
        machine = states.create_state_machine(
            name=unique("machine"), definition=json.dumps(definition), roleArn=role
        )
        started = states.start_execution(
            stateMachineArn=machine["stateMachineArn"], input=json.dumps({} if value is None else value)
        )
        return str(started["executionArn"])

    def history(self, execution: str) -> list[dict[str, Any]]:
        answer = self.client("stepfunctions").get_execution_history(executionArn=execution, maxResults=1000)
        return list(answer["events"])


@functools.cache
def mended() -> Server:
    """The local AWS."""
    return _start("")


@functools.cache
def plain() -> Server:
    """ministack as it is installed, set up like the local AWS."""
    return _start(WITHOUT_MENDS)


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def allow_service(service: str, action: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": action}


def task(resource: str, parameters: Any = None, **fields: Any) -> dict[str, Any]:
    """A state machine of one task."""
    state = {"Type": "Task", "Resource": resource, "End": True, **fields}
    if parameters is not None:
        state["Parameters"] = parameters
    return {"StartAt": "Only", "States": {"Only": state}}


def zip_of(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return archive.getvalue()


def until(call: Callable[[], Any], done: Callable[[Any], bool], *, timeout_s: float = 10) -> Any:
    """The call's first answer that is `done`, or its last one."""
    deadline = time.monotonic() + timeout_s
    while not done(answer := call()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


def _client_keys(credentials: dict[str, str]) -> dict[str, str]:
    keys = {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
    }
    if "SessionToken" in credentials:
        keys["aws_session_token"] = credentials["SessionToken"]
    return keys


def _start(prelude: str) -> Server:
    folder = Path(tempfile.mkdtemp(prefix="mends-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = Settings(free_port(), folder, "process")
    write_certificates(settings)
    root = {"aws_access_key_id": "AKIAROOTOFTHETESTS00", "aws_secret_access_key": "not-a-secret"}
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {name.upper(): value for name, value in root.items()} | {"MARKER_OF_THE_SERVER": "seen"}
    command = [sys.executable, "-c", prelude + SERVE, "serve"]
    command += ["--port", str(settings.port), "--state-dir", str(folder), "--runtime", "process"]
    with settings.log_file.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    atexit.register(_stop, process)
    _wait_until_listening(settings.port, process, settings.log_file)
    return Server(settings.endpoint, settings.ca_file, root)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended: {log_file.read_text()[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"The server did not start: {log_file.read_text()[-2000:]}")
