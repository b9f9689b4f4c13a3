"""A role that is held to networks with its project's tag makes and changes those, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import ACCOUNT, REGION, Server, allow, mended, plain, policy, unique

OWN_EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}:*"
NEW = {"StringEquals": {"aws:RequestTag/Project": "own"}}
OLD = {"StringEquals": {"aws:ResourceTag/Project": "own"}}


def owner(server: Server) -> Any:
    """EC2 for a user who may make and change what bears the tag Project=own."""
    iam, name = server.client("iam"), unique("user")
    actions = ["ec2:CreateVpc", "ec2:CreateSubnet", "ec2:DeleteSubnet", "ec2:CreateSecurityGroup"]
    statements = [
        {**allow(*actions), "Condition": NEW},
        {**allow(*actions, resource=OWN_EC2), "Condition": OLD},
    ]
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    return server.client("ec2", iam.create_access_key(UserName=name)["AccessKey"])


def tagged(kind: str, project: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Project", "Value": project}]}]


def create_vpc(client: Any, project: str = "own") -> str:
    answer = client.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tagged("vpc", project))
    return str(answer["Vpc"]["VpcId"])


def create_subnet(client: Any, vpc: str, project: str = "own") -> str:
    answer = client.create_subnet(
        VpcId=vpc, CidrBlock="10.9.1.0/24", TagSpecifications=tagged("subnet", project)
    )
    return str(answer["Subnet"]["SubnetId"])


def test_ministack_reads_no_tags_of_what_is_made() -> None:
    with pytest.raises(ClientError, match="ec2:CreateVpc"):
        create_vpc(owner(plain()))


def test_what_bears_the_tag_is_made_and_changed() -> None:
    client = owner(mended())

    subnet = create_subnet(client, create_vpc(client))

    client.delete_subnet(SubnetId=subnet)


def test_what_bears_another_tag_is_not_made() -> None:
    with pytest.raises(ClientError, match="ec2:CreateVpc"):
        create_vpc(owner(mended()), "foreign")


def test_the_tag_of_the_new_does_not_stand_for_the_network_it_is_made_in() -> None:
    foreign = create_vpc(mended().client("ec2"), "foreign")

    with pytest.raises(ClientError, match="ec2:CreateSubnet"):
        create_subnet(owner(mended()), foreign)


def test_what_bears_another_tag_is_not_changed() -> None:
    root = mended().client("ec2")
    foreign = create_subnet(root, create_vpc(root, "foreign"), "foreign")

    with pytest.raises(ClientError, match="ec2:DeleteSubnet"):
        owner(mended()).delete_subnet(SubnetId=foreign)


def delete_interface(server: Server, *, own_vpc: bool) -> None:
    """Deletes an interface as a user who may do so within one VPC."""
    root = server.client("ec2")
    vpc = create_vpc(root)
    subnet = create_subnet(root, vpc if own_vpc else create_vpc(root))
    interface = root.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    within = {"ArnEquals": {"ec2:Vpc": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{vpc}"}}
    iam, name = server.client("iam"), unique("user")
    iam.create_user(UserName=name)
    own = {**allow("ec2:DeleteNetworkInterface", resource=OWN_EC2), "Condition": within}
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(own))
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    server.client("ec2", keys).delete_network_interface(NetworkInterfaceId=interface)


def test_ministack_knows_no_vpc_of_an_interface() -> None:
    with pytest.raises(ClientError, match="ec2:DeleteNetworkInterface"):
        delete_interface(plain(), own_vpc=True)


def test_an_interface_belongs_to_its_vpc() -> None:
    delete_interface(mended(), own_vpc=True)

    with pytest.raises(ClientError, match="ec2:DeleteNetworkInterface"):
        delete_interface(mended(), own_vpc=False)
