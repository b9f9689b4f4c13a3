"""Step Functions: what a Task's Resource names.

Not a mend: the mends of Step Functions use it. Source: "Integrating services with Step Functions".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Integration:
    """A parsed Task resource. `pattern` is "", "sync", "sync:2" or "waitForTaskToken"."""

    service: str
    action: str
    pattern: str
    is_sdk: bool
    function_arn: str = ""


@dataclass(frozen=True)
class Optimized:
    """How an optimized service begins its error names, the one without its own class, and its SDK's name."""

    prefix: str
    fallback: str
    label: str


OPTIMIZED = {
    "dynamodb": Optimized("DynamoDB", "AmazonDynamoDBException", "AmazonDynamoDBv2"),
    "events": Optimized("EventBridge", "AmazonEventBridgeException", "AmazonEventBridge"),
    "lambda": Optimized("Lambda", "AWSLambdaException", "AWSLambda"),
    "sagemaker": Optimized("SageMaker", "AmazonSageMakerException", "AmazonSageMaker"),
    "sns": Optimized("SNS", "AmazonSNSException", "AmazonSNS"),
    "sqs": Optimized("SQS", "AmazonSQSException", "AmazonSQS"),
    "states": Optimized("StepFunctions", "AWSStepFunctionsException", "AWSStepFunctions"),
}


def parse_resource(resource: str) -> Integration | None:
    """What a Task's Resource names; None for activities and the integrations that ministack keeps."""
    if ":function:" in resource and resource.startswith("arn:aws:lambda:"):
        return Integration("lambda", "invoke", "", False, resource)
    prefix = "arn:aws:states:::"
    if not resource.startswith(prefix):
        return None
    name, _, pattern = resource.removeprefix(prefix).partition(".")
    parts = name.split(":")
    if len(parts) == 3 and parts[0] == "aws-sdk":
        return Integration(parts[1].lower(), parts[2], pattern, True)
    if len(parts) == 2 and parts[0] in OPTIMIZED:
        return Integration(parts[0], parts[1], pattern, False)
    return None
