"""Each function of the retraining chain, killed after each of its calls to AWS and then run again.

What it answers and leaves must be what an undisturbed call does: the same objects, and the runs and ledger
entries that the story says. The function runs in a process that ends in the middle, as Lambda's does when its
time is up.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from local_aws import LocalAws, create_role, wait_until
from machine_stage import GOOD, HOLDOUT, MODEL

from pipeline.artefact import Version, hash_latest
from pipeline.lambdas.claim import claim
from pipeline.lambdas.judge import judge
from pipeline.lambdas.open_gate import open_gate
from pipeline.lambdas.reconcile import Route, enter_stops, reconcile, release_claims
from pipeline.lambdas.record import record
from pipeline.lambdas.validate import validate
from pipeline.ledger import Ledger
from pipeline.runs_table import RunsTable, run_id

DIED = 86
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = "arn:aws:sts::000000000000:assumed-role/mlops-data-scientist/alice"
MOST_CALLS = 40
FORK = multiprocessing.get_context("fork")

MakeClient = Callable[..., Any]
Step = Callable[["Place", MakeClient], object]


class Place:
    """Buckets, a table and a model of its own, so that what is there at the end is what one sweep left."""

    def __init__(self, aws: LocalAws, role_arn: str) -> None:
        self.aws = aws
        self.token = uuid.uuid4().hex[:8]
        self.data, self.models, self.ledger_bucket = (
            f"crash-{self.token}-{name}" for name in ("data", "models", "ledger")
        )
        self.s3 = aws.client("s3")
        for bucket in (self.data, self.models, self.ledger_bucket):
            self.s3.create_bucket(Bucket=bucket)
            versioning = {"Status": "Enabled"}
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
        aws.client("dynamodb").create_table(
            TableName=f"crash-{self.token}",
            KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.put("config/iris/model.json", json.dumps(MODEL).encode())
        self.put("config/iris/holdout.csv", HOLDOUT)
        self.role_arn = role_arn
        self.names = [self.token]

    def runs(self, client: MakeClient) -> RunsTable:
        return RunsTable(f"crash-{self.token}", dynamodb=client("dynamodb"))

    def ledger(self, client: MakeClient) -> Ledger:
        return Ledger(self.ledger_bucket, s3=client("s3"), now=lambda: NOW, sleep=float)

    def put(self, key: str, content: bytes) -> str:
        self.s3.put_object(Bucket=self.models, Key=key, Body=content)
        return f"s3://{self.models}/{key}"

    def upload(self, content: bytes = GOOD) -> dict[str, Any]:
        """The event of an upload."""
        key = "datasets/iris/may.csv"
        version_id = self.s3.put_object(Bucket=self.data, Key=key, Body=content)["VersionId"]
        self.names += [run_id("iris", Version(self.data, key, version_id)), version_id]
        return {"bucket": self.data, "key": key, "version_id": version_id, "route": "s3"}

    def claim(
        self, upload: dict[str, Any], client: MakeClient, *, execution_arn: str = "e1"
    ) -> dict[str, Any]:
        request = {"model": "iris", "execution_arn": execution_arn, "event": upload}
        return claim(request, s3=client("s3"), runs=self.runs(client), now=NOW)

    def machine(self, state: dict[str, Any]) -> str:
        """A state machine of one state."""
        name = f"crash-{self.token}"
        definition = {"StartAt": "Only", "States": {"Only": state}}
        arn: str = self.aws.client("stepfunctions").create_state_machine(
            name=name, definition=json.dumps(definition), roleArn=self.role_arn
        )["stateMachineArn"]
        return arn

    def found(self) -> list[str]:
        """Run items, every object with its bytes, the ledger; names that are this place's own are cut out."""
        table = self.runs(self.aws.client)
        stored = [
            (bucket, entry["Key"], self._digest(bucket, entry["Key"]))
            for bucket in (self.data, self.models)
            for entry in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        ]
        entries = [
            (entry.kind, entry.entry_id, entry.body) for entry in self.ledger(self.aws.client).entries()
        ]
        found = [table.champion("iris"), *table.all(), *stored, *entries]
        return sorted(map(self.anonymous, found))

    def summary(self) -> list[str]:
        """Each run's status and who holds it by which claim, and each entry."""
        runs = [
            f"{run['status']} by claim {run['claims']} of {run['execution_arn']}"
            for run in self.runs(self.aws.client).all()
        ]
        entries = [f"{entry.kind} {entry.body['status']}" for entry in self.ledger(self.aws.client).entries()]
        return sorted(json.loads(self.anonymous([*runs, *entries])))

    def _digest(self, bucket: str, key: str) -> str:
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        # Texts may name runs and versions.
        return hashlib.sha256(self._anonymous(content.decode()).encode()).hexdigest()

    def anonymous(self, told: object) -> str:
        """As JSON, without this place's own names."""
        return self._anonymous(json.dumps(told, sort_keys=True))

    def _anonymous(self, told: str) -> str:
        for number, name in enumerate(self.names):
            told = told.replace(name, f"<{number}>")
        return re.sub(r"arn:aws:states:[^\"/]*", "an execution", told)


