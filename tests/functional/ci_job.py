"""What a job of GitHub Actions has to act in a role: the identity token that GitHub would give it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from kept_demo import REPOSITORY, Deployment

ISSUER = "https://token.actions.githubusercontent.com"


def token(subject: str) -> str:
    """What GitHub gives a job, unsigned: the local AWS has no key of GitHub's to check it with."""
    claims = {"iss": ISSUER, "aud": "sts.amazonaws.com", "sub": subject}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "unsigned"])


def job_environment(
    deployment: Deployment, role_arn: str, folder: Path, *, subject: str, session: str = "job"
) -> dict[str, str]:
    """Of a job with this subject, for example `environment:plan`, in a role."""
    file = folder / f"token-{subject.replace(':', '-')}"
    file.write_text(token(f"repo:{REPOSITORY}:{subject}"))
    environ = deployment.environment("none") | {
        "AWS_ROLE_ARN": role_arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
        "AWS_ROLE_SESSION_NAME": session,
    }
    del environ["AWS_PROFILE"]
    return environ
