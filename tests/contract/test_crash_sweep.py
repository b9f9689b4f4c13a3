"""An apply, a destroy and a bootstrap that die half-way: what comes after them finds everything again.

One account goes through it all, so that each crash meets what the one before it left. Each dies at a counted
call, which is held until the kill. MLOPS_SWEEP=1 (`make sweep`) adds more points to die at, and an
environment that is killed again and again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from held_calls import At, Hold, open_wire
from local_aws import LocalAws, wait_until
from ports import free_port
from terraform_account import Account, kill_with_terraform

pytestmark = pytest.mark.terraform

PROJECT = "wreck"
PEOPLE = ("--deployer", "user/carol", "--approver", "user/olga", "--data-scientist", "user/alice")
BOOTSTRAP = ("bootstrap", *PEOPLE)
STATES = {
    "bootstrap": "bootstrap/terraform.tfstate",
    "core": "core/terraform.tfstate",
    "staging": "workspaces/staging/environment/terraform.tfstate",
}
WRONG_CALL, LOCKED, USED = 2, 5, 6
STAGING = ("--env", "staging")
SWEEP = os.environ.get("MLOPS_SWEEP") == "1"
NOT_ALWAYS = pytest.mark.skipif(not SWEEP, reason="takes minutes: make sweep")
# Neither mlops' own records nor Terraform's state and lock.
ANYTHING = r"^(?!.*-tfstate-)"
WRITES_FURTHER = 30


def crash(
    account: Account,
    *command: str,
    call: str,
    at: At,
    how: Callable[[subprocess.Popen[str]], object] = kill_with_terraform,
) -> None:
    """Ends a command that waits for the answer to a call, or for the call to be made."""
    with account.wire.hold(call, at=at) as hold:
        process = account.start(*command)

        def is_held() -> bool:
            assert process.poll() is None, process.communicate()
            return hold.reached.is_set()

        wait_until(is_held, timeout_s=300)
        how(process)


def interrupt(process: subprocess.Popen[str]) -> None:
    """As a CI that aborts, or Ctrl-C: the command ends by itself, and Terraform before it."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0, out + err


def unlock(account: Account, *root: str) -> None:
    """Frees the lock that a dead command has left, if it has left one."""
    lock = account.read(f"{STATES[root[-1]]}.tflock")
    if lock:
        freed = account.mlops("state", "unlock", *root, "--id", lock["ID"])
        assert freed.returncode == 0, freed.stderr


def plan(account: Account, *root: str) -> dict[str, Any]:
    planned = account.mlops("plan", *root, "--json")
    assert planned.returncode == 0, planned.stderr
    shown: dict[str, Any] = json.loads(planned.stdout)
    return shown


@pytest.fixture(scope="module")
def prepare(account: Account) -> Callable[..., dict[str, Any]]:
    """Makes a plan that may be applied: somebody else approves it."""
    other = account.act_as("approver", name="olga")

    def prepare(*root: str) -> dict[str, Any]:
        planned = plan(account, *root)
        which = ("--plan", planned["plan_sha256"], "--reason", "go on")
        approved = account.mlops("approve", *root, *which, person=other)
        assert approved.returncode == 0, approved.stderr
        return planned

    return prepare


def list_created(planned: dict[str, Any]) -> set[str]:
    return {change["address"] for change in planned["changes"] if change["action"] == "create"}


def find_tagged(account: Account, **tags: str) -> list[str]:
    wanted = [{"Key": key, "Values": [value]} for key, value in {"Project": PROJECT, **tags}.items()]
    pages = account.aws.client("resourcegroupstaggingapi").get_paginator("get_resources")
    return list(pages.paginate(TagFilters=wanted).search("ResourceTagMappingList[].ResourceARN"))


def find_strays(account: Account) -> list[str]:
    """What bears the project's name or tag and stands in no state, but for keys that are being deleted."""
    states = json.dumps([account.read(key) for key in STATES.values()])
    roles = account.aws.client("iam").get_paginator("list_roles").paginate().search("Roles[].Arn")
    return [
        arn
        for arn in [*find_tagged(account), *(arn for arn in roles if f"/{PROJECT}-" in arn)]
        if arn not in states and f'"{arn.rpartition("/")[2]}"' not in states and not is_going(account, arn)
    ]


