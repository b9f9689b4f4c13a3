"""Both state machines on the local AWS without Terraform: Lambdas, tables, buckets, keys, and models to run.

What Terraform grants is its own tests' business; here every role may do everything.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local_aws import LocalAws, create_role, wait_until
from machine_templates import render

from localaws.settings import ACCOUNT_ID, REGION
from pipeline.approval import package_subject, sign_approval, store_approval, write_approval
from pipeline.ledger import Entry, Ledger
from pipeline.package import build_package
from pipeline.runs_table import RunsTable

CHECKOUT = Path(__file__).parents[2]
HANDLERS = {
    "staging": [
        "claim", "validate", "judge", "open_gate", "answer_gate", "reconcile",
        "authorise", "deploy", "smoke", "scale", "rollback", "record",
    ],
    "production": ["authorise", "deploy", "smoke", "scale", "rollback", "record"],
}  # fmt: skip
GOOD = b"length,species\n1,cat\n2,hen\n"
HOLDOUT = b"length,species\n8,cat\n9,hen\n"
MODEL: dict[str, Any] = {
    "task": "classification",
    "target": "species",
    "min_rows": 2,
    "columns": [
        {"name": "length", "type": "number", "max": 10},
        {"name": "species", "type": "category", "allowed": ["cat", "hen"]},
    ],
    "gates": {"metrics": {"accuracy": {"min": 0.9}}, "parity": {"tolerance": 1e-4}},
    "golden": [{"instance": {"length": 1}, "expect": {"label": "cat"}}],
}

_BASE = "import os, pathlib\nbase = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"
TRAIN = _BASE + "(base / 'model/model.txt').write_text((base / 'input/data/train/data.csv').read_text())\n"
EVALUATE = _BASE + (
    "import hashlib, json\n"
    "archive = (base / 'processing/input/model/model.tar.gz').read_bytes()\n"
    "report = {'multiclass_classification_metrics': {'accuracy': {'value': 0.95}}, 'gates': [],\n"
    "          'parity': {'difference': 0.0}, 'model_sha256': hashlib.sha256(archive).hexdigest()}\n"
    "folder = base / 'processing/input/champion'\n"
    "champion = json.loads((folder / 'champion.json').read_text())\n"
    "if champion['run_id']:\n"
    "    found = hashlib.sha256((folder / 'model.tar.gz').read_bytes()).hexdigest()\n"
    "    gain = {'metric': 'accuracy', 'low': -0.2, 'high': -0.1}\n"
    "    report['champion'] = {'model_sha256': found, 'confidence': 0.95, 'comparisons': [gain]}\n"
    "output = base / 'processing/output'\n"
    "output.mkdir(parents=True, exist_ok=True)\n"
    "(output / 'evaluation.json').write_text(json.dumps(report))\n"
)
SERVE = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"predictions": [{"label": "cat"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
    def log_message(self, *arguments):
        pass
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
PROGRAMS = {"train": TRAIN, "evaluate": EVALUATE, "serve": SERVE}


@dataclass(frozen=True)
class Ended:
    """An execution that is over."""

    status: str
    error: str
    cause: str
    last_state: str
    output: dict[str, Any]


class Stage:
    """What both environments share; `model` puts a model with machines of its own onto it."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.buckets = {
            name: f"stage-{name}"
            for name in ("data", "models", "production-models", "ledger", "state", "production-data")
        }
        for bucket in self.buckets.values():
            aws.client("s3").create_bucket(Bucket=bucket)
            versioning = {"Status": "Enabled"}
            aws.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
        aws.client("dynamodb").create_table(
            TableName="stage-runs",
            KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        kms = aws.client("kms")
        self.data_key = kms.create_key()["KeyMetadata"]["Arn"]
        self.approval_key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"][
            "Arn"
        ]
        self.alerts_topic = aws.client("sns").create_topic(Name="stage-alerts")["TopicArn"]
        self.runs = RunsTable("stage-runs", dynamodb=aws.client("dynamodb"))
        self.roles = {
            service: create_role(aws, f"stage-{service}", ["*"], principal=f"{service}.amazonaws.com")
            for service in ("lambda", "states", "sagemaker")
        }
        self.functions = {name: self._functions(name) for name in HANDLERS}

    def ledger(self) -> list[Entry]:
        """Every entry, checked."""
        ledger = Ledger(self.buckets["ledger"], s3=self.aws.client("s3"), now=datetime.now, sleep=float)
        return list(ledger.entries())

    def approver(self, service: str) -> Any:
        """A client of bob, who may approve."""
        credentials = self.aws.client("sts").assume_role(
            RoleArn=self._approver_role(), RoleSessionName="bob"
        )["Credentials"]
        return self.aws.client(
            service,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )

    def _approver_role(self) -> str:
        name, arn = "stage-approver", f"arn:aws:iam::{ACCOUNT_ID}:role/stage-approver"
        iam = self.aws.client("iam")
        if name not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
            everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
            trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ACCOUNT_ID}}
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))
            iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=_policy(everything))
        return arn

    def _functions(self, environment: str) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as folder:
            package = build_package(CHECKOUT, Path(folder) / "lambda.zip").read_bytes()
        production = environment == "production"
        variables = {
            "ENVIRONMENT": environment,
            "PROJECT": "stage",
            "RUNS_TABLE": "stage-runs",
            "DATA_BUCKET": self.buckets["data"],
            "MODELS_BUCKET": self.buckets["production-models" if production else "models"],
            "LEDGER_BUCKET": self.buckets["ledger"],
            "STATE_BUCKET": self.buckets["state"],
            "APPROVAL_KEY_ID": self.approval_key,
            "APPROVAL_REQUIRED": str(production).lower(),
            "COMMIT": "0123abc",
        }
        return {
            f"{handler}_function_arn": self.aws.client("lambda").create_function(
                FunctionName=f"stage-{environment}-{handler}",
                Runtime="python3.13",
                Role=self.roles["lambda"],
                Handler=f"pipeline.lambdas.{handler}.handler",
                Code={"ZipFile": package},
                Timeout=60,
                Environment={"Variables": variables},
            )["FunctionArn"]
            for handler in HANDLERS[environment]
        }


