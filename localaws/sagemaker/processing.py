"""Processing jobs: inputs to paths, one program, outputs from paths.

Source: Amazon SageMaker developer guide, "Build Your Own Processing Container"; API reference,
CreateProcessingJob.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from localaws.errors import ValidationError
from localaws.runtime.errors import ClientFaultError
from localaws.runtime.workload import ML_ROOT, Workload
from localaws.sagemaker import transfer
from localaws.sagemaker.jobs import Jobs
from localaws.sagemaker.kinds import PROCESSING_JOB
from localaws.sagemaker.logs import LogStream
from localaws.sagemaker.networks import Interfaces, check_vpc
from localaws.sagemaker.roles import ExecutionRole, check_role
from localaws.sagemaker.runs import Ending, Run
from localaws.schema import Members
from localaws.service import Call
from localaws.store import Scope

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
DEFAULT_MAX_RUNTIME_S = 86_400
MAX_MESSAGE_CHARACTERS = 1024


class ProcessingJobs(Jobs):
    """Every processing job, and the threads of those that run."""

    kind = PROCESSING_JOB

    def create(self, call: Call) -> Members:
        for local_path in local_paths(call.params):
            if not local_path.startswith(f"{ML_ROOT}/processing/"):
                raise ValidationError(f"LocalPath {local_path} is not below {ML_ROOT}/processing.")
        check_role(call.params["RoleArn"])
        check_vpc(vpc_of(call.params))
        job = self._catalogue.create(PROCESSING_JOB, call, ProcessingJobStatus="InProgress")
        self._changes.publish(PROCESSING_JOB, call.scope, job)

        def work(run: Run, role: ExecutionRole) -> None:
            instances = job["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
            owner = f"Processing job {job['ProcessingJobName']}"
            network = Interfaces(role, vpc_of(job), instances=instances, owner=owner)
            with self._platform.tree() as tree, network:
                self._run_in(tree, call.scope, job, run=run, role=role)

        self._start(call.scope, job, work, role_arn=job["RoleArn"])
        return job

    def _run_in(self, tree: Path, scope: Scope, job: Members, *, run: Run, role: ExecutionRole) -> None:
        s3 = role.client("s3")
        app = job["AppSpecification"]
        image = self._platform.images.find(
            app["ImageUri"], ecr=role.client("ecr"), scope=scope, role_arn=role.arn
        )
        write_tree(tree, job)
        download_inputs(s3, tree, job)
        workload = Workload(
            name=f"processing-job/{job['ProcessingJobName']}",
            image=image,
            tree=tree,
            entrypoint=tuple(app.get("ContainerEntrypoint", image.entrypoint)),
            arguments=tuple(app.get("ContainerArguments", [])),
            environment=platform_environment(scope, job),
            results=("output", *(path.removeprefix(f"{ML_ROOT}/") for path in output_paths(job))),
        )
        log = LogStream(
            role.client("logs"), LOG_GROUP, f"{job['ProcessingJobName']}/algo-1-{int(time.time())}"
        )
        job["ProcessingStartTime"] = time.time()
        limit_s = job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S)
        ending = self._execute(workload, run, log=log, limit_s=limit_s)
        message = tree / "output/message"
        if message.is_file():
            job["ExitMessage"] = message.read_text(errors="replace")[:MAX_MESSAGE_CHARACTERS]
        upload_outputs(s3, tree, job)
        self._finish(scope, job, ending)

    def _finish(self, scope: Scope, job: Members, ending: Ending) -> None:
        if ending.by == "time limit":
            self._end(scope, job, "Stopped", reason="MaxRuntimeExceeded: the job reached its maximum runtime")
        elif ending.by == "stop":
            self._end(scope, job, "Stopped")
        elif ending.exit_code != 0:
            reason = f"AlgorithmError: See job logs for more information, exit code: {ending.exit_code}"
            self._end(scope, job, "Failed", reason=reason)
        else:
            self._end(scope, job, "Completed")

    def _end(self, scope: Scope, job: Members, status: str, *, reason: str | None = None) -> None:
        if reason is not None:
            job["FailureReason"] = reason[:MAX_MESSAGE_CHARACTERS]
        job["ProcessingEndTime"] = time.time()
        self._enter(scope, job, status)

    def _enter(self, scope: Scope, job: Members, status: str) -> None:
        with self._catalogue.store.lock:
            job.update(ProcessingJobStatus=status, LastModifiedTime=time.time())
        self._changes.publish(PROCESSING_JOB, scope, job)


def vpc_of(params: Members) -> Members | None:
    """Subnets and security groups, where the job names any."""
    vpc: Members | None = params.get("NetworkConfig", {}).get("VpcConfig")
    return vpc


def local_paths(params: Members) -> list[str]:
    """Every path inside the container that the job names."""
    inputs = [
        item["S3Input"]["LocalPath"] for item in params.get("ProcessingInputs", []) if "S3Input" in item
    ]
    return [*inputs, *output_paths(params)]


def output_paths(params: Members) -> list[str]:
    outputs = params.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return [output["S3Output"]["LocalPath"] for output in outputs]


def write_tree(tree: Path, job: Members) -> None:
    """Makes the directories and the files that describe the job."""
    for name in ("config", "output", "processing"):
        (tree / name).mkdir()
    for path in output_paths(job):
        in_tree(tree, path).mkdir(parents=True, exist_ok=True)
    config = {name: job[name] for name in sorted(job) if name[0].isupper() and not name.endswith("Time")}
    (tree / "config/processingjobconfig.json").write_text(json.dumps(config))
    hosts = {"current_host": "algo-1", "hosts": ["algo-1"]}
    (tree / "config/resourceconfig.json").write_text(json.dumps(hosts))


def download_inputs(s3: object, tree: Path, job: Members) -> None:
    """Fills the local path of every input."""
    for item in job.get("ProcessingInputs", []):
        source = item.get("S3Input")
        if source is None:
            raise ClientFaultError(f"Input {item['InputName']} has no S3Input.")
        target = in_tree(tree, source["LocalPath"])
        target.mkdir(parents=True, exist_ok=True)
        if source["S3DataType"] == "ManifestFile":
            transfer.download_manifest(s3, source["S3Uri"], target)
        else:
            transfer.download_prefix(s3, source["S3Uri"], target)


def upload_outputs(s3: object, tree: Path, job: Members) -> None:
    """Sends every output's directory to S3."""
    config = job.get("ProcessingOutputConfig", {})
    for output in config.get("Outputs", []):
        target = output["S3Output"]
        directory = in_tree(tree, target["LocalPath"])
        transfer.upload_directory(s3, directory, target["S3Uri"], kms_key_id=config.get("KmsKeyId"))


def platform_environment(scope: Scope, job: Members) -> dict[str, str]:
    """The variables of the job's request, and those that SageMaker itself sets."""
    return {
        **job.get("Environment", {}),
        "PROCESSING_JOB_NAME": job["ProcessingJobName"],
        "AWS_REGION": scope.region,
        "AWS_DEFAULT_REGION": scope.region,
    }


def in_tree(tree: Path, local_path: str) -> Path:
    """Where a path of the container is on this machine. Raises: ClientFaultError when it leads out."""
    path = (tree / local_path.removeprefix(f"{ML_ROOT}/")).resolve()
    if not path.is_relative_to(tree.resolve()):
        raise ClientFaultError(f"LocalPath {local_path} leads out of {ML_ROOT}.")
    return path
