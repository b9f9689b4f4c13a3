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

from localaws.errors import AwsError, ValidationError
from localaws.runtime.archives import pack
from localaws.runtime.errors import ClientFaultError, JobError
from localaws.runtime.platform import Platform
from localaws.runtime.workload import ML_ROOT, Workload
from localaws.sagemaker import transfer
from localaws.sagemaker.catalogue import Catalogue
from localaws.sagemaker.events import StateChanges
from localaws.sagemaker.jobs import Jobs
from localaws.sagemaker.kinds import TRAINING_JOB
from localaws.sagemaker.logs import LogStream
from localaws.sagemaker.networks import Interfaces, check_vpc
from localaws.sagemaker.roles import ExecutionRole, check_role
from localaws.sagemaker.runs import Ending, Run, Runs
from localaws.schema import Members
from localaws.service import Call
from localaws.store import Scope

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
DEFAULT_MAX_RUNTIME_S = 86_400
CHECKPOINT_INTERVAL_S = 2.0
SPOT_INTERVAL_S = 0.1
RESULTS = ("model", "output")
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Interrupted": "Training job interrupted: the Spot instance was taken back",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "MaxRuntimeExceeded": "Training job reached the maximum runtime",
}


class AlgorithmError(JobError):
    """The program ended with an exit code other than 0."""


class TrainingJobs(Jobs):
    """Every training job, and the threads of those that run."""

    kind = TRAINING_JOB

    def __init__(
        self,
        catalogue: Catalogue,
        changes: StateChanges,
        platform: Platform,
        runs: Runs,
        *,
        interruptions: Path,
    ):
        """`interruptions` is the directory where `localaws interrupt` leaves its orders."""
        super().__init__(catalogue, changes, platform, runs)
        self._interruptions = interruptions

    def create(self, call: Call) -> Members:
        check_supported(call.params)
        check_spot(call.params)
        check_role(call.params["RoleArn"])
        check_vpc(call.params.get("VpcConfig"))
        job = self._catalogue.create(
            TRAINING_JOB,
            call,
            TrainingJobStatus="InProgress",
            SecondaryStatus="Starting",
            SecondaryStatusTransitions=[],
            TrainingTimeInSeconds=0,
            BillableTimeInSeconds=0,
        )
        self._enter(call.scope, job, "Starting")

        def work(run: Run, role: ExecutionRole) -> None:
            while self._train(call.scope, job, run=run, role=role).by == "interruption":
                self._enter(call.scope, job, "Interrupted")
                self._enter(call.scope, job, "Starting")

        self._start(call.scope, job, work, role_arn=job["RoleArn"])
        return job

    def _train(self, scope: Scope, job: Members, *, run: Run, role: ExecutionRole) -> Ending:
        """How the program ended on one instance; one that is taken back leaves its checkpoints in S3."""
        instances, owner = (
            job["ResourceConfig"].get("InstanceCount", 1),
            f"Training job {job['TrainingJobName']}",
        )
        network = Interfaces(role, job.get("VpcConfig"), instances=instances, owner=owner)
        with self._platform.tree() as tree, network:
            s3 = role.client("s3")
            ending = self._run_in(tree, scope, job, run=run, role=role)
            if ending.by == "interruption":
                return ending
            if ending.by == "itself" and ending.exit_code != 0:
                raise AlgorithmError(f"AlgorithmError: {read_failure(tree)}, exit code: {ending.exit_code}")
            self._enter(scope, job, "Uploading", job_status=job["TrainingJobStatus"])
            job["ModelArtifacts"] = {"S3ModelArtifacts": upload_results(s3, tree, job)}
            self._finish(scope, job, ending)
            return ending

    def _run_in(self, tree: Path, scope: Scope, job: Members, *, run: Run, role: ExecutionRole) -> Ending:
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
            results=(*RESULTS, *([checkpoint_name(job)] if "CheckpointConfig" in job else [])),
        )
        log = LogStream(role.client("logs"), LOG_GROUP, f"{job['TrainingJobName']}/algo-1-{int(time.time())}")
        self._enter(scope, job, "Training")
        begun = time.time()
        job.setdefault("TrainingStartTime", begun)
        limit_s = job["StoppingCondition"].get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S)
        with CheckpointSync(s3, tree, job), SpotInstance(self._interruptions, job, run):
            ending = self._execute(
                workload, run, log=log, limit_s=max(0.0, limit_s - job["TrainingTimeInSeconds"])
            )
        job["TrainingEndTime"] = time.time()
        spent_s = max(1, round(job["TrainingEndTime"] - begun))
        job["TrainingTimeInSeconds"] += spent_s
        job["BillableTimeInSeconds"] += spent_s
        return ending

    def _finish(self, scope: Scope, job: Members, ending: Ending) -> None:
        if ending.by == "itself":
            self._end(scope, job, "Completed")
        elif ending.by == "stop":
            self._end(scope, job, "Stopped")
        else:
            self._enter(scope, job, "MaxRuntimeExceeded", job_status="Stopped")

    def _end(self, scope: Scope, job: Members, status: str, *, reason: str | None = None) -> None:
        if reason is not None:
            job["FailureReason"] = reason[:1024]
            job.setdefault("TrainingEndTime", time.time())
        self._enter(scope, job, status, job_status=status)

    def _enter(self, scope: Scope, job: Members, status: str, *, job_status: str | None = None) -> None:
        """Moves the job to a secondary status, and to a status, and tells EventBridge."""
        now = time.time()
        with self._catalogue.store.lock:
            transitions = job["SecondaryStatusTransitions"]
            if transitions and "EndTime" not in transitions[-1]:
                transitions[-1]["EndTime"] = now
            message = job.get("FailureReason") if status == "Failed" else _MESSAGES[status]
            transition = {"Status": status, "StartTime": now, "StatusMessage": message}
            if job_status in ("Completed", "Failed", "Stopped"):
                transition["EndTime"] = now
            transitions.append(transition)
            job.update(SecondaryStatus=status, LastModifiedTime=now)
            if status == "Stopping":
                job_status = status
            if job_status is not None:
                job["TrainingJobStatus"] = job_status
        self._changes.publish(TRAINING_JOB, scope, job)


