"""The VPC of a job or a model: held against what EC2 has, and entered in the execution role's name.

Source: Amazon SageMaker developer guide, "Give SageMaker AI Training Jobs Access to Resources in Your Amazon
VPC" and "SageMaker AI Roles" (what a role needs for a VPC). The texts of refusals are EC2's own.
"""

from __future__ import annotations

import logging
from types import TracebackType

from botocore.exceptions import ClientError
from ministack.services import ec2

from localaws.errors import ValidationError
from localaws.mends.role_sessions import RoleError
from localaws.runtime.errors import ClientFaultError
from localaws.sagemaker.roles import ExecutionRole
from localaws.schema import Members

logger = logging.getLogger(__name__)


class Interfaces:
    """The network interfaces of some instances, by turns in each subnet; none without a VPC."""

    def __init__(self, role: ExecutionRole, vpc: Members | None, *, instances: int, owner: str):
        self._role = role
        self._vpc = vpc
        self._instances = instances
        self._owner = owner
        self._made: list[str] = []

    def __enter__(self) -> None:
        self.make()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def make(self) -> None:
        """Raises: ClientFaultError when the role may not, RoleError when it is gone."""
        if self._vpc is None:
            return
        client = self._role.client("ec2")
        subnets, groups = self._vpc["Subnets"], self._vpc["SecurityGroupIds"]
        try:
            client.describe_subnets(SubnetIds=subnets)
            client.describe_security_groups(GroupIds=groups)
            for number in range(self._instances):
                made = client.create_network_interface(
                    SubnetId=subnets[number % len(subnets)], Groups=groups, Description=self._owner
                )
                self._made.append(made["NetworkInterface"]["NetworkInterfaceId"])
        except ClientError as error:
            self.remove()
            raise ClientFaultError(f"{self._owner} cannot enter its VPC. {error}") from error

    def remove(self) -> None:
        """What cannot be removed stays, as on AWS, where it blocks the deletion of its subnet."""
        while self._made:
            interface = self._made.pop()
            try:
                self._role.client("ec2").delete_network_interface(NetworkInterfaceId=interface)
            except (ClientError, RoleError):
                logger.exception("network interface %s of %s is left over", interface, self._owner)


def check_vpc(vpc: Members | None) -> None:
    """Raises: ValidationError unless every subnet and security group exists, all in one VPC."""
    if vpc is None:
        return
    homes = {_home("subnet", ec2._subnets, name) for name in vpc["Subnets"]}
    homes |= {_home("security group", ec2._security_groups, name) for name in vpc["SecurityGroupIds"]}
    if len(homes) > 1:
        raise ValidationError(f"Subnets and security groups belong to different networks: {sorted(homes)}.")


def _home(kind: str, known: Members, name: str) -> str:
    if name not in known:
        noun = "subnet ID" if kind == "subnet" else kind
        raise ValidationError(f"The {noun} '{name}' does not exist")
    return str(known[name]["VpcId"])
