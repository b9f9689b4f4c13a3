from __future__ import annotations

from typing import Any

from fake_aws import Client, FakeAws

from pipeline.adoption import Orphan, find_orphans, find_vanished, render_imports

ACCOUNT = "123456789012"
TAGS = {"Project": "mlops", "Environment": "staging", "ManagedBy": "terraform"}


def creation(kind: str, **after: Any) -> dict[str, Any]:
    change = {"actions": ["create"], "after": after}
    return {"address": f"{kind}.this", "type": kind, "change": change}


def find(aws: FakeAws, *creations: dict[str, Any], **plan: Any) -> list[Orphan]:
    return find_orphans(aws.as_aws(), {"resource_changes": list(creations), **plan}, account_id=ACCOUNT)


def tagged(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in {**TAGS, **tags}.items()]


def test_what_is_there_by_its_name_is_imported_by_what_terraform_wants() -> None:
    machine = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:mlops-release"
    aws = FakeAws(
        iam=Client({"list_roles": lambda: {"Roles": [{"RoleName": "mlops-claim"}]}}),
        stepfunctions=Client(
            {
                "list_state_machines": lambda: {
                    "stateMachines": [{"name": "mlops-release", "stateMachineArn": machine}]
                }
            }
        ),
    )

    found = find(
        aws,
        creation("aws_iam_role", name="mlops-claim"),
        creation("aws_sfn_state_machine", name="mlops-release"),
        creation("aws_dynamodb_table", name="mlops-runs"),
        creation("aws_iam_role_policy", name="mlops-claim"),
    )

    assert found == [
        Orphan("aws_iam_role.this", "mlops-claim"),
        Orphan("aws_sfn_state_machine.this", machine),
    ]
    assert render_imports(found)["import"][0] == {"to": "aws_iam_role.this", "id": "mlops-claim"}


def test_what_stands_in_the_state_at_another_address_is_no_orphan() -> None:
    aws = FakeAws(s3=Client({"list_buckets": lambda: {"Buckets": [{"Name": "mlops-data"}]}}))
    known = {"type": "aws_s3_bucket", "values": {"id": "mlops-data"}}
    module = {"child_modules": [{"resources": [known]}]}

    moved = find(
        aws,
        creation("aws_s3_bucket", bucket="mlops-data"),
        prior_state={"values": {"root_module": module}},
    )

    assert moved == []
    assert len(find(aws, creation("aws_s3_bucket", bucket="mlops-data"))) == 1


def test_a_network_is_ours_by_its_tags_and_what_is_in_it_by_the_networks_id() -> None:
    vpcs = [
        {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/20", "Tags": tagged(Name="another")},
        {"VpcId": "vpc-2", "CidrBlock": "10.0.0.0/20", "Tags": [*tagged(), {"Key": "aws:x", "Value": "y"}]},
    ]
    groups = [{"GroupId": "sg-1", "GroupName": "jobs", "VpcId": "vpc-2", "Tags": tagged()}]
    aws = FakeAws(
        ec2=Client(
            {
                "describe_vpcs": lambda: {"Vpcs": vpcs},
                "describe_security_groups": lambda: {"SecurityGroups": groups},
            }
        )
    )
    vpc = creation("aws_vpc", cidr_block="10.0.0.0/20", tags_all=TAGS)
    group = {"name": "jobs", "tags_all": TAGS}

    assert find(aws, vpc, creation("aws_security_group", **group)) == [Orphan("aws_vpc.this", "vpc-2")]
    assert find(aws, creation("aws_security_group", **group, vpc_id="vpc-2")) == [
        Orphan("aws_security_group.this", "sg-1")
    ]
    assert find(aws, creation("aws_security_group", **group, vpc_id="vpc-1")) == []


def test_a_key_is_ours_by_tags_and_description_unless_it_is_to_be_deleted() -> None:
    keys = {
        "arn:1": {"KeyId": "1", "KeyState": "PendingDeletion", "Description": "data"},
        "arn:2": {"KeyId": "2", "KeyState": "Enabled", "Description": "another"},
        "arn:3": {"KeyId": "3", "KeyState": "Enabled", "Description": "data"},
    }
    mappings = [{"ResourceARN": arn} for arn in keys]
    aws = FakeAws(
        kms=Client({"describe_key": lambda KeyId: {"KeyMetadata": keys[KeyId]}}),  # noqa: N803
        resourcegroupstaggingapi=Client({"get_resources": lambda **_: {"ResourceTagMappingList": mappings}}),
    )

    assert find(aws, creation("aws_kms_key", description="data", tags_all=TAGS)) == [
        Orphan("aws_kms_key.this", "3")
    ]


def test_a_rule_of_a_security_group_is_found_by_group_direction_and_description() -> None:
    rules = [
        {"SecurityGroupRuleId": "sgr-1", "GroupId": "sg-1", "IsEgress": False, "Description": "jobs"},
        {"SecurityGroupRuleId": "sgr-2", "GroupId": "sg-1", "IsEgress": True, "Description": "jobs"},
    ]
    aws = FakeAws(ec2=Client({"describe_security_group_rules": lambda: {"SecurityGroupRules": rules}}))
    kind = "aws_vpc_security_group_egress_rule"

    assert find(aws, creation(kind, security_group_id="sg-1", description="jobs")) == [
        Orphan(f"{kind}.this", "sgr-2")
    ]
    assert find(aws, creation(kind, description="jobs")) == []


def test_what_is_only_changed_or_deleted_is_not_looked_for() -> None:
    resource = creation("aws_iam_role", name="mlops-claim")
    resource["change"]["actions"] = ["delete", "create"]

    assert find(FakeAws(), resource) == []


def test_an_address_whose_thing_is_gone_has_to_be_forgotten_before_an_import() -> None:
    drift = {"address": "aws_kms_key.this", "change": {"actions": ["delete"]}}
    changed = {"address": "aws_vpc.this", "change": {"actions": ["update"]}}
    orphans = [Orphan("aws_kms_key.this", "2"), Orphan("aws_vpc.this", "vpc-2")]

    assert find_vanished({"resource_drift": [drift, changed]}, orphans) == ["aws_kms_key.this"]
    assert find_vanished({}, orphans) == []
