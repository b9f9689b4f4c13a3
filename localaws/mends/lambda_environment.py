"""Lambda: a function sees its own environment, its role's keys, and the Python packages that Lambda has.

AWS: a function's process has the reserved variables, the function's own ones and a session of its role;
    Python has the standard library and boto3; variables under a customer's key are decrypted as the role
    ["Working with Lambda environment variables", "Securing Lambda environment variables", "Lambda
    runtimes"].
ministack: hands the server's whole environment to the function (its root keys' names, its certificates,
    whatever the shell had), asks nobody for the key, derives the role's keys from public names, and lets it
    import everything the server has.
Hook: `core/lambda_runtime.py::subprocess` (the worker is started through it) and `::execution_credentials`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator, lambda_runtime
from ministack.core.responses import get_region

from localaws.mends import role_sessions

VERSION = "1.5.33"

SERVICE_PRINCIPAL = "lambda.amazonaws.com"
# boto3 and what it needs: the packages of AWS's own Python runtimes.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
# Variables of the server that a function may see.
SERVER_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
# Variables ministack sets for the function.
FUNCTION_PREFIXES = ("AWS_", "LAMBDA_", "_LAMBDA_", "_X_AMZN_", "_MINISTACK_", "NODE_PATH")
# Settings of ministack itself that carry such a prefix.
SERVER_SETTINGS = ("LAMBDA_EXECUTOR", "LAMBDA_DOCKER_NETWORK", "AWS_PROFILE", "AWS_CONFIG_FILE")


def apply() -> None:
    """Makes functions start with a clean environment."""
    credentials = lambda_runtime.execution_credentials

    def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
        if not config.get("Role"):
            return dict(credentials(config))
        keys = role_sessions.credentials(
            config["Role"],
            service_principal=SERVICE_PRINCIPAL,
            session_name=config.get("FunctionName", "lambda"),
            source_arn=config.get("FunctionArn"),
        )
        _check_key(config, keys.access_key_id)
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_SESSION_TOKEN": keys.session_token,
        }

    lambda_runtime.execution_credentials = execution_credentials
    lambda_runtime.subprocess = _CleanSubprocess(_link_runtime_packages())


def _check_key(config: dict[str, Any], access_key_id: str) -> None:
    """Raises: RoleError when the role may not use the key that the function's variables are under."""
    key_arn = config.get("KMSKeyArn")
    if not key_arn or not config.get("Environment", {}).get("Variables"):
        return
    context = {
        "kms:ViaService": f"lambda.{get_region()}.amazonaws.com",
        "kms:EncryptionContext:aws:lambda:FunctionArn": config["FunctionArn"],
    }
    denied = iam_evaluator.enforce(
        access_key_id, "kms:Decrypt", "kms", get_region(), resource_arn=key_arn, service_context=context
    )
    if denied is not None:
        raise role_sessions.RoleError(
            "Lambda was unable to decrypt the environment variables because KMS access was denied. "
            "Please check the function's KMS key settings."
        )


class _CleanSubprocess:
    """The subprocess module as `lambda_runtime` uses it, with a clean environment in Popen."""

    def __init__(self, packages: Path):
        self._packages = packages

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, arguments: list[str], **options: Any) -> Any:  # noqa: N802 (subprocess's own name)
        environment = clean_environment(options.pop("env"))
        if arguments[0] == sys.executable:
            # -S keeps the server's own site-packages out; -B keeps the task's folder as it was unpacked.
            arguments = [sys.executable, "-S", "-B", *arguments[1:]]
            environment["PYTHONPATH"] = str(self._packages)
        return subprocess.Popen(arguments, env=environment, **options)


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """What a function's process may see of the environment ministack made from the server's.

    The function's own variables reach it by the worker's first message, so none is lost here.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in SERVER_VARIABLES or (name.startswith(FUNCTION_PREFIXES) and name not in SERVER_SETTINGS)
    }
    return {
        **kept,
        "AWS_ENDPOINT_URL": role_sessions.endpoint_url(),
        "AWS_CA_BUNDLE": os.environ["AWS_CA_BUNDLE"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "HOME": kept.get("TMPDIR", tempfile.gettempdir()),
        "PYTHONUNBUFFERED": "1",
    }


def _link_runtime_packages() -> Path:
    """A folder that holds links to the runtime's packages and nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="lambda-packages-"))
    for name in RUNTIME_PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"Lambda functions need {name}, which is not installed.")
        origin = Path(found.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder
