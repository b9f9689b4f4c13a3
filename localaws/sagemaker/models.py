"""Models and endpoint configurations: kept, and checked for what they name."""

from __future__ import annotations

from localaws.errors import AwsError, ValidationError
from localaws.sagemaker.catalogue import Catalogue
from localaws.sagemaker.kinds import ENDPOINT_CONFIG, MODEL, MODEL_PACKAGE
from localaws.sagemaker.networks import check_vpc
from localaws.sagemaker.roles import check_role
from localaws.schema import Members
from localaws.service import Call, Operation
from localaws.store import Scope


def operations(catalogue: Catalogue) -> dict[str, Operation]:
    """The operations of models and endpoint configurations."""

    def create_model(call: Call) -> Members:
        containers = containers_of(call.params)
        if len(containers) != 1:
            raise ValidationError("Give a model one container: PrimaryContainer, or one in Containers.")
        if "Image" not in containers[0] and "ModelPackageName" not in containers[0]:
            raise ValidationError("A model's container needs an Image or a ModelPackageName.")
        if "ExecutionRoleArn" not in call.params:
            raise ValidationError("ExecutionRoleArn is required by this local AWS.")
        check_role(call.params["ExecutionRoleArn"])
        check_vpc(call.params.get("VpcConfig"))
        return catalogue.create(MODEL, call)

    def create_endpoint_config(call: Call) -> Members:
        variants = variants_of(call.params)
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) < len(names):
            raise ValidationError("Two variants have the same name.")
        shadows = call.params.get("ShadowProductionVariants", [])
        if shadows and (len(shadows) > 1 or len(call.params["ProductionVariants"]) > 1):
            raise ValidationError(
                "With ShadowProductionVariants, give exactly one production variant and one shadow variant."
            )
        for variant in variants:
            _check_variant(catalogue, call.scope, variant)
        return catalogue.create(ENDPOINT_CONFIG, call)

    models, configs = catalogue.operations(MODEL), catalogue.operations(ENDPOINT_CONFIG)
    del models["UpdateModel"], configs["UpdateEndpointConfig"]
    return {
        **models,
        **configs,
        "CreateModel": create_model,
        "CreateEndpointConfig": create_endpoint_config,
    }


def containers_of(model: Members) -> list[Members]:
    """The containers of a model, however they are given."""
    primary = model.get("PrimaryContainer")
    return [primary] if primary else list(model.get("Containers", []))


def variants_of(config: Members) -> list[Members]:
    """Production and shadow variants."""
    return [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]


def container_to_serve(catalogue: Catalogue, scope: Scope, model: Members) -> Members:
    """Image, artefact and variables of a model; those of its model package when it names one."""
    (container,) = containers_of(model)
    if "ModelPackageName" not in container:
        return container
    name = container["ModelPackageName"].partition(":model-package/")[2] or container["ModelPackageName"]
    package = catalogue.store.find(scope, MODEL_PACKAGE.name, name)
    if package is None:
        raise MODEL_PACKAGE.not_found(scope, name)
    if package["ModelApprovalStatus"] != "Approved":
        raise ValidationError(f"Model package {name} is {package['ModelApprovalStatus']}, not Approved.")
    (packaged,) = package["InferenceSpecification"]["Containers"]
    environment = {**packaged.get("Environment", {}), **container.get("Environment", {})}
    return {**packaged, "Environment": environment}


def _check_variant(catalogue: Catalogue, scope: Scope, variant: Members) -> None:
    if "ModelName" not in variant:
        raise AwsError("NotImplemented", "The local AWS does not cover inference components.", status=501)
    catalogue.get(MODEL, scope, variant["ModelName"])
    if "ServerlessConfig" not in variant and not {"InstanceType", "InitialInstanceCount"} <= variant.keys():
        raise ValidationError(
            f"Variant {variant['VariantName']} needs InstanceType and InitialInstanceCount, or "
            "ServerlessConfig."
        )
