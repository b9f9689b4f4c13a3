"""A whole deployment on the local AWS, driven as a user drives it: by the `mlops` command."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
# In the environment of the demo, as a CI would have it: nothing may write it down.
PLANTED_SECRET = "planted-7f3b9d2c51e84a06"
# The repository at GitHub, and the role of the agents of Jenkins, that may take on CI's roles.
REPOSITORY = "example/mlops"
AGENTS = "jenkins-agents"
# As the demo's bootstrap names them.
PEOPLE = ("--deployer", "user/carol", "--approver", "user/bob", "--data-scientist", "user/alice")
SAMPLE_HEADER, *SAMPLE_ROWS = (ROOT / "model_src/models/iris/train.csv").read_text().splitlines()


@dataclass(frozen=True)
class Result:
    """What one command printed and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Deployment:
    """Where one deployment keeps its files, and how to act in it as a person."""

    build_dir: Path
    port: int
    runtime: str
    demo: dict[str, Any] = field(default_factory=dict)

    @property
    def demo_plans(self) -> Path:
        """The plans that the demo made last, kept before a test plans again."""
        return self.build_dir / "demo-plans"

    def mlops(self, *args: str, profile: str = "deployer", timeout_s: int = 600) -> Result:
        """Run one `mlops` command as the holder of an AWS profile."""
        return run_mlops(*args, environ=self.environment(profile), timeout_s=timeout_s)

    def environment(self, profile: str) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        env["MLOPS_BUILD_DIR"] = str(self.build_dir)
        return env | self.aws_variables() | {"AWS_PROFILE": profile}

    def aws_variables(self) -> dict[str, str]:
        file = self.build_dir / "local" / "aws.env"
        if not file.exists():
            return {}
        return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)

    def secrets(self) -> dict[str, bytes]:
        """What nothing may write down: the variable each command is given, and the keys it works with."""
        file = configparser.ConfigParser()
        file.read(self.aws_variables()["AWS_SHARED_CREDENTIALS_FILE"])
        keys = {f"{name}'s key": file[name]["aws_secret_access_key"].encode() for name in file.sections()}
        assert keys
        return {"the planted variable": PLANTED_SECRET.encode(), **keys}

    def client(self, service: str, *, profile: str = "admin") -> Any:
        """A boto3 client of the local AWS, as a given profile."""
        aws = self.aws_variables()
        os.environ["AWS_CONFIG_FILE"] = aws["AWS_CONFIG_FILE"]
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = aws["AWS_SHARED_CREDENTIALS_FILE"]
        os.environ["AWS_ENDPOINT_URL"] = aws["AWS_ENDPOINT_URL"]
        os.environ["AWS_CA_BUNDLE"] = aws["AWS_CA_BUNDLE"]
        session = boto3.Session(profile_name=profile, region_name=aws["AWS_REGION"])
        return session.client(service, config=Config(retries={"mode": "standard"}))


def run_mlops(*args: str, environ: Mapping[str, str], cwd: Path = ROOT, timeout_s: int = 600) -> Result:
    """Run one `mlops` command with these variables and no others."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "mlops"), *args],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def upload(deployment: Deployment, file: Path) -> str:
    """The run that the dataset starts."""
    done = deployment.mlops("upload", str(file), "--json", profile="uploader")
    assert done.exit_code == 0, done.stderr
    run_id: str = done.json["run_id"]
    return run_id


def watch(deployment: Deployment, run_id: str, *options: str) -> dict[str, Any]:
    """How the run ended."""
    run: dict[str, Any] = deployment.mlops("watch", run_id, *options, "--json").json
    return run


def production(deployment: Deployment) -> dict[str, Any]:
    """What production serves."""
    status: dict[str, Any] = deployment.mlops("status", "--env", "production", "--json").json
    return status
