"""What functions and containers call, the network lets through: the local AWS would not tell otherwise."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODULES = ROOT / "iac" / "modules"
GATEWAYS = {"s3", "dynamodb"}
# By boto3's name of the service, where the endpoint's differs.
ENDPOINTS = {
    "sagemaker": "sagemaker.api",
    "sagemaker-runtime": "sagemaker.runtime",
    "stepfunctions": "states",
}
IN_THE_NETWORK = (
    "functions/iam.tf",
    "functions/statements.tf",
    "retraining/iam.tf",
    "serving/iam.tf",
)


def actions(*files: str) -> set[str]:
    """Every action on a service with a gateway that the files name."""
    text = "\n".join((MODULES / file).read_text() for file in files)
    return set(re.findall(r'"((?:s3|dynamodb):[A-Z]\w+)"', text))


def test_the_gateways_let_through_every_action_of_a_role() -> None:
    wanted = actions(*IN_THE_NETWORK)

    assert "s3:GetObject" in wanted
    assert wanted <= actions("network/endpoints.tf")


def test_every_service_that_a_function_calls_has_an_endpoint() -> None:
    sources = "\n".join(file.read_text() for file in (ROOT / "pipeline" / "lambdas").glob("*.py"))
    tuples = re.findall(r"client\(name\) for name in \((.*?)\)", sources)
    names = re.findall(r'client\("([\w-]+)"\)', sources) + re.findall(r'"([\w-]+)"', " ".join(tuples))
    called = set(names) - GATEWAYS
    network = (ROOT / "iac" / "environment" / "network.tf").read_text()
    (listed,) = re.findall(r"function_endpoints\s*= \[(.*?)\]", network)

    assert "kms" in called
    assert {ENDPOINTS.get(service, service) for service in called} == set(re.findall(r'"([\w.-]+)"', listed))
