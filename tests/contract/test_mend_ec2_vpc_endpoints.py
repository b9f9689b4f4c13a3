"""An interface endpoint reads back with its security groups, its private DNS and its policy."""

from __future__ import annotations

import json
from typing import Any

from mend_servers import REGION, Server, mended, plain

POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}


def endpoint(server: Server) -> dict[str, Any]:
    """A new endpoint, described."""
    ec2 = server.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="endpoint", Description="endpoint", VpcId=vpc)["GroupId"]
    created = ec2.create_vpc_endpoint(
        VpcId=vpc,
        VpcEndpointType="Interface",
        ServiceName=f"com.amazonaws.{REGION}.sagemaker.api",
        SecurityGroupIds=[group],
        PrivateDnsEnabled=True,
        PolicyDocument=json.dumps(POLICY),
    )["VpcEndpoint"]
    found: dict[str, Any] = describe(server, created["VpcEndpointId"])
    return {**found, "group": group}


def describe(server: Server, identity: str) -> Any:
    return server.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[identity])["VpcEndpoints"][0]


def test_ministack_still_forgets_them() -> None:
    assert not {"PolicyDocument", "PrivateDnsEnabled", "DnsOptions"} & endpoint(plain()).keys()


def test_groups_dns_and_policy_are_read_back() -> None:
    found = endpoint(mended())

    assert [group["GroupId"] for group in found["Groups"]] == [found["group"]]
    assert (found["PrivateDnsEnabled"], found["IpAddressType"]) == (True, "ipv4")
    assert json.loads(found["PolicyDocument"]) == POLICY


def test_changes_are_read_back() -> None:
    server = mended()
    found = endpoint(server)

    server.client("ec2").modify_vpc_endpoint(
        VpcEndpointId=found["VpcEndpointId"],
        RemoveSecurityGroupIds=[found["group"]],
        PrivateDnsEnabled=False,
        ResetPolicy=True,
    )
    changed = describe(server, found["VpcEndpointId"])

    assert (changed["Groups"], changed["PrivateDnsEnabled"]) == ([], False)
    assert json.loads(changed["PolicyDocument"])["Version"] == "2008-10-17"
