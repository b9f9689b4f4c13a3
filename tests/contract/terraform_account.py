"""A project of its own in the session's local AWS, driven by the `mlops` command, which can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from held_calls import Wire
from iac_copy import shared_provider
from local_aws import LocalAws

from localaws.profiles import assume_policy, role_arn
from localaws.settings import ACCOUNT_ID

ROOT = Path(__file__).parents[2]
ADMINISTRATOR = {"AWS_PROFILE": "admin"}


@dataclass(frozen=True)
class Account:
    """What one project has in the account, and the build folder that its commands share."""

    wire: Wire
    aws: LocalAws
    build: Path
    project: str
    # What points Terraform at a provider that runs already.
    provider: Mapping[str, str] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        return f"{self.project}-tfstate-{ACCOUNT_ID}"

    def start(self, *arguments: str, person: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """`person` are the variables that say who calls: the administrator, where none is given."""
        told = {
            "MLOPS_PROJECT": self.project,
            "MLOPS_BUILD_DIR": str(self.build),
            **self.provider,
            **(person or ADMINISTRATOR),
        }
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "mlops"), *arguments],
            cwd=ROOT,
            env=self._pointed_at_the_wire() | told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def with_running_provider(self) -> Iterator[Account]:
        """The same, with one provider for all Terraforms: much of their work is to start one."""
        environ = self._pointed_at_the_wire() | ADMINISTRATOR
        # The provider takes AWS_CA_BUNDLE once only; Go's own variable it takes each time.
        environ["SSL_CERT_FILE"] = environ.pop("AWS_CA_BUNDLE")
        with shared_provider(self.build / "terraform" / "bootstrap" / "data", environ=environ) as provider:
            yield replace(self, provider=provider)

    def _pointed_at_the_wire(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        client = {name: value for name, value in self.aws.environment.items() if name != "AWS_PROFILE"}
        endpoint = dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"), self.wire.endpoint)
        return kept | client | endpoint

    def mlops(
        self, *arguments: str, person: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, person=person)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def act_as(self, role: str, *, name: str) -> dict[str, str]:
        """A new user who takes on one of the project's roles; the variables that make a command theirs."""
        iam, full_name = self.aws.client("iam"), f"{self.project}-{role}"
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="assume-role", PolicyDocument=assume_policy(full_name))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        own = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        sts = self.aws.client("sts", **own)
        session = sts.assume_role(RoleArn=role_arn(full_name), RoleSessionName=name)["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
            "AWS_SESSION_TOKEN": session["SessionToken"],
        }

    def read(self, key: str) -> Any:
        """An object of the state bucket, a state or its lock; None where it is not there."""
        s3 = self.aws.client("s3")
        try:
            return json.loads(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
            return None


def kill_with_terraform(process: subprocess.Popen[str]) -> None:
    """SIGKILL to all at once, as when the machine goes down.

    Terraform and its provider are a process group of their own.
    """
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    for pid in map(int, children):
        os.killpg(pid, signal.SIGKILL)
    process.communicate()
