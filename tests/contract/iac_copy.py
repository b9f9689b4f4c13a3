"""A copy of iac/ and the set-up's Terraform to run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
IAC = ROOT / "iac"
ROOTS = ("bootstrap", "core", "environment")
TIMEOUT_S = 300


class IacCopy:
    """Copies at the same depth may share a data folder: what `init` put there is named relatively.

    `locks` is the copy that was initialised, whose lock files this one takes over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        data: Path,
        locks: IacCopy | None = None,
        variables: Mapping[str, str] | None = None,
    ):
        self.iac = folder / "iac"
        self._variables = variables or {}
        self._data = data
        source = locks.iac if locks else IAC
        shutil.copytree(source, self.iac, ignore=shutil.ignore_patterns(".terraform", "*_override.tf"))
        (folder / "model_src").symlink_to(ROOT / "model_src")
        setup = ROOT / ".tools" / "setup.json"
        found = json.loads(setup.read_text()) if setup.exists() else {}
        self._program = found.get("terraform") or "terraform"
        self._configuration = found.get("terraform_rc")

    def init(self, folder: str) -> None:
        readonly = ("-lockfile=readonly",) if folder in ROOTS else ()
        self.run(folder, "init", "-backend=false", *readonly)

    def run(self, folder: str, *arguments: str, workspace: str | None = None) -> str:
        """What the command printed. Raises: AssertionError when it failed."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))
        }
        # Terraform's Go collects garbage less often: a third less of the processor for half a gigabyte.
        environment |= {"TF_DATA_DIR": str(self._data / folder), "CHECKPOINT_DISABLE": "1", "GOGC": "400"}
        environment |= self._variables
        configuration = self._configuration or os.environ.get("TF_CLI_CONFIG_FILE")
        if configuration:
            environment["TF_CLI_CONFIG_FILE"] = configuration
        if workspace:
            environment["TF_WORKSPACE"] = workspace
        done = subprocess.run(
            [self._program, *arguments, "-no-color"],
            cwd=self.iac / folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def shared_provider(data: Path, *, environ: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Variables that let Terraform use a provider that runs already: most tests are over before one starts.

    `data` is the folder of an initialised root; `environ` are its variables, this process' where none
    are given. Source: HashiCorp, Plugin Development, Debugging.
    """
    (program,) = data.glob("providers/registry.terraform.io/hashicorp/aws/*/*/terraform-provider-aws_*")
    # It writes down every step where nobody says that it should not.
    quiet = {"TF_LOG_SDK": "OFF", "TF_LOG_PROVIDER_AWS": "OFF"}
    with subprocess.Popen(
        [program, "-debug"],
        cwd=IAC / "environment",  # roots name files from where they are; all are as deep
        env={**(os.environ if environ is None else environ), **quiet},
        stdout=subprocess.PIPE,
        text=True,
    ) as provider:
        try:
            assert provider.stdout
            told = (line.strip().partition("=") for line in provider.stdout)
            address = next(value for name, _, value in told if name == "TF_REATTACH_PROVIDERS")
            yield {"TF_REATTACH_PROVIDERS": address.strip("'")}
        finally:
            provider.terminate()
