"""Batch transform: a model server, every object of a prefix through it, answers beside the prefix.

Source: Amazon SageMaker developer guide, "Batch transform for inference with Amazon SageMaker AI"; API
reference, CreateTransformJob.
"""

from __future__ import annotations

import gzip
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from localaws.errors import AwsError
from localaws.runtime.errors import ClientFaultError
from localaws.sagemaker import transfer
from localaws.sagemaker.jobs import Jobs
from localaws.sagemaker.kinds import MODEL, TRANSFORM_JOB
from localaws.sagemaker.models import container_to_serve
from localaws.sagemaker.roles import ExecutionRole
from localaws.sagemaker.runs import Run
from localaws.sagemaker.servers import DEFAULT_HEALTH_TIMEOUT_S, ModelServer, instance_id, start_server
from localaws.schema import Members
from localaws.service import Call
from localaws.store import Scope

LOG_GROUP = "/aws/sagemaker/TransformJobs"
DEFAULT_PAYLOAD_MB = 6
DEFAULT_TIMEOUT_S = 600
DEFAULT_RETRIES = 3
MAX_QUOTED_CHARACTERS = 500


class TransformJobs(Jobs):
    """Every transform job, and the threads of those that run."""

    kind = TRANSFORM_JOB

    def create(self, call: Call) -> Members:
        check_supported(call.params)
        model = self._catalogue.get(MODEL, call.scope, call.params["ModelName"])
        container = container_to_serve(self._catalogue, call.scope, model)
        job = self._catalogue.create(TRANSFORM_JOB, call, TransformJobStatus="InProgress")
        self._changes.publish(TRANSFORM_JOB, call.scope, job)

        def work(run: Run, role: ExecutionRole) -> None:
            job["TransformStartTime"] = time.time()
            self._transform(job, container, role=role, run=run)
            self._end(call.scope, job, "Stopped" if run.stopping else "Completed")

        self._start(call.scope, job, work, role_arn=model["ExecutionRoleArn"])
        return job

    def _transform(self, job: Members, container: Members, *, role: ExecutionRole, run: Run) -> None:
        s3 = role.client("s3")
        source = job["TransformInput"]["DataSource"]["S3DataSource"]
        keys = transfer.list_keys(s3, source["S3Uri"])
        if not keys:
            raise ClientFaultError(f"No S3 objects found under {source['S3Uri']}.")
        server = start_server(
            self._platform,
            {**container, "Environment": environment(job, container)},
            name=f"transform-job/{job['TransformJobName']}",
            role=role,
            log_group=LOG_GROUP,
            log_stream=f"{job['TransformJobName']}/{instance_id()}",
        )
        try:
            server.wait_until_healthy(
                f"transform job {job['TransformJobName']}",
                timeout_s=DEFAULT_HEALTH_TIMEOUT_S,
                cancelled=run.stopping_event,
            )
            bucket, prefix = transfer.split_uri(source["S3Uri"])
            for key in keys:
                name = transfer.name_below(key, prefix)
                self._transform_object(s3, job, server, uri=f"s3://{bucket}/{key}", name=name, run=run)
        finally:
            server.stop()

    def _transform_object(
        self, s3: Any, job: Members, server: ModelServer, *, uri: str, name: str, run: Run
    ) -> None:
        output = job["TransformOutput"]
        with tempfile.TemporaryDirectory() as directory:
            source, target = Path(directory) / "in", Path(directory) / "out"
            transfer.download_object(s3, uri, source)
            content = source.read_bytes()
            if job["TransformInput"].get("CompressionType") == "Gzip":
                content = gzip.decompress(content)
            answers = answer_all(server, job, content, uri=uri, cancelled=run.stopping_event)
            target.write_bytes(assemble(answers, output))
            transfer.upload_file(
                s3,
                target,
                transfer.join_uri(output["S3OutputPath"], f"{name}.out"),
                kms_key_id=output.get("KmsKeyId"),
            )

    def _end(self, scope: Scope, job: Members, status: str, *, reason: str | None = None) -> None:
        if reason is not None:
            job["FailureReason"] = reason
        job["TransformEndTime"] = time.time()
        self._enter(scope, job, status)

    def _enter(self, scope: Scope, job: Members, status: str) -> None:
        with self._catalogue.store.lock:
            job["TransformJobStatus"] = status
        self._changes.publish(TRANSFORM_JOB, scope, job)


