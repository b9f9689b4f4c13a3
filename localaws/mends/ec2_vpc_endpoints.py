"""EC2: an interface endpoint reads back with its security groups, its private DNS and its policy.

AWS: DescribeVpcEndpoints gives them, and the kind of addresses [API page of VpcEndpoint].
ministack: drops them at CreateVpcEndpoint and ModifyVpcEndpoint, so that Terraform plans them again.
Hook: `services/ec2.py::_ACTION_MAP` (CreateVpcEndpoint, ModifyVpcEndpoint) and `::_vpce_fields_xml`.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2

VERSION = "1.5.33"

DEFAULT_POLICY = (
    '{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}'
)


def apply() -> None:
    """Makes interface endpoints read back."""
    create, modify = ec2._ACTION_MAP["CreateVpcEndpoint"], ec2._ACTION_MAP["ModifyVpcEndpoint"]
    fields_xml = ec2._vpce_fields_xml

    def create_vpc_endpoint(params: dict[str, Any]) -> Any:
        before = set(ec2._vpc_endpoints.keys())
        create(params)
        (created,) = set(ec2._vpc_endpoints.keys()) - before
        endpoint = ec2._vpc_endpoints[created]
        endpoint["SecurityGroupIds"] = ec2._parse_member_list(params, "SecurityGroupId")
        endpoint["PrivateDnsEnabled"] = ec2._p(params, "PrivateDnsEnabled") == "true"
        endpoint["PolicyDocument"] = ec2._p(params, "PolicyDocument") or DEFAULT_POLICY
        return ec2._xml(200, "CreateVpcEndpointResponse", ec2._vpce_fields_xml(endpoint, tag="vpcEndpoint"))

    def modify_vpc_endpoint(params: dict[str, Any]) -> Any:
        answer = modify(params)
        endpoint = ec2._vpc_endpoints.get(ec2._p(params, "VpcEndpointId"))
        if endpoint is not None:
            _change(endpoint, params)
        return answer

    def endpoint_xml(endpoint: dict[str, Any], tag: str = "item") -> str:
        xml: str = fields_xml(endpoint, tag)
        end = xml.rindex(f"</{tag}>")
        return xml[:end] + _missing_xml(endpoint) + xml[end:]

    ec2._ACTION_MAP["CreateVpcEndpoint"] = create_vpc_endpoint
    ec2._ACTION_MAP["ModifyVpcEndpoint"] = modify_vpc_endpoint
    ec2._vpce_fields_xml = endpoint_xml


def _change(endpoint: dict[str, Any], params: dict[str, Any]) -> None:
    groups = endpoint.get("SecurityGroupIds", [])
    added = ec2._parse_member_list(params, "AddSecurityGroupId")
    removed = ec2._parse_member_list(params, "RemoveSecurityGroupId")
    endpoint["SecurityGroupIds"] = [group for group in groups if group not in removed] + added
    if ec2._p(params, "PrivateDnsEnabled"):
        endpoint["PrivateDnsEnabled"] = ec2._p(params, "PrivateDnsEnabled") == "true"
    if ec2._p(params, "PolicyDocument"):
        endpoint["PolicyDocument"] = ec2._p(params, "PolicyDocument")
    if ec2._p(params, "ResetPolicy") == "true":
        endpoint["PolicyDocument"] = DEFAULT_POLICY


def _missing_xml(endpoint: dict[str, Any]) -> str:
    groups = "".join(
        f"<item><groupId>{group}</groupId></item>" for group in endpoint.get("SecurityGroupIds", [])
    )
    private_dns = str(endpoint.get("PrivateDnsEnabled", False)).lower()
    addresses = ""
    if endpoint["VpcEndpointType"] == "Interface":
        dns = "<dnsOptions><dnsRecordIpType>ipv4</dnsRecordIpType></dnsOptions>"
        addresses = f"<ipAddressType>ipv4</ipAddressType>{dns}"
    return (
        f"<privateDnsEnabled>{private_dns}</privateDnsEnabled><groupSet>{groups}</groupSet>{addresses}"
        f"<policyDocument>{escape(endpoint.get('PolicyDocument', DEFAULT_POLICY))}</policyDocument>"
    )
