"""The network in the story: jobs, endpoints and functions ran in it, and only endpoints lead out of it."""

from __future__ import annotations

import json

import pytest
from kept_demo import Deployment

SERVICE = "com.amazonaws.us-east-1."


def networks(deployment: Deployment) -> dict[str, str]:
    """The VPC of each environment, by its name."""
    vpcs = deployment.client("ec2").describe_vpcs()["Vpcs"]
    named = {
        tag["Value"]: vpc["VpcId"] for vpc in vpcs for tag in vpc.get("Tags", []) if tag["Key"] == "Name"
    }
    return {environment: named[f"mlops-{environment}-network"] for environment in ("staging", "production")}


def subnets(deployment: Deployment, environment: str) -> dict[str, str]:
    """Zone of each subnet."""
    vpc = networks(deployment)[environment]
    found = deployment.client("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    return {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in found["Subnets"]}


def test_both_jobs_ran_isolated_encrypted_and_in_two_zones(deployment: Deployment) -> None:
    sagemaker, run_id = deployment.client("sagemaker"), deployment.demo["run_id"]
    training = sagemaker.describe_training_job(TrainingJobName=run_id)
    processing = sagemaker.describe_processing_job(ProcessingJobName=f"{run_id}-eval")
    staging = subnets(deployment, "staging")

    network = processing["NetworkConfig"]
    assert set(training["VpcConfig"]["Subnets"]) == set(network["VpcConfig"]["Subnets"]) == set(staging)
    assert len(set(staging.values())) == 2
    for job in (training, network):
        assert job["EnableNetworkIsolation"]
        assert job["EnableInterContainerTrafficEncryption"]
    assert training["ResourceConfig"]["VolumeKmsKeyId"].startswith("arn:aws:kms:")
    assert processing["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"].startswith("arn:aws:kms:")


def test_production_serves_from_two_instances_in_two_zones(deployment: Deployment) -> None:
    status = deployment.mlops("status", "--env", "production", "--json").json
    interfaces = deployment.client("ec2").describe_network_interfaces()["NetworkInterfaces"]

    serving = [each for each in interfaces if status["endpoint"] in each["Description"]]
    assert len(serving) == 2
    assert len({each["AvailabilityZone"] for each in serving}) == 2


def test_a_job_that_ended_left_no_interface(deployment: Deployment) -> None:
    interfaces = deployment.client("ec2").describe_network_interfaces()["NetworkInterfaces"]

    assert [each["Description"] for each in interfaces if " job " in each["Description"]] == []


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_nothing_leads_out_of_the_network(environment: str, deployment: Deployment) -> None:
    ec2, vpc = deployment.client("ec2"), networks(deployment)[environment]
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    tables = ec2.describe_route_tables(Filters=here)["RouteTables"]
    groups = ec2.describe_security_groups(Filters=here)["SecurityGroups"]
    gateways = ec2.describe_internet_gateways()["InternetGateways"]

    targets = {route.get("GatewayId", "") for table in tables for route in table["Routes"]}
    assert all(target == "local" or target.startswith("vpce-") for target in targets)
    assert not [item for item in gateways if vpc in [way["VpcId"] for way in item["Attachments"]]]
    leaving = [rule for group in groups for rule in group["IpPermissionsEgress"]]
    assert not [rule for rule in leaving if rule["IpRanges"] or rule["Ipv6Ranges"]]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_what_the_functions_call_has_an_endpoint(environment: str, deployment: Deployment) -> None:
    found = deployment.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    vpc = networks(deployment)[environment]
    kinds = sorted(
        " ".join((endpoint["VpcEndpointType"], endpoint["ServiceName"].removeprefix(SERVICE)))
        for endpoint in found
        if endpoint["VpcId"] == vpc
    )

    services = ["application-autoscaling", "kms", "sagemaker.api", "sagemaker.runtime", "states"]
    assert kinds == ["Gateway dynamodb", "Gateway s3", *(f"Interface {service}" for service in services)]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_functions_stay_in_the_network(environment: str, deployment: Deployment) -> None:
    functions = deployment.client("lambda").list_functions()["Functions"]
    homes = {
        function["FunctionName"]: function.get("VpcConfig", {}).get("VpcId", "") for function in functions
    }
    own = {name: vpc for name, vpc in homes.items() if name.startswith(f"mlops-{environment}-")}

    assert set(own.values()) == {networks(deployment)[environment]}


def test_the_gateways_let_nobody_else_through(deployment: Deployment) -> None:
    found = deployment.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]

    for endpoint in found:
        for statement in json.loads(endpoint["PolicyDocument"])["Statement"]:
            own = statement.get("Condition", {}).get("StringEquals", {}).get("aws:PrincipalAccount")
            assert own == "123456789012" or statement["Sid"] == "ImageLayers", endpoint["ServiceName"]