class Model:
    """One model with an image of its programs, its machines in both environments, and a dataset."""

    def __init__(
        self,
        stage: Stage,
        image: str,
        *,
        serving: dict[str, Any] | None = None,
        unheard: tuple[str, ...] = (),
        stranger: Callable[[dict[str, Any]], object] = lambda _: None,
        **changes: Any,
    ) -> None:
        """`unheard`: the states whose call is made once before, by somebody who does not hear the answer.

        `stranger` makes another's of that call's parameters.
        """
        self.stage, self.aws, self.image = stage, stage.aws, image
        self._serving = serving or {}
        self._unheard, self._stranger = unheard, stranger
        self.name = f"m{uuid.uuid4().hex[:6]}"
        self.group = f"stage-staging-{self.name}"
        self.aws.client("sagemaker").create_model_package_group(ModelPackageGroupName=self.group)
        for bucket in ("models", "production-models"):
            self.configure(MODEL, bucket=bucket)
        self._changes = changes
        self.release_arns = {environment: self._create_release(environment) for environment in HANDLERS}
        self.retraining_arn = self._create_retraining()

    def configure(self, model: dict[str, Any], *, bucket: str = "models") -> None:
        """Put model.json and the holdout where the machines look for them."""
        s3, folder = self.aws.client("s3"), f"config/{self.name}"
        s3.put_object(Bucket=self.stage.buckets[bucket], Key=f"{folder}/model.json", Body=json.dumps(model))
        s3.put_object(Bucket=self.stage.buckets[bucket], Key=f"{folder}/holdout.csv", Body=HOLDOUT)

    def endpoint_name(self, environment: str = "staging") -> str:
        return f"stage-{environment}-{self.name}"

    def upload(self, content: bytes = GOOD, *, file: str = "data.csv") -> dict[str, Any]:
        """The event of an upload, as the trigger passes it on."""
        bucket, key = self.stage.buckets["data"], f"datasets/{self.name}/{file}"
        version_id = self.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=content)["VersionId"]
        alice = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/mlops-data-scientist/alice"
        return {"bucket": bucket, "key": key, "version_id": version_id, "uploaded_by": alice, "route": "s3"}

    def run_id(self, upload: dict[str, Any]) -> str:
        address = f"{upload['bucket']}/{upload['key']}?versionId={upload['version_id']}"
        return f"{self.name}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"

    def start(self, machine_arn: str, request: dict[str, Any]) -> str:
        machines = self.aws.client("stepfunctions")
        arn: str = machines.start_execution(stateMachineArn=machine_arn, input=json.dumps(request))[
            "executionArn"
        ]
        return arn

    def reconcile(self) -> list[str]:
        """The runs that one pass of the reconciler starts."""
        route = {"prefix": f"datasets/{self.name}/", "state_machine_arn": self.retraining_arn}
        event = {"routes": {self.name: route}, "grace_s": 0, "lookback_s": 3600}
        reply = self.aws.client("lambda").invoke(
            FunctionName="stage-staging-reconcile", Payload=json.dumps(event)
        )
        started: list[str] = json.loads(reply["Payload"].read())["started"]
        return started

    def executions(self) -> list[str]:
        """The executions of the retraining machine."""
        machines = self.aws.client("stepfunctions")
        found = machines.list_executions(stateMachineArn=self.retraining_arn)["executions"]
        return [execution["executionArn"] for execution in found]

    def end(self, execution_arn: str, *, timeout_s: float = 60) -> Ended:
        """The end of an execution."""
        machines = self.aws.client("stepfunctions")

        def over() -> Any:
            found = machines.describe_execution(executionArn=execution_arn)
            return found if found["status"] != "RUNNING" else None

        found = wait_until(over, timeout_s=timeout_s)
        events = machines.get_execution_history(executionArn=execution_arn, maxResults=1000)["events"]
        entered = [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]
        return Ended(
            status=found["status"],
            error=found.get("error", ""),
            cause=found.get("cause", ""),
            last_state=entered[-1],
            output=json.loads(found.get("output", "{}")),
        )

    def wait_for_gate(self, run_id: str) -> dict[str, Any]:
        """The run, waiting for a person."""

        def waiting() -> Any:
            run = next((item for item in self.stage.runs.all() if item["run_id"] == run_id), {})
            assert run.get("status") not in ("Failed", "RejectedByGates", "Quarantined"), run["reason"]
            return run if run.get("status") == "WaitingForApproval" else None

        run: dict[str, Any] = wait_until(waiting, timeout_s=60)
        return run

    def sign(self, run: dict[str, Any], *, author: str = "alice") -> None:
        """Write bob's approval for production and mark the package, as `mlops approve` does."""
        arn = run["model_package_arn"]
        sagemaker = self.stage.approver("sagemaker")
        package = sagemaker.describe_model_package(ModelPackageName=arn)
        approval = write_approval(
            package_subject(package, project="stage", environment="production"),
            author=author,
            approver="bob",
            reason="good",
            now=datetime.now(UTC),
            valid_for=timedelta(hours=1),
        )
        signed = sign_approval(approval, kms=self.stage.approver("kms"), key_id=self.stage.approval_key)
        store_approval(signed, s3=self.stage.approver("s3"), bucket=self.stage.buckets["ledger"])
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")

    def answer(self, run: dict[str, Any], status: str) -> dict[str, Any]:
        """Deliver the package's event to the gate."""
        detail = {"ModelPackageArn": run["model_package_arn"], "ModelApprovalStatus": status}
        reply = self.aws.client("lambda").invoke(
            FunctionName="stage-staging-answer_gate", Payload=json.dumps({"detail": detail})
        )
        content: dict[str, Any] = json.loads(reply["Payload"].read())
        return content

    def packages(self) -> list[str]:
        """The approval status of each registered candidate."""
        found = self.aws.client("sagemaker").list_model_packages(ModelPackageGroupName=self.group)
        return [package["ModelApprovalStatus"] for package in found["ModelPackageSummaryList"]]

    def release_resources(self, environment: str = "staging") -> dict[str, list[str]]:
        """What releases of this model have made."""
        sagemaker, prefix = self.aws.client("sagemaker"), self.endpoint_name(environment)
        models = [item["ModelName"] for item in sagemaker.list_models()["Models"]]
        configs = [
            item["EndpointConfigName"] for item in sagemaker.list_endpoint_configs()["EndpointConfigs"]
        ]
        endpoints = [item["EndpointName"] for item in sagemaker.list_endpoints()["Endpoints"]]
        found = {"models": models, "configs": configs, "endpoints": endpoints}
        return {kind: [name for name in names if name.startswith(prefix)] for kind, names in found.items()}

    def _create_release(self, environment: str) -> str:
        serving = {
            "execution_role_arn": self.stage.roles["sagemaker"],
            "instance_type": "ml.m5.large",
            "instance_count": 1,
            "variant_name": "primary",
            "kms_key_arn": None,
            "network_isolation": True,
            "subnet_ids": [],
            "security_group_ids": [],
            "startup_timeout_s": 60,
            "download_timeout_s": 60,
            "traffic": {"type": "ALL_AT_ONCE", "size_percent": None, "wait_s": 0},
            "termination_wait_s": 0,
            "max_runtime_s": 600,
            "rollback_alarms": [],
        }
        serving.update(self._serving)
        models = self.stage.buckets["production-models" if environment == "production" else "models"]
        return self._create_machine(
            "release",
            environment,
            endpoint_name=self.endpoint_name(environment),
            serving_json=json.dumps(serving),
            golden_uri=f"s3://{models}/config/{self.name}/model.json",
        )

    def _create_retraining(self) -> str:
        return self._create_machine(
            "retraining",
            "staging",
            project="stage",
            commit="0123abc",
            training_image=self.image,
            training_image_digest=self.image.partition("@")[2],
            serving_image=self.image,
            image_digest=self.image.partition("@")[2],
            training_role_arn=self.stage.roles["sagemaker"],
            processing_role_arn=self.stage.roles["sagemaker"],
            training_instance_type="ml.m5.large",
            evaluation_instance_type="ml.m5.large",
            models_bucket=self.stage.buckets["models"],
            data_bucket=self.stage.buckets["data"],
            data_kms_key_arn=self.stage.data_key,
            alerts_topic_arn=self.stage.alerts_topic,
            model_package_group_name=self.group,
            release_state_machine_arn=self.release_arns["staging"],
        )

    def _create_machine(self, kind: str, environment: str, **values: Any) -> str:
        common = {"model": self.name, "environment": environment, **self.stage.functions[environment]}
        definition = render(kind, **{**common, **values, **self._changes})
        for name in self._unheard if kind == "retraining" else ():
            _lose_first_answer(definition["States"], name)
            self._stranger(definition["States"][name]["Parameters"])
        arn: str = self.aws.client("stepfunctions").create_state_machine(
            name=f"{self.endpoint_name(environment)}-{kind}",
            definition=json.dumps(definition),
            roleArn=self.stage.roles["states"],
        )["stateMachineArn"]
        assert arn.startswith(f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:")
        return arn


def _lose_first_answer(states: dict[str, Any], name: str) -> None:
    """Has the call made, then made again as after a lost answer."""
    states[f"{name}Again"] = copy.deepcopy(states[name])
    states[name] = {
        **{key: states[name][key] for key in ("Type", "Parameters", "TimeoutSeconds")},
        "Resource": states[name]["Resource"].removesuffix(".sync"),
        "ResultPath": None,
        "Next": f"{name}Again",
    }


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