def check_supported(params: Members) -> None:
    """Raises: AwsError for what this local AWS does not do."""
    source = params["TransformInput"]
    unsupported = {
        "DataProcessing": params.get("DataProcessing", {}).get("JoinSource", "None") != "None"
        or {"InputFilter", "OutputFilter"} & params.get("DataProcessing", {}).keys(),
        "DataCaptureConfig": "DataCaptureConfig" in params,
        "S3DataType ManifestFile": source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix",
        "SplitType RecordIO or TFRecord": source.get("SplitType") in ("RecordIO", "TFRecord"),
    }
    for feature, asked in unsupported.items():
        if asked:
            raise AwsError(
                "NotImplemented", f"The local AWS does not cover {feature} of a transform job.", status=501
            )


def environment(job: Members, container: Members) -> dict[str, str]:
    """The variables of model and job, and those that tell a server that it runs a batch."""
    return {
        **container.get("Environment", {}),
        **job.get("Environment", {}),
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(job.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)),
        "SAGEMAKER_BATCH_STRATEGY": job.get("BatchStrategy", "MultiRecord"),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(job.get("MaxConcurrentTransforms", 1)),
    }


def split(content: bytes, job: Members) -> Iterator[bytes]:
    """The request bodies of one object: the whole, one per line, or as many lines as fit into a payload."""
    limit_bytes = job.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB) * 1024 * 1024
    if job["TransformInput"].get("SplitType", "None") == "None":
        yield content
        return
    batch = b""
    for line in content.splitlines(keepends=True):
        if job.get("BatchStrategy", "MultiRecord") == "SingleRecord":
            yield line
        elif batch and len(batch) + len(line) > limit_bytes:
            yield batch
            batch = line
        else:
            batch += line
    if batch:
        yield batch


def answer_all(
    server: ModelServer, job: Members, content: bytes, *, uri: str, cancelled: threading.Event
) -> list[bytes]:
    """The server's answers to an object, in order. Raises: ClientFaultError at the first that is refused."""
    headers = {
        "Content-Type": job["TransformInput"].get("ContentType", "application/octet-stream"),
        "Accept": job["TransformOutput"].get("Accept", "*/*"),
    }

    def answer(body: bytes) -> bytes:
        if cancelled.is_set():
            raise ClientFaultError("The job was stopped.")
        return _answer(server, body, headers, job=job, uri=uri)

    with ThreadPoolExecutor(job.get("MaxConcurrentTransforms") or 1) as pool:
        return list(pool.map(answer, split(content, job)))


def assemble(answers: list[bytes], output: Members) -> bytes:
    """The content of an output object."""
    if output.get("AssembleWith") != "Line":
        return b"".join(answers)
    return b"".join(answer if answer.endswith(b"\n") else answer + b"\n" for answer in answers)


def _answer(server: ModelServer, body: bytes, headers: dict[str, str], *, job: Members, uri: str) -> bytes:
    config = job.get("ModelClientConfig", {})
    timeout_s = config.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT_S)
    limit_mb = job.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)
    if limit_mb and len(body) > limit_mb * 1024 * 1024:
        raise ClientFaultError(f"{uri}: a payload is larger than MaxPayloadInMB {limit_mb}.")
    for _ in range(1 + config.get("InvocationsMaxRetries", DEFAULT_RETRIES)):
        reply = server.invoke(body, headers, timeout_s=timeout_s)
        if reply.status == 200:
            return reply.body
        if 400 <= reply.status < 500:
            break
    quoted = reply.body.decode(errors="replace")[:MAX_QUOTED_CHARACTERS]
    raise ClientFaultError(f"{uri}: the model server answered {reply.status}: {quoted}")
