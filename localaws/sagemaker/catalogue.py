"""Resources that SageMaker keeps: created, described, listed, updated and deleted by name."""

from __future__ import annotations

import copy
import time

from localaws.sagemaker.kinds import Kind
from localaws.sagemaker.listing import list_page
from localaws.schema import Members
from localaws.service import Call, Operation
from localaws.store import Scope, Store


class Catalogue:
    """Every kept resource of every kind, with its tags."""

    def __init__(self, store: Store):
        self.store = store

    def create(self, kind: Kind, call: Call, **state: object) -> Members:
        """The new resource: what was asked for, and `state`. Raises: AwsError when the name is taken."""
        name = call.params[kind.name_key]
        with self.store.lock:
            if self.store.find(call.scope, kind.name, name) is not None:
                raise kind.taken(call.scope, name)
            arn = kind.arn(call.scope, name)
            members = {**copy.deepcopy(call.params), kind.arn_key: arn, **times(), **state}
            self.store.add(call.scope, kind.name, name, members)
            self.tag(call.scope, arn, members.pop("Tags", []))
        return members

    def get(self, kind: Kind, scope: Scope, name_or_arn: str) -> Members:
        """A resource. Raises: AwsError in AWS's words when there is none."""
        name = name_or_arn.rpartition("/")[2]
        members = self.store.find(scope, kind.name, name)
        if members is None:
            raise kind.not_found(scope, name)
        return members

    def remove(self, kind: Kind, scope: Scope, name_or_arn: str) -> Members:
        """The resource that was removed, its tags gone with it."""
        with self.store.lock:
            members = self.get(kind, scope, name_or_arn)
            self.store.remove(scope, kind.name, members[kind.name_key])
            self.store.remove_tags(scope, members[kind.arn_key])
        return members

    def tag(self, scope: Scope, arn: str, tags: list[Members]) -> None:
        """Makes a new resource known to tagging, with the tags it was created with."""
        self.store.add_tags(scope, arn, {tag["Key"]: tag["Value"] for tag in tags})

    def operations(self, kind: Kind) -> dict[str, Operation]:
        """The plain operations of a kind; callers replace those that do more."""

        def create(call: Call) -> Members:
            return {kind.arn_key: self.create(kind, call)[kind.arn_key]}

        def describe(call: Call) -> Members:
            return self.get(kind, call.scope, call.params[kind.name_key])

        def update(call: Call) -> Members:
            with self.store.lock:
                members = self.get(kind, call.scope, call.params[kind.name_key])
                members.update(copy.deepcopy(call.params), LastModifiedTime=time.time())
            return members

        def delete(call: Call) -> Members:
            return self.remove(kind, call.scope, call.params[kind.name_key])

        def list_all(call: Call) -> Members:
            with self.store.lock:
                return list_page(kind, self.store.all(call.scope, kind.name), call.params)

        return {
            f"Create{kind.name}": create,
            f"Describe{kind.name}": describe,
            f"Update{kind.name}": update,
            f"Delete{kind.name}": delete,
            kind.list_operation: list_all,
        }


def times() -> Members:
    """Both times of a resource that is made now."""
    now = time.time()
    return {"CreationTime": now, "LastModifiedTime": now}
