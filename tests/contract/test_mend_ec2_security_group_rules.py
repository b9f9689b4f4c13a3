"""A security group's rule for a prefix list reads back with the list and its description."""

from __future__ import annotations

from typing import Any

from mend_servers import Server, mended, plain, unique


def rule_for_s3(server: Server) -> dict[str, Any]:
    """A new rule for S3's prefix list, described, and the list."""
    ec2 = server.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName=unique("group"), Description="test", VpcId=vpc)["GroupId"]
    lists = ec2.describe_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    )
    s3 = lists["PrefixLists"][0]["PrefixListId"]
    made = ec2.authorize_security_group_egress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "PrefixListIds": [{"PrefixListId": s3, "Description": "S3"}],
            }
        ],
    )["SecurityGroupRules"][0]
    (found,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[made["SecurityGroupRuleId"]])[
        "SecurityGroupRules"
    ]
    return {"list": s3, **found}


def test_ministack_still_forgets_the_list() -> None:
    assert "PrefixListId" not in rule_for_s3(plain())


def test_the_list_is_read_back() -> None:
    rule = rule_for_s3(mended())

    assert rule["PrefixListId"] == rule["list"]
    assert (rule["Description"], rule["FromPort"], rule["IsEgress"]) == ("S3", 443, True)


def ways_out_after_revoking(server: Server) -> list[Any]:
    """What is left of a new group's rules once Terraform has revoked the one for everything, as it does."""
    ec2 = server.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName=unique("group"), Description="test", VpcId=vpc)["GroupId"]
    everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    left: list[Any] = found["IpPermissionsEgress"]
    return left


def test_ministack_still_keeps_the_rule_for_everything() -> None:
    assert len(ways_out_after_revoking(plain())) == 1


def test_the_rule_for_everything_is_revoked() -> None:
    assert ways_out_after_revoking(mended()) == []
