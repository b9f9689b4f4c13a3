"""What one local AWS is told when it starts: where it listens, where its files are, how it runs programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HOST = "127.0.0.1"
ACCOUNT_ID = "123456789012"
REGION = "us-east-1"

# Marks every process that a server starts, so that a later start finds those of a killed one.
STATE_DIR_VARIABLE = "LOCALAWS_STATE_DIR"

Runtime = Literal["auto", "container", "process"]
Recording = Literal["distinct", "all", "none"]


@dataclass(frozen=True)
class Settings:
    """One server. Its files live under `state_dir`; two servers need two ports and two directories."""

    port: int
    state_dir: Path
    runtime: Runtime = "auto"
    decisions: Recording = "distinct"

    @property
    def endpoint(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def registry(self) -> str:
        """Host part of image references, as `repositoryUri` shows it."""
        return f"{HOST}:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.state_dir / "ca.pem"

    @property
    def certificate_file(self) -> Path:
        return self.state_dir / "server-certificate.pem"

    @property
    def key_file(self) -> Path:
        return self.state_dir / "server-key.pem"

    @property
    def env_file(self) -> Path:
        return self.state_dir / "aws.env"

    @property
    def config_file(self) -> Path:
        return self.state_dir / "config"

    @property
    def credentials_file(self) -> Path:
        return self.state_dir / "credentials"

    @property
    def pid_file(self) -> Path:
        return self.state_dir / "server.pid"

    @property
    def log_file(self) -> Path:
        return self.state_dir / "server.log"

    @property
    def decisions_file(self) -> Path:
        """What IAM was asked and what it answered, one JSON object a line."""
        return self.state_dir / "decisions.jsonl"

    @property
    def status_file(self) -> Path:
        return self.state_dir / "status.json"

    @property
    def pulled_file(self) -> Path:
        """The images that the server had the engine pull, one reference a line."""
        return self.work_dir / "pulled-images"

    @property
    def interruptions_dir(self) -> Path:
        """Orders to take Spot instances back: an empty file of the training job's name."""
        return self.work_dir / "interruptions"

    @property
    def work_dir(self) -> Path:
        """Scratch of the running server: blobs, job directories, temporary files. Gone after `down`."""
        return self.state_dir / "work"
