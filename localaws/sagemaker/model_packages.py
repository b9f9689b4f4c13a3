"""The model registry: groups, and packages numbered inside a group."""

from __future__ import annotations

import copy
import time

from localaws.errors import AwsError, ValidationError
from localaws.sagemaker.catalogue import Catalogue, times
from localaws.sagemaker.events import StateChanges
from localaws.sagemaker.kinds import MODEL_PACKAGE, MODEL_PACKAGE_GROUP
from localaws.sagemaker.listing import list_page
from localaws.schema import Members
from localaws.service import Call, Operation
from localaws.store import Scope

_REPLACED = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


class ModelPackages:
    """Model package groups and their packages."""

    def __init__(self, catalogue: Catalogue, changes: StateChanges):
        self._catalogue = catalogue
        self._store = catalogue.store
        self._changes = changes

    def operations(self) -> dict[str, Operation]:
        groups = self._catalogue.operations(MODEL_PACKAGE_GROUP)
        del groups["UpdateModelPackageGroup"]
        return {
            **groups,
            "CreateModelPackageGroup": self.create_group,
            "DeleteModelPackageGroup": self.delete_group,
            "CreateModelPackage": self.create,
            "DescribeModelPackage": self.describe,
            "UpdateModelPackage": self.update,
            "DeleteModelPackage": self.delete,
            "ListModelPackages": self.list_packages,
        }

    def create_group(self, call: Call) -> Members:
        return self._catalogue.create(
            MODEL_PACKAGE_GROUP, call, ModelPackageGroupStatus="Completed", CreatedBy=user_context(call)
        )

    def delete_group(self, call: Call) -> Members:
        name = call.params["ModelPackageGroupName"].rpartition("/")[2]
        if self._in_group(call.scope, name):
            raise AwsError("ConflictException", f"Model package group {name} still contains model packages.")
        return self._catalogue.remove(MODEL_PACKAGE_GROUP, call.scope, name)

    def create(self, call: Call) -> Members:
        """A new version in its group, or the package that the same client token made."""
        params = copy.deepcopy(call.params)
        if ("ModelPackageGroupName" in params) == ("ModelPackageName" in params):
            raise ValidationError("Either ModelPackageName or ModelPackageGroupName is required.")
        with self._store.lock:
            earlier = self._with_token(call.scope, params.get("ClientToken"))
            if earlier is not None:
                return earlier
            package = self._numbered(call.scope, params)
            package.update(
                ModelPackageStatus="Completed",
                ModelPackageStatusDetails={"ValidationStatuses": [], "ImageScanStatuses": []},
                CertifyForMarketplace=params.get("CertifyForMarketplace", False),
                ModelApprovalStatus=params.get("ModelApprovalStatus", "PendingManualApproval"),
                CreatedBy=user_context(call),
                **times(),
            )
            name = package["ModelPackageName"]
            if self._store.find(call.scope, MODEL_PACKAGE.name, name) is not None:
                raise MODEL_PACKAGE.taken(call.scope, name)
            self._store.add(call.scope, MODEL_PACKAGE.name, name, package)
            self._catalogue.tag(call.scope, package["ModelPackageArn"], package.pop("Tags", []))
        self._changes.publish(MODEL_PACKAGE, call.scope, package)
        return package

    def describe(self, call: Call) -> Members:
        return self._find(call.scope, call.params["ModelPackageName"])

    def update(self, call: Call) -> Members:
        params = copy.deepcopy(call.params)
        with self._store.lock:
            package = self._find(call.scope, params["ModelPackageArn"])
            package.update({name: params[name] for name in _REPLACED if name in params})
            _merge_properties(package, params)
            if "AdditionalInferenceSpecificationsToAdd" in params:
                specifications = package.setdefault("AdditionalInferenceSpecifications", [])
                specifications.extend(params["AdditionalInferenceSpecificationsToAdd"])
            package.update(LastModifiedTime=time.time(), LastModifiedBy=user_context(call))
        self._changes.publish(MODEL_PACKAGE, call.scope, package)
        return package

    def delete(self, call: Call) -> Members:
        with self._store.lock:
            package = self._find(call.scope, call.params["ModelPackageName"])
            self._store.remove(call.scope, MODEL_PACKAGE.name, package["ModelPackageName"])
            self._store.remove_tags(call.scope, package["ModelPackageArn"])
        return {}

    def list_packages(self, call: Call) -> Members:
        group = call.params.get("ModelPackageGroupName", "").rpartition("/")[2]
        approval = call.params.get("ModelApprovalStatus")
        with self._store.lock:
            packages = self._in_group(call.scope, group) if group else self._all(call.scope)
            chosen = [p for p in packages if approval in (None, p["ModelApprovalStatus"])]
            return list_page(MODEL_PACKAGE, chosen, call.params)

    def _numbered(self, scope: Scope, params: Members) -> Members:
        if "ModelPackageName" in params:
            return {**params, "ModelPackageArn": MODEL_PACKAGE.arn(scope, params["ModelPackageName"])}
        group = self._catalogue.get(MODEL_PACKAGE_GROUP, scope, params["ModelPackageGroupName"])
        # The number of a deleted version is not given again, so the group counts.
        version = group["_versions"] = group.get("_versions", 0) + 1
        name = f"{group['ModelPackageGroupName']}/{version}"
        return {
            **params,
            "ModelPackageGroupName": group["ModelPackageGroupName"],
            "ModelPackageVersion": version,
            "ModelPackageName": name,
            "ModelPackageArn": MODEL_PACKAGE.arn(scope, name),
        }

    def _find(self, scope: Scope, name_or_arn: str) -> Members:
        name = name_or_arn.partition(":model-package/")[2] or name_or_arn
        package = self._store.find(scope, MODEL_PACKAGE.name, name)
        if package is None:
            raise MODEL_PACKAGE.not_found(scope, name)
        return package

    def _all(self, scope: Scope) -> list[Members]:
        return self._store.all(scope, MODEL_PACKAGE.name)

    def _in_group(self, scope: Scope, group: str) -> list[Members]:
        return [p for p in self._all(scope) if p.get("ModelPackageGroupName") == group]

    def _with_token(self, scope: Scope, token: str | None) -> Members | None:
        return next((p for p in self._all(scope) if token and p.get("ClientToken") == token), None)


def _merge_properties(package: Members, params: Members) -> None:
    properties = package.get("CustomerMetadataProperties", {})
    removed = set(params.get("CustomerMetadataPropertiesToRemove", []))
    merged = {**properties, **params.get("CustomerMetadataProperties", {})}
    package["CustomerMetadataProperties"] = {k: v for k, v in merged.items() if k not in removed}


def user_context(call: Call) -> Members:
    """Who made or changed a resource, as `CreatedBy` shows it."""
    principal = call.caller_arn.rpartition(":")[2].rpartition("/")[2]
    return {"IamIdentity": {"Arn": call.caller_arn, "PrincipalId": principal}}
