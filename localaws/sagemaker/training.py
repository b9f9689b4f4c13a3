"""Training jobs: data in, the image's `train`, model.tar.gz out.

Source: Amazon SageMaker developer guide, "How Amazon SageMaker AI runs your training image", "… provides
training information" and "… processes training output"; API reference, DescribeTrainingJob.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from pathlib import Path

from localaws.errors import AwsError
from localaws.mends.role_sessions import RoleError
from localaws.runtime.archives import pack
from localaws.runtime.errors import ClientFaultError, JobError
from localaws.runtime.platform import Platform
from localaws.runtime.workload import Workload
from localaws.sagemaker import transfer
from localaws.sagemaker.catalogue import Catalogue
from localaws.sagemaker.events import StateChanges
from localaws.sagemaker.kinds import TRAINING_JOB
from localaws.sagemaker.logs import LogStream
from localaws.sagemaker.roles import ExecutionRole, check_role
from localaws.sagemaker.runs import Ending, Run, Runs, require_in_progress
from localaws.schema import Members
from localaws.service import Call, Operation
from localaws.store import Scope

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
DEFAULT_MAX_RUNTIME_S = 86_400
CHECKPOINT_INTERVAL_S = 2.0
RESULTS = ("model", "output", "checkpoints")
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "MaxRuntimeExceeded": "Training job reached the maximum runtime",
}


class AlgorithmError(JobError):
    """The program ended with an exit code other than 0."""


class TrainingJobs:
    """Every training job, and the threads of those that run."""

    def __init__(self, catalogue: Catalogue, changes: StateChanges, platform: Platform, runs: Runs):
        self._catalogue = catalogue
        self._changes = changes
        self._platform = platform
        self._runs = runs

    def operations(self) -> dict[str, Operation]:
        kept = self._catalogue.operations(TRAINING_JOB)
        return {
            "CreateTrainingJob": self.create,
            "StopTrainingJob": self.stop,
            "DescribeTrainingJob": kept["DescribeTrainingJob"],
            "ListTrainingJobs": kept["ListTrainingJobs"],
        }

    def create(self, call: Call) -> Members:
        check_supported(call.params)
        check_role(call.params["RoleArn"])
        job = self._catalogue.create(
            TRAINING_JOB,
            call,
            TrainingJobStatus="InProgress",
            SecondaryStatus="Starting",
            SecondaryStatusTransitions=[],
        )
        self._enter(call.scope, job, "Starting")
        self._runs.start(
            TRAINING_JOB, call.scope, job["TrainingJobName"], lambda run: self._run(call.scope, job, run)
        )
        return job

    def stop(self, call: Call) -> Members:
        job = self._catalogue.get(TRAINING_JOB, call.scope, call.params["TrainingJobName"])
        with self._catalogue.store.lock:
            require_in_progress(TRAINING_JOB, job)
            self._enter(call.scope, job, "Stopping", status="Stopping")
        self._runs.stop(TRAINING_JOB, call.scope, job["TrainingJobName"])
        return {}

    def _run(self, scope: Scope, job: Members, run: Run) -> None:
        name = job["TrainingJobName"]
        role = ExecutionRole(scope, job["RoleArn"], session_name="SageMaker")
        try:
            with self._platform.tree() as tree:
                self._run_in(tree, scope, job, run=run, role=role)
        except RoleError as error:
            self._fail(scope, job, f"ClientError: {error}")
        except JobError as error:
            if run.stopping:
                self._enter(scope, job, "Stopped", status="Stopped")
            else:
                self._fail(scope, job, error.reason)
        except Exception as error:
            self._fail(scope, job, f"InternalServerError: the local AWS failed on {name}: {error}")
            raise

    def _run_in(self, tree: Path, scope: Scope, job: Members, *, run: Run, role: ExecutionRole) -> None:
        s3 = role.client("s3")
        algorithm = job["AlgorithmSpecification"]
        image = self._platform.images.find(
            algorithm["TrainingImage"], ecr=role.client("ecr"), scope=scope, role_arn=role.arn
        )
        self._enter(scope, job, "Downloading")
        write_tree(tree, job)
        download_channels(s3, tree, job)
        download_checkpoints(s3, tree, job)
        workload = Workload(
            name=f"training-job/{job['TrainingJobName']}",
            image=image,
            tree=tree,
            entrypoint=tuple(algorithm.get("ContainerEntrypoint", [])),
            arguments=tuple(algorithm.get("ContainerArguments", ["train"])),
            environment=platform_environment(scope, job),
            results=RESULTS,
        )
        log = LogStream(role.client("logs"), LOG_GROUP, f"{job['TrainingJobName']}/algo-1-{int(time.time())}")
        self._enter(scope, job, "Training")
        job["TrainingStartTime"] = time.time()
        ending = self._execute(workload, job, run=run, log=log, s3=s3)
        job["TrainingEndTime"] = time.time()
        job["TrainingTimeInSeconds"] = job["BillableTimeInSeconds"] = max(
            1, round(job["TrainingEndTime"] - job["TrainingStartTime"])
        )
        if ending.by == "itself" and ending.exit_code != 0:
            raise AlgorithmError(f"AlgorithmError: {read_failure(tree)}, exit code: {ending.exit_code}")
        self._enter(scope, job, "Uploading", status=job["TrainingJobStatus"])
        job["ModelArtifacts"] = {"S3ModelArtifacts": upload_results(s3, tree, job)}
        self._finish(scope, job, ending)

    def _execute(self, workload: Workload, job: Members, *, run: Run, log: LogStream, s3: object) -> Ending:
        limit_s = job["StoppingCondition"].get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S)
        running = None
        with CheckpointSync(s3, workload.tree, job):
            try:
                running = self._platform.start(workload, log.write)
                ending = run.to_end(running, limit_s=limit_s)
                running.collect()
            finally:
                if running is not None:
                    running.remove()
                log.close()
        return ending

    def _finish(self, scope: Scope, job: Members, ending: Ending) -> None:
        if ending.by == "itself":
            self._enter(scope, job, "Completed", status="Completed")
        elif ending.by == "stop":
            self._enter(scope, job, "Stopped", status="Stopped")
        else:
            self._enter(scope, job, "MaxRuntimeExceeded", status="Stopped")

    def _fail(self, scope: Scope, job: Members, reason: str) -> None:
        job["FailureReason"] = reason[:1024]
        job.setdefault("TrainingEndTime", time.time())
        self._enter(scope, job, "Failed", status="Failed")

    def _enter(self, scope: Scope, job: Members, secondary: str, *, status: str | None = None) -> None:
        """Moves the job to a secondary status, and to a status, and tells EventBridge."""
        now = time.time()
        with self._catalogue.store.lock:
            transitions = job["SecondaryStatusTransitions"]
            if transitions and "EndTime" not in transitions[-1]:
                transitions[-1]["EndTime"] = now
            message = job.get("FailureReason") if secondary == "Failed" else _MESSAGES[secondary]
            transition = {"Status": secondary, "StartTime": now, "StatusMessage": message}
            if status in ("Completed", "Failed", "Stopped"):
                transition["EndTime"] = now
            transitions.append(transition)
            job.update(SecondaryStatus=secondary, LastModifiedTime=now)
            if status is not None:
                job["TrainingJobStatus"] = status
        self._changes.publish(TRAINING_JOB, scope, job)


class CheckpointSync:
    """Copies new checkpoints to S3 while a process trains, and what a container left when it ends."""

    def __init__(self, s3: object, tree: Path, job: Members):
        self._s3 = s3
        self._directory = tree / "checkpoints"
        self._uri = job.get("CheckpointConfig", {}).get("S3Uri")
        self._done = threading.Event()
        self._seen: dict[Path, float] = {}
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        if self._uri:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._uri:
            self._done.set()
            self._thread.join()
            self._copy()

    def _loop(self) -> None:
        while not self._done.wait(CHECKPOINT_INTERVAL_S):
            self._copy()

    def _copy(self) -> None:
        for file in sorted(self._directory.rglob("*")):
            if file.is_file() and self._seen.get(file) != file.stat().st_mtime:
                self._seen[file] = file.stat().st_mtime
                uri = transfer.join_uri(self._uri, file.relative_to(self._directory).as_posix())
                transfer.upload_file(self._s3, file, uri, kms_key_id=None)


def check_supported(params: Members) -> None:
    """Raises: AwsError for what this local AWS does not do."""
    unsupported = {
        "OutputDataConfig.CompressionType NONE": params["OutputDataConfig"].get("CompressionType") == "NONE",
        "AlgorithmSpecification.AlgorithmName": "TrainingImage" not in params["AlgorithmSpecification"],
        "TrainingInputMode Pipe": params["AlgorithmSpecification"].get("TrainingInputMode") == "Pipe",
    }
    for feature, asked in unsupported.items():
        if asked:
            raise AwsError(
                "NotImplemented", f"The local AWS does not cover {feature} of a training job.", status=501
            )


def write_tree(tree: Path, job: Members) -> None:
    """Makes the directories of /opt/ml and the files that describe the job."""
    for name in ("input/config", "input/data", "model", "output/data", "code", "checkpoints"):
        (tree / name).mkdir(parents=True)
    host = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
    instance_type = job["ResourceConfig"].get("InstanceType", "")
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": ["algo-1"]}
    resources = {
        **host,
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "instance_groups": [group],
    }
    files = {
        "hyperparameters.json": job.get("HyperParameters", {}),
        "resourceconfig.json": resources,
        "inputdataconfig.json": {c["ChannelName"]: channel_config(c) for c in job.get("InputDataConfig", [])},
    }
    for name, content in files.items():
        (tree / "input/config" / name).write_text(json.dumps(content))


def channel_config(channel: Members) -> dict[str, str]:
    """What a program is told about a channel."""
    source = channel["DataSource"].get("S3DataSource", {})
    return {
        "ContentType": channel.get("ContentType", ""),
        "TrainingInputMode": channel.get("InputMode", "File"),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }


def download_channels(s3: object, tree: Path, job: Members) -> None:
    """Fills input/data/<channel>."""
    for channel in job.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise ClientFaultError(f"Channel {channel['ChannelName']} has no S3DataSource.")
        target = transfer.inside(tree / "input/data", channel["ChannelName"])
        target.mkdir(exist_ok=True)
        if source["S3DataType"] == "ManifestFile":
            transfer.download_manifest(s3, source["S3Uri"], target)
        else:
            transfer.download_prefix(s3, source["S3Uri"], target)


def download_checkpoints(s3: object, tree: Path, job: Members) -> None:
    """Brings back what an earlier job left, so that the program resumes."""
    uri = job.get("CheckpointConfig", {}).get("S3Uri")
    if uri and transfer.list_keys(s3, f"{uri.rstrip('/')}/"):
        transfer.download_prefix(s3, f"{uri.rstrip('/')}/", tree / "checkpoints")


def platform_environment(scope: Scope, job: Members) -> dict[str, str]:
    """The variables of the job's request, and those that SageMaker itself sets."""
    return {
        **job.get("Environment", {}),
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        "AWS_REGION": scope.region,
        "AWS_DEFAULT_REGION": scope.region,
    }


def read_failure(tree: Path) -> str:
    """What the program wrote to output/failure, or nothing, as on AWS."""
    file = tree / "output/failure"
    return file.read_text(errors="replace")[:900] if file.is_file() else ""


def upload_results(s3: object, tree: Path, job: Members) -> str:
    """The URI of model.tar.gz; output.tar.gz goes beside it when there is output data."""
    output = job["OutputDataConfig"]
    target = transfer.join_uri(output["S3OutputPath"], job["TrainingJobName"], "output")
    for source, name in (("output/data", "output.tar.gz"), ("model", "model.tar.gz")):
        if source == "model" or any((tree / source).iterdir()):
            with tempfile.NamedTemporaryFile(suffix=".tar.gz") as archive:
                pack(tree / source, archive, mode="w:gz")
                archive.flush()
                transfer.upload_file(
                    s3, Path(archive.name), transfer.join_uri(target, name), kms_key_id=output.get("KmsKeyId")
                )
    return transfer.join_uri(target, "model.tar.gz")