@dataclass(frozen=True)
class Story:
    """What is there before, the step that dies, and the runs and entries that there are then."""

    prepare: Callable[[Place], Any]
    act: Callable[[Place, MakeClient, Any], object]
    summary: tuple[str, ...]


def claimed(content: bytes = GOOD) -> Callable[[Place], tuple[dict[str, Any], str]]:
    def prepare(place: Place) -> tuple[dict[str, Any], str]:
        upload = place.upload(content)
        return upload, place.claim(upload, place.aws.client)["run_id"]

    return prepare


def newer_claimed(place: Place) -> dict[str, Any]:
    older, newer = place.upload(), place.upload()
    place.claim(newer, place.aws.client, execution_arn="newer")
    return older


def stopped(place: Place) -> dict[str, Any]:
    upload = place.upload()
    name = place.claim({**upload, "uploaded_by": ALICE}, place.aws.client, execution_arn="e0")["run_id"]
    runs = place.runs(place.aws.client)
    runs.release(name, holder="e0", reason="stopped", now=NOW)
    enter_stops(environment="staging", runs=runs, ledger=place.ledger(place.aws.client), now=NOW)
    return {**upload, "route": "hand"}


def with_champion(place: Place) -> tuple[dict[str, Any], str]:
    rows = "".join(f"{n % 7 + 1},{'cat' if n % 2 else 'hen'}\n" for n in range(40))
    content = b"length,species\n" + rows.encode()
    first, name = claimed(content)(place)
    runs = place.runs(place.aws.client)
    act_validate(place, place.aws.client, (first, name))
    uri = place.put(f"runs/{name}/training/model.tar.gz", b"model")
    sha256 = hash_latest(uri, s3=place.s3).sha256
    runs.note(name, {"model_uri": uri, "model_sha256": sha256}, now=NOW)
    runs.crown("iris", name, now=NOW)
    return claimed(content + b"5,cat\n")(place)


def evaluated(place: Place) -> tuple[dict[str, Any], str]:
    upload, name = claimed()(place)
    act_validate(place, place.aws.client, (upload, name))
    uri = place.put(f"runs/{name}/model.tar.gz", b"model")
    report = {
        "multiclass_classification_metrics": {"accuracy": {"value": 0.95}},
        "parity": {"difference": 0.0},
        "gates": [],
        "model_sha256": hash_latest(uri, s3=place.s3).sha256,
    }
    place.put(f"runs/{name}/evaluation.json", json.dumps(report).encode())
    return upload, name


def act_claim(place: Place, client: MakeClient, upload: dict[str, Any]) -> object:
    return place.claim(upload, client)


def act_claim_twice_reported(place: Place, client: MakeClient, told: tuple[dict[str, Any], str]) -> object:
    event = {**told[0], "route": "cloudtrail", "uploaded_by": ALICE}
    return place.claim(event, client, execution_arn="e2")


def act_validate(place: Place, client: MakeClient, told: tuple[dict[str, Any], str]) -> object:
    upload, name = told
    return validate(
        {"run_id": name, "model": "iris", **upload},
        data_bucket=place.data,
        models_bucket=place.models,
        s3=client("s3"),
        runs=place.runs(client),
        now=NOW,
    )


def act_judge(place: Place, client: MakeClient, told: tuple[dict[str, Any], str]) -> object:
    folder = f"s3://{place.models}/runs/{told[1]}"
    request = {
        "run_id": told[1],
        "model": "iris",
        "model_uri": f"{folder}/model.tar.gz",
        "evaluation_uri": f"{folder}/evaluation.json",
    }
    return judge(request, models_bucket=place.models, s3=client("s3"), runs=place.runs(client), now=NOW)


def act_open_gate(place: Place, client: MakeClient, told: tuple[dict[str, Any], str]) -> object:
    request = {"run_id": told[1], "task_token": "t", "model_package_arn": "arn", "smoke": {"passed": True}}
    return open_gate(request, runs=place.runs(client), now=NOW)


def act_record(end: dict[str, Any]) -> Callable[[Place, MakeClient, Any], object]:
    def act(place: Place, client: MakeClient, told: tuple[dict[str, Any], str]) -> object:
        return record(
            {
                "run_id": told[1],
                "end": end,
                "execution_arn": "e1",
                "entry_id": "e1/Record",
                "since": NOW.isoformat(),
            },
            environment="staging",
            crowns=True,
            runs=place.runs(client),
            ledger=place.ledger(client),
            now=NOW,
        )

    return act


def unreported(place: Place) -> Route:
    for _ in range(2):
        place.upload()
    return Route("datasets/iris/", place.machine({"Type": "Succeed"}))


