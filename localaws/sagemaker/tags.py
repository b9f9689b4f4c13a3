"""Tags of SageMaker resources, here and in the Resource Groups Tagging API."""

from __future__ import annotations

from collections.abc import Iterator

from localaws.errors import AwsError
from localaws.sagemaker.listing import page
from localaws.schema import Members
from localaws.service import Call, Operation, current_scope
from localaws.store import Scope, Store

DEFAULT_PAGE = 50


def operations(store: Store) -> dict[str, Operation]:
    """AddTags, ListTags and DeleteTags."""

    def add(call: Call) -> Members:
        tags = _tags(store, call.scope, call.params["ResourceArn"])
        tags.update({tag["Key"]: tag["Value"] for tag in call.params["Tags"]})
        return {"Tags": _members(tags)}

    def remove(call: Call) -> Members:
        tags = _tags(store, call.scope, call.params["ResourceArn"])
        for key in call.params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def list_all(call: Call) -> Members:
        tags = _members(_tags(store, call.scope, call.params["ResourceArn"]))
        return page(tags, call.params, member="Tags", default=DEFAULT_PAGE)

    return {"AddTags": add, "DeleteTags": remove, "ListTags": list_all}


def register_with_tagging(store: Store) -> None:
    """Shows SageMaker's resources in ministack's Resource Groups Tagging API and to aws:ResourceTag."""
    from ministack.services import tagging

    def collect() -> Iterator[tuple[str, list[Members]]]:
        for arn, tags in store.tagged(current_scope()):
            yield arn, _members(tags)

    def write(_spec: object, arn: str, tags: dict[str, str]) -> None:
        _known(arn).update(tags)

    def remove(_spec: object, arn: str, keys: list[str]) -> None:
        for key in keys:
            _known(arn).pop(key, None)

    def _known(arn: str) -> dict[str, str]:
        tags = store.tags(current_scope(), arn)
        if tags is None:
            raise tagging._ResourceNotFound(arn)
        return tags

    tagging._COLLECTORS["sagemaker"] = collect
    tagging._RESOURCE_TAG_COLLECTORS["sagemaker"] = collect
    tagging._WRITERS["sagemaker"] = write
    tagging._REMOVERS["sagemaker"] = remove


def _tags(store: Store, scope: Scope, arn: str) -> dict[str, str]:
    tags = store.tags(scope, arn)
    if tags is None:
        raise AwsError("ResourceNotFound", f"Requested resource not found: {arn}")
    return tags


def _members(tags: dict[str, str]) -> list[Members]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
