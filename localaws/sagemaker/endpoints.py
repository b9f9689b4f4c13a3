"""Endpoints: created, updated blue/green, deleted, described.

Source: Amazon SageMaker API reference, CreateEndpoint, UpdateEndpoint, DescribeEndpoint, DeleteEndpoint.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable

from ministack.core.responses import request_scope

from localaws.autoscaling.service import Autoscaling
from localaws.errors import AwsError, ValidationError
from localaws.mends.role_sessions import RoleError
from localaws.runtime.errors import JobError
from localaws.runtime.platform import Platform
from localaws.sagemaker.capture import Capture
from localaws.sagemaker.catalogue import Catalogue
from localaws.sagemaker.deployments import LiveEndpoint, RolledBackError
from localaws.sagemaker.events import StateChanges
from localaws.sagemaker.fleets import Fleet, each, start_fleet
from localaws.sagemaker.kinds import ENDPOINT, ENDPOINT_CONFIG, MODEL
from localaws.sagemaker.models import container_to_serve, variants_of
from localaws.sagemaker.roles import ExecutionRole
from localaws.sagemaker.runs import SHUTDOWN_GRACE_S
from localaws.sagemaker.servers import STOP_GRACE_S
from localaws.sagemaker.traffic import Rollout, plan_rollout
from localaws.schema import Members
from localaws.service import Call, Operation
from localaws.store import Scope

logger = logging.getLogger(__name__)

SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")


class Endpoints:
    """Every endpoint, and what runs for it."""

    def __init__(self, catalogue: Catalogue, changes: StateChanges, platform: Platform, scaling: Autoscaling):
        self._catalogue = catalogue
        self._changes = changes
        self._platform = platform
        self._scaling = scaling
        self._live: dict[tuple[Scope, str], LiveEndpoint] = {}

    def operations(self) -> dict[str, Operation]:
        kept = self._catalogue.operations(ENDPOINT)
        return {
            "CreateEndpoint": self.create,
            "UpdateEndpoint": self.update,
            "UpdateEndpointWeightsAndCapacities": self.update_weights,
            "DeleteEndpoint": self.delete,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": kept["ListEndpoints"],
        }

    def find_live(self, scope: Scope, name: str) -> LiveEndpoint | None:
        """The endpoint that may answer requests."""
        return self._live.get((scope, name))

    def create(self, call: Call) -> Members:
        config = self._config(call.scope, call.params["EndpointConfigName"])
        plan_rollout(call.params.get("DeploymentConfig"), instances=instances_of(config))
        endpoint = self._catalogue.create(ENDPOINT, call, EndpointStatus="Creating")
        endpoint["_DeploymentConfig"] = endpoint.pop("DeploymentConfig", None)
        self._changes.publish(ENDPOINT, call.scope, endpoint)
        self._live[call.scope, endpoint["EndpointName"]] = LiveEndpoint()
        self._in_background(call.scope, endpoint, lambda: self._bring_up(call.scope, endpoint, config))
        return endpoint

    def update(self, call: Call) -> Members:
        config = self._config(call.scope, call.params["EndpointConfigName"])
        with self._catalogue.store.lock:
            endpoint = self._in_service(call.scope, call.params["EndpointName"])
            self._check_scaling(call.scope, endpoint, config)
            deployment = call.params.get("DeploymentConfig")
            if call.params.get("RetainDeploymentConfig"):
                deployment = endpoint["_DeploymentConfig"]
            rollout = plan_rollout(deployment, instances=instances_of(config))
            if call.params.get("RetainAllVariantProperties"):
                excluded = call.params.get("ExcludeRetainedVariantProperties", [])
                config = self._with_retained(call.scope, endpoint, config, excluded)
            endpoint["_DeploymentConfig"] = deployment
            if deployment:
                endpoint["LastDeploymentConfig"] = deployment
            endpoint["PendingDeploymentSummary"] = {
                "EndpointConfigName": config["EndpointConfigName"],
                "StartTime": time.time(),
            }
            endpoint.pop("FailureReason", None)
            self._enter(call.scope, endpoint, "Updating")
        self._in_background(
            call.scope, endpoint, lambda: self._replace(call.scope, endpoint, config, rollout)
        )
        return endpoint

    def update_weights(self, call: Call) -> Members:
        with self._catalogue.store.lock:
            endpoint = self._in_service(call.scope, call.params["EndpointName"])
            fleet = self._live[call.scope, endpoint["EndpointName"]].fleet
            variants = {variant.name: variant for variant in fleet.variants} if fleet else {}
            changes = call.params["DesiredWeightsAndCapacities"]
            for change in changes:
                if change["VariantName"] not in variants:
                    raise ValidationError(f'Could not find variant "{change["VariantName"]}".')
            for change in changes:
                variant = variants[change["VariantName"]]
                variant.weight = change.get("DesiredWeight", variant.weight)
                variant.instance_count = change.get("DesiredInstanceCount", variant.instance_count)
            # The new weights hold at once; the status still goes through Updating, as callers wait for that.
            self._enter(call.scope, endpoint, "Updating")
        self._in_background(call.scope, endpoint, lambda: self._enter(call.scope, endpoint, "InService"))
        return endpoint

    def delete(self, call: Call) -> Members:
        name = call.params["EndpointName"]
        with self._catalogue.store.lock:
            endpoint = self._settled(call.scope, name)
            self._enter(call.scope, endpoint, "Deleting")
        live = self._live.pop((call.scope, endpoint["EndpointName"]))
        self._scaling.forget_endpoint(call.scope, endpoint["EndpointName"])

        def remove() -> None:
            fleets = live.stop(grace_s=STOP_GRACE_S)
            for fleet in fleets:
                fleet.leave_network()
            self._catalogue.remove(ENDPOINT, call.scope, name)

        self._in_background(call.scope, endpoint, remove)
        return {}

    def describe(self, call: Call) -> Members:
        endpoint = self._catalogue.get(ENDPOINT, call.scope, call.params["EndpointName"])
        return {**endpoint, **self._variants(call.scope, endpoint["EndpointName"])}

    def shut_down(self) -> None:
        """Ends every endpoint's programs."""
        each(list(self._live.values()), lambda live: live.stop(grace_s=SHUTDOWN_GRACE_S))

    def _bring_up(self, scope: Scope, endpoint: Members, config: Members) -> None:
        live = self._live[scope, endpoint["EndpointName"]]
        try:
            fleet = self._start_fleet(scope, endpoint, config, live)
        except (JobError, RoleError, AwsError) as error:
            self._fail(scope, endpoint, "Failed", error)
            return
        live.start(fleet)
        self._start_capture(scope, endpoint, config, live)
        self._enter(scope, endpoint, "InService")

    def _replace(self, scope: Scope, endpoint: Members, config: Members, rollout: Rollout) -> None:
        live = self._live[scope, endpoint["EndpointName"]]
        try:
            fleet = self._start_fleet(scope, endpoint, config, live)
            live.replace(fleet, rollout, region=scope.region)
        except RolledBackError as error:
            self._enter(scope, endpoint, "RollingBack")
            self._fail(scope, endpoint, "InService", error)
            return
        except (JobError, RoleError, AwsError) as error:
            self._fail(scope, endpoint, "InService", error)
            return
        endpoint["EndpointConfigName"] = config["EndpointConfigName"]
        endpoint.pop("PendingDeploymentSummary", None)
        self._start_capture(scope, endpoint, config, live)
        self._enter(scope, endpoint, "InService")

    def _start_fleet(self, scope: Scope, endpoint: Members, config: Members, live: LiveEndpoint) -> Fleet:
        models = {}
        for variant in variants_of(config):
            model = self._catalogue.get(MODEL, scope, variant["ModelName"])
            container = container_to_serve(self._catalogue, scope, model)
            models[variant["ModelName"]] = (container, model["ExecutionRoleArn"], model.get("VpcConfig"))
        return start_fleet(
            self._platform,
            scope,
            config,
            endpoint=endpoint["EndpointName"],
            models=models,
            cancelled=live.cancelled,
        )

    def _start_capture(self, scope: Scope, endpoint: Members, config: Members, live: LiveEndpoint) -> None:
        before, live.capture = live.capture, None
        capture = config.get("DataCaptureConfig", {})
        endpoint.pop("DataCaptureConfig", None)
        if capture.get("EnableCapture"):
            model = self._catalogue.get(MODEL, scope, config["ProductionVariants"][0]["ModelName"])
            role = ExecutionRole(scope, model["ExecutionRoleArn"], session_name="SageMaker")
            live.capture = Capture(capture, endpoint=endpoint["EndpointName"], role=role)
            endpoint["DataCaptureConfig"] = {
                "EnableCapture": True,
                "CaptureStatus": "Started",
                "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                "DestinationS3Uri": capture["DestinationS3Uri"],
                "KmsKeyId": capture.get("KmsKeyId", ""),
            }
        if before is not None:
            before.close()

    def _fail(self, scope: Scope, endpoint: Members, status: str, error: Exception) -> None:
        reason = error.reason if isinstance(error, JobError) else str(error)
        # A failed update leaves the endpoint in service with a reason: SageMaker says InService all the same.
        endpoint["FailureReason"] = reason
        endpoint.pop("PendingDeploymentSummary", None)
        self._enter(scope, endpoint, status)

    def _enter(self, scope: Scope, endpoint: Members, status: str) -> None:
        with self._catalogue.store.lock:
            endpoint.update(EndpointStatus=status, LastModifiedTime=time.time())
        detail = {**endpoint, **self._variants(scope, endpoint["EndpointName"])}
        self._changes.publish(ENDPOINT, scope, detail)

    def _variants(self, scope: Scope, name: str) -> Members:
        live = self._live.get((scope, name))
        fleet = live.fleet if live else None
        if fleet is None:
            return {}
        members = {"ProductionVariants": [variant.summary() for variant in fleet.variants]}
        if fleet.shadows:
            members["ShadowProductionVariants"] = [variant.summary() for variant in fleet.shadows]
        return members

    def _config(self, scope: Scope, name: str) -> Members:
        return copy.deepcopy(self._catalogue.get(ENDPOINT_CONFIG, scope, name))

    def _settled(self, scope: Scope, name: str) -> Members:
        endpoint = self._catalogue.get(ENDPOINT, scope, name)
        if endpoint["EndpointStatus"] not in SETTLED:
            raise ValidationError(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
        return endpoint

    def _in_service(self, scope: Scope, name: str) -> Members:
        endpoint = self._settled(scope, name)
        if endpoint["EndpointStatus"] != "InService":
            raise ValidationError(
                f'Cannot update endpoint "{endpoint["EndpointArn"]}" in status {endpoint["EndpointStatus"]}; '
                "DeleteEndpoint is the only operation on it."
            )
        return endpoint

    def _check_scaling(self, scope: Scope, endpoint: Members, config: Members) -> None:
        """Raises: ValidationError when a variant that scales would go or change its instance type."""
        fleet = self._live[scope, endpoint["EndpointName"]].fleet
        before, after = instance_types(fleet.config) if fleet else {}, instance_types(config)
        changed = [
            name
            for name in self._scaling.scaling_variants(scope, endpoint["EndpointName"])
            if before.get(name) != after.get(name)
        ]
        if changed:
            raise ValidationError(
                f'The variant(s) "{changed}" must be deregistered as scalable target with AutoScaling before '
                "they can be removed or have their instance type updated."
            )

    def _with_retained(
        self, scope: Scope, endpoint: Members, config: Members, excluded: list[Members]
    ) -> Members:
        kinds = {item["VariantPropertyType"] for item in excluded}
        fleet = self._live[scope, endpoint["EndpointName"]].fleet
        for variant in config["ProductionVariants"]:
            current = fleet.choose(variant["VariantName"]) if fleet else None
            if current is not None and "DesiredWeight" not in kinds:
                variant["InitialVariantWeight"] = current.weight
            if current is not None and "DesiredInstanceCount" not in kinds:
                variant["InitialInstanceCount"] = current.instance_count
        return config

    def _in_background(self, scope: Scope, endpoint: Members, work: Callable[[], None]) -> None:
        def run() -> None:
            with request_scope(scope.account_id, scope.region):
                try:
                    work()
                except Exception as error:
                    logger.exception("endpoint %s broke the local AWS", endpoint["EndpointName"])
                    self._fail(scope, endpoint, "Failed", error)

        threading.Thread(target=run, name=f"endpoint/{endpoint['EndpointName']}", daemon=True).start()


def instance_types(config: Members) -> Members:
    """The instance type of each production variant."""
    return {variant["VariantName"]: variant.get("InstanceType") for variant in config["ProductionVariants"]}


def instances_of(config: Members) -> int:
    """How many instances a configuration asks for."""
    return sum(variant.get("InitialInstanceCount", 1) for variant in config["ProductionVariants"])