def act_reconcile(place: Place, client: MakeClient, route: Route) -> None:
    """A round; if it comes to its end, then the claims of all that it and earlier ones started.

    Its answer is for the log alone: what this round did, and not what an earlier one had done.
    """
    list(
        reconcile(
            {"iris": route},
            bucket=place.data,
            since=datetime.now(UTC) - timedelta(hours=1),
            until=datetime.now(UTC) + timedelta(seconds=1),
            s3=client("s3"),
            states=client("stepfunctions"),
            runs=place.runs(client),
        )
    )
    states = place.aws.client("stepfunctions")
    listed = states.list_executions(stateMachineArn=route.state_machine_arn)["executions"]
    inputs = [states.describe_execution(executionArn=one["executionArn"])["input"] for one in listed]
    # The version that was uploaded last first: what is claimed does not depend on the order of executions.
    versions = place.names[::-1]
    for event in sorted(map(json.loads, inputs), key=lambda event: versions.index(event["version_id"])):
        place.claim(event, place.aws.client, execution_arn=f"one for {event['version_id']}")


def abandoned(place: Place) -> None:
    """A run whose execution was stopped."""
    machine = place.machine({"Type": "Wait", "Seconds": 3600, "End": True})
    states = place.aws.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    place.claim(place.upload(), place.aws.client, execution_arn=execution)
    states.stop_execution(executionArn=execution, cause="wrong file")
    wait_until(lambda: states.describe_execution(executionArn=execution)["status"] == "ABORTED")


def act_release(place: Place, client: MakeClient, _: None) -> None:
    runs = place.runs(client)
    list(release_claims(states=client("stepfunctions"), runs=runs, now=NOW))
    enter_stops(environment="staging", runs=runs, ledger=place.ledger(client), now=NOW)


HELD = "Running by claim 1 of e1"
RELEASED = {"kind": "release", "status": "InService", "details": {"release": {"model": "iris"}}}
STORIES = {
    "claim": Story(Place.upload, act_claim, (HELD,)),
    "claim of an older version": Story(newer_claimed, act_claim, (HELD, "Running by claim 1 of newer")),
    "claim of a run that was stopped": Story(stopped, act_claim, ("Running by claim 2 of e1", "run Stopped")),
    "claim by a second event": Story(claimed(), act_claim_twice_reported, (HELD,)),
    "validate": Story(claimed(), act_validate, (HELD,)),
    "validate beside a champion": Story(with_champion, act_validate, (HELD, HELD)),
    "quarantine": Story(claimed(GOOD + b"12,cat\n"), act_validate, (HELD,)),
    "judge": Story(evaluated, act_judge, (HELD,)),
    "open the gate": Story(claimed(), act_open_gate, ("WaitingForApproval by claim 1 of e1",)),
    "record a good dataset": Story(
        claimed(), act_record({"kind": "dataset", "status": "Accepted"}), (HELD, "dataset Accepted")
    ),
    "record a failure": Story(
        claimed(),
        act_record({"kind": "run", "status": "Failed", "reason": "why"}),
        ("Failed by claim 1 of e1", "run Failed"),
    ),
    "record a release": Story(claimed(), act_record(RELEASED), (HELD, "release InService")),
    "reconcile": Story(
        unreported, act_reconcile, ("Running by claim 1 of one for <2>", "Running by claim 1 of one for <4>")
    ),
    "let go of what was stopped": Story(
        abandoned, act_release, ("Stopped by claim 1 of an execution", "run Stopped")
    ),
}


@pytest.fixture(scope="module")
def states_role(aws: LocalAws) -> str:
    return create_role(aws, "crash-states", ["*"], principal="states.amazonaws.com")


def dying_client(aws: LocalAws, calls: int) -> MakeClient:
    """Clients with which the process is over once so many of their calls have been answered."""
    count = itertools.count(1)

    def die(**_: object) -> None:
        if next(count) == calls:
            os._exit(DIED)

    def make(service: str) -> Any:
        client = aws.client(service)
        client.meta.events.register_last("after-call", die)
        return client

    return make


def dies(place: Place, story: Story, told: Any, calls: int) -> bool:
    """Whether the step was over before so many calls."""
    process = FORK.Process(target=lambda: story.act(place, dying_client(place.aws, calls), told))
    process.start()
    process.join()
    assert process.exitcode in (0, DIED), f"killed after {calls} calls, it ended with {process.exitcode}"
    return process.exitcode == DIED


@pytest.mark.parametrize("name", STORIES)
def test_a_function_that_dies_after_any_call_and_runs_again_leaves_what_one_call_leaves(
    name: str, aws: LocalAws, states_role: str
) -> None:
    story = STORIES[name]
    quiet = Place(aws, states_role)
    answer = quiet.anonymous(story.act(quiet, aws.client, story.prepare(quiet)))
    expected = quiet.found()
    died = 0

    assert quiet.summary() == sorted(story.summary)
    for calls in range(1, MOST_CALLS):
        place = Place(aws, states_role)
        told = story.prepare(place)
        if not dies(place, story, told, calls):
            break
        died += 1
        again = story.act(place, aws.client, told)

        assert place.anonymous(again) == answer, f"killed after call {calls}"
        assert place.found() == expected, f"killed after call {calls}"
    assert 0 < died < MOST_CALLS - 1
