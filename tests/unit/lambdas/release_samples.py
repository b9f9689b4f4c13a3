"""One release and its serving settings, for the tests of the release machine's steps."""

from __future__ import annotations

from typing import Any

from pipeline.release import Release, Serving, Traffic

RUN_ID = "iris-0123456789abcdef"
DIGEST = "sha256:" + "a" * 64
TRAINING_DIGEST = "sha256:" + "d" * 64
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-iris@{DIGEST}"
PACKAGE_ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/mlops-staging-iris/1"

SERVING_SETTINGS: dict[str, Any] = {
    "execution_role_arn": "arn:aws:iam::123456789012:role/mlops-production-serving-iris",
    "instance_type": "ml.m5.large",
    "instance_count": 2,
    "variant_name": "main",
    "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "network_isolation": True,
    "subnet_ids": [],
    "security_group_ids": [],
    "startup_timeout_s": 300,
    "download_timeout_s": 600,
    "traffic": {"type": "ALL_AT_ONCE", "wait_s": 0, "size_percent": None},
    "termination_wait_s": 0,
    "max_runtime_s": 1800,
    "rollback_alarms": ["5xx"],
}

SERVING = Serving(
    execution_role_arn="arn:aws:iam::123456789012:role/mlops-production-serving-iris",
    instance_type="ml.m5.large",
    instance_count=2,
    variant_name="main",
    kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/1",
    network_isolation=True,
    subnet_ids=(),
    security_group_ids=(),
    startup_timeout_s=300,
    download_timeout_s=600,
    traffic=Traffic(type="ALL_AT_ONCE", wait_s=0, size_percent=None),
    termination_wait_s=0,
    max_runtime_s=1800,
    rollback_alarms=("5xx",),
)

RELEASE = Release(
    release_id=RUN_ID,
    run_id=RUN_ID,
    project="mlops",
    model="iris",
    environment="production",
    commit="0123abc",
    endpoint_name="mlops-production-iris",
    model_name=f"mlops-production-{RUN_ID}-00000000",
    endpoint_config_name=f"mlops-production-{RUN_ID}-00000000",
    image=IMAGE,
    image_digest=DIGEST,
    model_data_url=f"s3://production-models/releases/{RUN_ID}/model.tar.gz",
    model_sha256="b" * 64,
    model_package_arn=PACKAGE_ARN,
)