class SpotInstance:
    """The instance of a managed Spot job: it is taken back when an order of the job's name is left for it."""

    def __init__(self, orders: Path, job: Members, run: Run):
        self._order = orders / job["TrainingJobName"]
        self._spot = job.get("EnableManagedSpotTraining", False)
        self._run = run
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        if self._spot:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._spot:
            self._done.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SPOT_INTERVAL_S):
            if self._order.exists():
                self._order.unlink()
                self._run.interrupt()
                return


class CheckpointSync:
    """Copies new checkpoints to S3 while a process trains, and what a container left when it ends."""

    def __init__(self, s3: object, tree: Path, job: Members):
        self._s3 = s3
        self._uri = job.get("CheckpointConfig", {}).get("S3Uri")
        self._directory = tree / checkpoint_name(job) if self._uri else tree
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


def check_spot(params: Members) -> None:
    """Raises: ValidationError where AWS would not let a Spot job wait for an instance."""
    condition = params["StoppingCondition"]
    wait_s = condition.get("MaxWaitTimeInSeconds")
    if not params.get("EnableManagedSpotTraining", False):
        if wait_s is not None:
            raise ValidationError("MaxWaitTimeInSeconds is only for jobs with EnableManagedSpotTraining.")
        return
    if wait_s is None or wait_s < condition.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S):
        raise ValidationError(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )


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
    for name in ("input/config", "input/data", "model", "output/data", "code"):
        (tree / name).mkdir(parents=True)
    if "CheckpointConfig" in job:
        (tree / checkpoint_name(job)).mkdir(parents=True, exist_ok=True)
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


def checkpoint_name(job: Members) -> str:
    """Where checkpoints are below /opt/ml. Raises: ClientFaultError for another place."""
    path = job["CheckpointConfig"].get("LocalPath", f"{ML_ROOT}/checkpoints").rstrip("/")
    if not path.startswith(f"{ML_ROOT}/") or ".." in path.split("/"):
        raise ClientFaultError(f"CheckpointConfig: the LocalPath {path} is not below {ML_ROOT}.")
    return str(path.removeprefix(f"{ML_ROOT}/"))


def download_checkpoints(s3: object, tree: Path, job: Members) -> None:
    """Brings back what an earlier job left, so that the program resumes."""
    uri = job.get("CheckpointConfig", {}).get("S3Uri")
    if uri and transfer.list_keys(s3, f"{uri.rstrip('/')}/"):
        transfer.download_prefix(s3, f"{uri.rstrip('/')}/", tree / checkpoint_name(job))


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