def is_going(account: Account, arn: str) -> bool:
    if ":key/" not in arn:
        return False
    state = account.aws.client("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
    return bool(state == "PendingDeletion")


@pytest.fixture(scope="module")
def account(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Bootstrap was killed when its bucket was there, and again while its state moved into it."""
    with open_wire(aws, free_port()) as wire:
        account = Account(wire, aws, tmp_path_factory.mktemp("wreck"), PROJECT)
        crash(account, *BOOTSTRAP, call=rf"^PUT /{account.bucket}/?$", at=At.ANSWER)
        crash(account, *BOOTSTRAP, call=state_call("bootstrap"), at=At.ANSWER)
        unlock(account, "bootstrap")
        again = account.mlops(*BOOTSTRAP)
        assert again.returncode == 0, again.stderr
        prepare_images(account)
        with account.with_running_provider() as pointed:
            yield pointed


def prepare_images(account: Account) -> None:
    """What an environment is told of its images: their digests."""
    for target in ("training", "serving"):
        uri = f"{account.aws.settings.registry}/{PROJECT}-iris@sha256:{'a' * 64}"
        file = account.build / "image" / f"iris-{target}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"uri": uri}))


def state_call(root: str) -> str:
    """The upload of a root's state."""
    return rf"^PUT /[^/]+-tfstate-\d+/{STATES[root]}(\?|$)"


def test_a_bootstrap_that_died_twice_is_finished_and_nothing_is_lost(account: Account) -> None:
    again = json.loads(account.mlops(*BOOTSTRAP, "--dry-run", "--json").stdout)

    assert again["empty"], again
    assert not (account.build / "terraform" / "bootstrap" / "local.tfstate").exists()
    assert find_strays(account) == []


def test_the_state_is_in_the_bucket_versioned_and_encrypted(account: Account) -> None:
    s3 = account.aws.client("s3")

    head = s3.head_object(Bucket=account.bucket, Key=STATES["bootstrap"])
    rule = s3.get_bucket_encryption(Bucket=account.bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    key = account.read(STATES["bootstrap"])["outputs"]["state_kms_key_arn"]["value"]

    assert head["VersionId"] not in (None, "", "null")
    assert s3.get_bucket_versioning(Bucket=account.bucket)["Status"] == "Enabled"
    assert head["ServerSideEncryption"] == "aws:kms"
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key


@NOT_ALWAYS
def test_an_apply_that_is_told_to_end_writes_its_state_and_gives_back_the_lock(
    account: Account, prepare: Callable[..., dict[str, Any]]
) -> None:
    prepare("core")
    crash(account, "apply", "core", call=r"^PUT /[^/]+-ledger-\d+/?$", at=At.REQUEST, how=interrupt)

    shown = account.mlops("state", "show-lock", "core")
    unlocked = account.mlops("state", "unlock", "core", "--id", "1-2-3")

    assert "core is not locked." in shown.stdout
    assert unlocked.returncode == WRONG_CALL
    assert account.read(STATES["core"])["resources"]


def test_a_core_that_died_with_its_state_unwritten_takes_up_what_it_had_made(
    account: Account, prepare: Callable[..., dict[str, Any]]
) -> None:
    prepare("core")
    crash(account, "apply", "core", call=r"^CreateRepository ", at=At.ANSWER)
    lock = account.read(f"{STATES['core']}.tflock")

    twice = account.mlops("apply", "core")
    locked = account.mlops("plan", "core")
    shown = json.loads(account.mlops("state", "show-lock", "core", "--json").stdout)
    wrong = account.mlops("state", "unlock", "core", "--id", "1-2-3")
    still = account.read(f"{STATES['core']}.tflock")
    freed = account.mlops("state", "unlock", "core", "--id", lock["ID"])
    again = prepare("core")

    assert twice.returncode == USED
    assert "applied already" in twice.stderr
    assert locked.returncode == LOCKED
    assert lock["Who"] in locked.stderr
    assert f"mlops state unlock core --id {lock['ID']}" in locked.stderr
    assert (shown["locked"], shown["id"], shown["owner"]) == (True, lock["ID"], lock["Who"])
    assert shown["age_s"] >= 0
    assert wrong.returncode == WRONG_CALL
    assert lock["Who"] in wrong.stderr
    assert still == lock
    assert freed.returncode == 0, freed.stderr
    assert 'aws_ecr_repository.model["iris"]' not in list_created(again)


def test_a_core_that_died_while_it_wrote_its_state_has_everything_once(
    account: Account, prepare: Callable[..., dict[str, Any]]
) -> None:
    # With the plan that the last of the tests above has made.
    for at in (At.REQUEST, At.UPLOAD, At.ANSWER) if SWEEP else (At.UPLOAD,):
        crash(account, "apply", "core", call=state_call("core"), at=at)
        unlock(account, "core")
        again = prepare("core")
    applied = account.mlops("apply", "core")

    assert list_created(again).isdisjoint(
        {
            *("aws_kms_key.data", "aws_kms_alias.data", 'aws_ecr_repository.model["iris"]'),
            "module.ledger_bucket.aws_s3_bucket.this",
        }
    )
    assert applied.returncode == 0, applied.stderr
    assert plan(account, "core")["empty"]
    assert find_strays(account) == []


@NOT_ALWAYS
def test_an_environment_that_dies_again_and_again_has_everything_once(
    account: Account, prepare: Callable[..., dict[str, Any]]
) -> None:
    deaths = die_until_done(account, "apply", prepare=lambda: prepare(*STAGING))

    assert deaths > 3
    assert plan(account, *STAGING)["empty"]
    assert find_strays(account) == []


@NOT_ALWAYS
def test_a_destroy_that_dies_again_and_again_leaves_nothing(account: Account) -> None:
    deaths = die_until_done(account, "destroy", prepare=lambda: None)

    assert deaths > 1
    assert find_tagged(account, Environment="staging") == []


def die_until_done(account: Account, command: str, *, prepare: Callable[[], object]) -> int:
    """How often a command died before it ended well: at its 30th write, again at its 60th, and so on.

    Each time it gets further, because it repeats what is put, not made: topics' attributes, rules, alarms.
    """
    deaths = 0
    while True:
        prepare()
        at = (At.ANSWER, At.REQUEST)[deaths % 2]
        writes = WRITES_FURTHER * (deaths + 1)
        with account.wire.hold(ANYTHING, at=at, times=writes, writes_only=True) as hold:
            process = account.start(command, *STAGING)
            wait_until(partial(has_stopped, hold, process), timeout_s=600)
            if not hold.reached.is_set():
                out, err = process.communicate()
                assert process.returncode == 0, out + err
                return deaths
            kill_with_terraform(process)
        deaths += 1
        unlock(account, *STAGING)


def has_stopped(hold: Hold, process: subprocess.Popen[str]) -> bool:
    """At the call, or because it is over."""
    return hold.reached.is_set() or process.poll() is not None
