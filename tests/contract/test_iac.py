"""The Terraform code is formatted and valid, passes its own tests, and these notice a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from iac_copy import IAC, ROOTS, IacCopy, shared_provider

MODULES = sorted(folder.name for folder in (IAC / "modules").iterdir())
FOLDERS = [*ROOTS, *(f"modules/{name}" for name in MODULES)]
TESTED = [folder for folder in FOLDERS if (IAC / folder / "tests").is_dir()]


@dataclass(frozen=True)
class Mutant:
    """A mistake, and what the folder's own tests must say of it."""

    file: str
    old: str
    new: str
    complaint: str


MUTANTS = {
    "bootstrap": Mutant(
        "deployer_statements.tf", '"iam:PermissionsBoundary"', '"aws:Any"', "role without the boundary"
    ),
    "modules/container_role": Mutant(
        "role.tf", ': ["kms:Decrypt"]', ': ["kms:Decrypt", "kms:GenerateDataKey"]', "it writes nothing"
    ),
    "core": Mutant("repositories.tf", '"IMMUTABLE"', '"MUTABLE"', "Tags must be immutable"),
    "environment": Mutant(
        "variables.tf", "var.environment == terraform.workspace", 'var.environment != ""', "Missing expected"
    ),
    "modules/audit": Mutant(
        "trail.tf", "log_file_validation = true", "log_file_validation = false", "need digests"
    ),
    "modules/bucket": Mutant(
        "bucket.tf", '"aws:SecureTransport" = "false"', '"aws:SecureTransport" = "true"', "without TLS"
    ),
    "modules/expiry": Mutant("variables.tf", '!= "production"', '!= ""', "Missing expected"),
    "modules/functions": Mutant(
        "functions.tf", "filebase64sha256(var.package)", "var.commit", "Another package must be another"
    ),
    "modules/names": Mutant(
        "environment.tf", "-data-${var.account_id}", "-data", "bucket's name ends with the account"
    ),
    "modules/network": Mutant(
        "security_groups.tf",
        "prefix_list_id    = data.aws_prefix_list.gateway[each.value[1]].id",
        'cidr_ipv4         = "0.0.0.0/0"',
        "What leaves a security group goes to S3, DynamoDB or an endpoint",
    ),
    "modules/operations": Mutant(
        "alarms.tf", "alarm_actions       = [aws_sns_topic.alerts.arn]", "", "tells nobody is none"
    ),
    "modules/redrive": Mutant(
        "redrive.asl.json.tftpl", '"Next": "Leave"', '"Next": "Delete"', "must stay in the queue"
    ),
    "modules/release": Mutant("approval.tf", '["Approved"]', '["Rejected"]', "Neither a rejection"),
    "modules/retraining": Mutant(
        "state_machine.tf", '= "ERROR"', '= "ALL"', "that begins a wait holds the token"
    ),
    "modules/retraining:jobs": Mutant(
        "iam.tf", "/${local.run}${parts[1]}", "/${local.run}*${parts[1]}", "has jobs of its own"
    ),
    "modules/role": Mutant("role.tf", '"aws:SourceAccount"', '"aws:Any"', "the account it acts for"),
    "modules/serving": Mutant("alarms.tf", "* 1000 ", "", "is in microseconds"),
    "modules/trigger": Mutant(
        "rules.tf", '"CompleteMultipartUpload", ', "", "A pattern with PutObject alone misses"
    ),
}


@pytest.mark.parametrize("name", ROOTS)
def test_the_provider_is_locked_for_every_platform(name: str) -> None:
    lock = (IAC / name / ".terraform.lock.hcl").read_text()

    assert 'version     = "5.100.0"' in lock
    assert len(re.findall(r'"zh:[0-9a-f]{64}"', lock)) == 15
    assert '"h1:edXOJWE4ORX8Fm+dpVpICzMZJat4AX0VRCAy/xkcOc0="' in lock


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_an_example_a_test_that_plans_it_and_a_mutant(name: str) -> None:
    folder = IAC / "modules" / name
    tests = "".join(file.read_text() for file in folder.glob("tests/*.tftest.hcl"))

    assert (folder / "examples" / "basic" / "main.tf").is_file()
    assert 'source = "./examples/basic"' in tests
    assert f"modules/{name}" in MUTANTS


class Runs:
    """Terraform's answers for every folder, worked out two at a time; a folder is initialised once."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor, *, variables: Mapping[str, str]):
        self._folder = folder
        self._variables = variables
        self._copy = IacCopy(folder / "code", data=folder / "data", variables=variables)
        self.answers = {name: pool.submit(self._test, name) for name in FOLDERS}
        self.mutants = {
            name: pool.submit(self._test_mutant, name, mutant) for name, mutant in MUTANTS.items()
        }

    def format(self) -> str:
        return self._copy.run(".", "fmt", "-check", "-recursive")

    def _test(self, folder: str) -> str:
        """What `validate` says of a root, and `test` of a folder that has tests."""
        self._copy.init(folder)
        answer = self._copy.run(folder, "validate") if folder in ROOTS else ""
        return answer + (self._run_tests(self._copy, folder) if folder in TESTED else "")

    def _test_mutant(self, name: str, mutant: Mutant) -> str:
        """What the tests say of the code with the mistake in it; they use what the first run initialised."""
        folder = name.partition(":")[0]
        self.answers[folder].result()
        copy = IacCopy(
            self._folder / "mutants" / name.replace(":", "-"),
            data=self._folder / "data",
            locks=self._copy,
            variables=self._variables,
        )
        file = copy.iac / folder / mutant.file
        text = file.read_text()
        if mutant.old not in text:
            # No AssertionError: that is what a mutant that was found looks like.
            raise LookupError(f"{folder}/{mutant.file} no longer has {mutant.old}: write the mutant anew")
        file.write_text(text.replace(mutant.old, mutant.new))
        return self._run_tests(copy, folder)

    @staticmethod
    def _run_tests(copy: IacCopy, folder: str) -> str:
        return copy.run(folder, "test", workspace="staging" if folder == "environment" else None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("iac")
    IacCopy(folder / "first", data=folder / "first").init("core")
    with shared_provider(folder / "first" / "core") as variables, ThreadPoolExecutor(max_workers=2) as pool:
        yield Runs(folder, pool, variables=variables)
        pool.shutdown(cancel_futures=True)


@pytest.mark.terraform
def test_the_code_is_formatted(runs: Runs) -> None:
    assert runs.format() == ""


@pytest.mark.terraform
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_valid_and_passes_its_own_tests(runs: Runs, folder: str) -> None:
    answer = runs.answers[folder].result()

    assert "Success! The configuration is valid" in answer or folder not in ROOTS
    assert ", 0 failed." in answer or folder not in TESTED


@pytest.mark.terraform
@pytest.mark.parametrize("folder", MUTANTS)
def test_its_tests_go_red_when_a_guard_is_taken_out(runs: Runs, folder: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(MUTANTS[folder].complaint)):
        runs.mutants[folder].result()
