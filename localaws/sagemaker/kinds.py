"""The kinds of SageMaker resources: how each is named, listed and missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from localaws.errors import AwsError, ValidationError
from localaws.store import Scope


@dataclass(frozen=True)
class Kind:
    """One kind. Member names are botocore's; `segment` is its part of an ARN."""

    name: str
    segment: str
    summaries: str
    name_member: str = ""
    arn_member: str = ""
    status_member: str = ""
    plural: str = ""
    missing: Literal["could-not-find", "does-not-exist", "not-found"] = "could-not-find"
    taken_code: Literal["ValidationException", "ResourceInUse"] = "ValidationException"

    @property
    def name_key(self) -> str:
        return self.name_member or f"{self.name}Name"

    @property
    def arn_key(self) -> str:
        return self.arn_member or f"{self.name}Arn"

    @property
    def status_key(self) -> str:
        return self.status_member or f"{self.name}Status"

    @property
    def list_operation(self) -> str:
        return f"List{self.plural or self.name + 's'}"

    def arn(self, scope: Scope, name: str) -> str:
        return f"arn:aws:sagemaker:{scope.region}:{scope.account_id}:{self.segment}/{name}"

    def not_found(self, scope: Scope, name: str) -> AwsError:
        """What AWS answers when there is no such resource; Terraform reads these texts."""
        return _MISSING[self.missing](self, self.arn(scope, name))

    def taken(self, scope: Scope, name: str) -> AwsError:
        """What AWS answers when the name is in use."""
        words = self.segment.replace("-", " ")
        return AwsError(self.taken_code, f'Cannot create already existing {words} "{self.arn(scope, name)}".')


def _could_not_find(kind: Kind, arn: str) -> AwsError:
    return ValidationError(f'Could not find {kind.segment.replace("-", " ")} "{arn}".')


def _does_not_exist(kind: Kind, arn: str) -> AwsError:
    return ValidationError(f"{kind.name} {arn} does not exist.")


def _not_found(_kind: Kind, arn: str) -> AwsError:
    return AwsError("ResourceNotFound", f"Requested resource not found: {arn}")


_MISSING: dict[str, Callable[[Kind, str], AwsError]] = {
    "could-not-find": _could_not_find,
    "does-not-exist": _does_not_exist,
    "not-found": _not_found,
}

MODEL = Kind("Model", "model", "Models")
ENDPOINT_CONFIG = Kind("EndpointConfig", "endpoint-config", "EndpointConfigs")
ENDPOINT = Kind("Endpoint", "endpoint", "Endpoints")
TRAINING_JOB = Kind(
    "TrainingJob", "training-job", "TrainingJobSummaries", missing="not-found", taken_code="ResourceInUse"
)
PROCESSING_JOB = Kind(
    "ProcessingJob",
    "processing-job",
    "ProcessingJobSummaries",
    missing="not-found",
    taken_code="ResourceInUse",
)
TRANSFORM_JOB = Kind(
    "TransformJob", "transform-job", "TransformJobSummaries", missing="not-found", taken_code="ResourceInUse"
)
MODEL_PACKAGE_GROUP = Kind(
    "ModelPackageGroup", "model-package-group", "ModelPackageGroupSummaryList", missing="does-not-exist"
)
MODEL_PACKAGE = Kind("ModelPackage", "model-package", "ModelPackageSummaryList", missing="does-not-exist")
PIPELINE = Kind("Pipeline", "pipeline", "PipelineSummaries", missing="not-found")
MONITORING_SCHEDULE = Kind(
    "MonitoringSchedule", "monitoring-schedule", "MonitoringScheduleSummaries", missing="not-found"
)
DATA_QUALITY_JOB_DEFINITION = Kind(
    "DataQualityJobDefinition",
    "data-quality-job-definition",
    "JobDefinitionSummaries",
    name_member="JobDefinitionName",
    arn_member="JobDefinitionArn",
    missing="not-found",
)
