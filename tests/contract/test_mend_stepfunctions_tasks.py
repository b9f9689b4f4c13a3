"""Tasks act in their state machine's role, and end with their time or their execution."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mend_servers import Server, allow, mended, plain, policy, task, unique, until

INVOKE = "arn:aws:states:::lambda:invoke"
INVOKE_WITH_TOKEN = f"{INVOKE}.waitForTaskToken"
START = "arn:aws:states:::states:startExecution"
ECHO = "def handler(event, context): return event"
STORE_TOKEN = """
import boto3
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=event["queue"], MessageBody=event["token"])
"""
SLOW = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}


def put_item(server: Server) -> tuple[dict[str, Any], str]:
    """A state machine that writes to a new table, and the table's ARN."""
    table = server.client("dynamodb").create_table(
        TableName=unique("table"),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )["TableDescription"]
    parameters = {
        "TableName": table["TableName"],
        "Item": {"id": {"S": "1"}},
        "ConditionExpression": "attribute_not_exists(id)",
    }
    return task("arn:aws:states:::dynamodb:putItem", parameters), table["TableArn"]


def token_machine(server: Server, queue: str, **fields: Any) -> dict[str, Any]:
    role = server.role("lambda", allow("sqs:SendMessage"))
    payload = {"token.$": "$$.Task.Token", "queue": queue}
    parameters = {"FunctionName": server.function(STORE_TOKEN, role=role), "Payload": payload}
    return task(INVOKE_WITH_TOKEN, parameters, **fields)


def test_ministack_still_calls_services_without_the_role() -> None:
    definition, _ = put_item(plain())

    assert plain().execute(definition, role=plain().role("states"))["status"] == "SUCCEEDED"


def test_a_task_may_do_what_its_role_may() -> None:
    server = mended()
    definition, table_arn = put_item(server)

    refused = server.execute(definition, role=server.role("states"))
    done = server.execute(
        definition, role=server.role("states", allow("dynamodb:PutItem", resource=table_arn))
    )

    assert (refused["status"], refused["error"]) == ("FAILED", "DynamoDB.AmazonDynamoDBException")
    assert "is not authorized to perform: dynamodb:PutItem" in refused["cause"]
    assert done["status"] == "SUCCEEDED"


def test_a_role_that_does_not_trust_step_functions_is_of_no_use() -> None:
    server = mended()
    definition, _ = put_item(server)
    role = server.role("states", allow("*"))
    execution_role = {"RoleName": role.rsplit("/", 1)[-1]}
    machine = server.client("stepfunctions").create_state_machine(
        name=unique("machine"), definition=json.dumps(definition), roleArn=role
    )["stateMachineArn"]
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    server.client("iam").update_assume_role_policy(**execution_role, PolicyDocument=policy(trust))

    started = server.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    ended = until(
        lambda: server.client("stepfunctions").describe_execution(executionArn=started),
        lambda answer: answer["status"] != "RUNNING",
    )

    assert ended["status"] == "FAILED"
    assert "is not authorized to assume role" in ended["cause"]


def test_errors_carry_the_names_of_the_sdk() -> None:
    server = mended()
    definition, _ = put_item(server)
    role = server.role("states", allow("*"))
    server.execute(definition, role=role)
    missing = {"Bucket": unique("bucket"), "Key": "k"}

    twice = server.execute(definition, role=role)
    sdk = server.execute(task("arn:aws:states:::aws-sdk:s3:getObject", missing), role=role)
    unmodelled = server.execute(
        task("arn:aws:states:::aws-sdk:ec2:describeVpcs", {"VpcIds": ["vpc-0"]}), role=role
    )
    wrong = server.execute(task("arn:aws:states:::aws-sdk:s3:getObject", {"Bucket": "b"}), role=role)

    assert twice["error"] == "DynamoDB.ConditionalCheckFailedException"
    assert sdk["error"] == "S3.NoSuchBucketException"
    assert unmodelled["error"] == "Ec2.Ec2Exception"
    assert wrong["error"] == "States.Runtime"


def test_sdk_integrations_speak_pascal_case_and_iso_times() -> None:
    server = mended()
    definition = task(
        "arn:aws:states:::aws-sdk:sfn:describeStateMachine", {"StateMachineArn.$": "$$.StateMachine.Id"}
    )

    done = server.execute(definition, role=server.role("states", allow("states:DescribeStateMachine")))

    output = json.loads(done["output"])
    assert output["StateMachineArn"] == done["stateMachineArn"]
    assert output["CreationDate"].endswith("Z")
    assert "ResponseMetadata" not in output


def test_a_function_answers_with_its_payload_and_fails_with_its_exception() -> None:
    server = mended()
    role = server.role("states", allow("lambda:InvokeFunction"))
    echo = server.function(ECHO)
    raising = server.function(
        "class GateError(Exception): pass\ndef handler(e, c): raise GateError('closed')"
    )
    catching = task(
        INVOKE,
        {"FunctionName": raising, "Payload": {}},
        Catch=[{"ErrorEquals": ["GateError"], "ResultPath": "$.error", "Next": "Caught"}],
    )
    catching["States"]["Caught"] = {"Type": "Pass", "End": True}

    optimized = server.execute(task(INVOKE, {"FunctionName": echo, "Payload.$": "$"}), {"a": 1}, role=role)
    direct = server.execute(task(echo), {"a": 2}, role=role)
    caught = server.execute(catching, role=role)

    output = json.loads(optimized["output"])
    assert (output["Payload"], output["StatusCode"]) == ({"a": 1}, 200)
    assert json.loads(direct["output"]) == {"a": 2}
    error = json.loads(caught["output"])["error"]
    assert error["Error"] == "GateError"
    assert json.loads(error["Cause"])["errorMessage"] == "closed"


def test_json_is_written_as_text_where_the_api_wants_text() -> None:
    server = mended()
    url, arn = server.queue()
    definition = task("arn:aws:states:::sqs:sendMessage", {"QueueUrl": url, "MessageBody": {"a": 1}})

    done = server.execute(definition, role=server.role("states", allow("sqs:SendMessage", resource=arn)))

    assert done["status"] == "SUCCEEDED"
    assert json.loads(server.messages(url)[0]["Body"]) == {"a": 1}


def test_a_nested_execution_is_waited_for() -> None:
    server = mended()
    states = server.client("stepfunctions")
    inner = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"x": 1}, "End": True}}}
    child = states.create_state_machine(
        name=unique("child"), definition=json.dumps(inner), roleArn=server.role("states")
    )["stateMachineArn"]
    role = server.role("states", allow("states:StartExecution", "states:DescribeExecution", "events:*"))

    done = server.execute(task(f"{START}.sync:2", {"StateMachineArn": child, "Input": {"a": 1}}), role=role)

    output = json.loads(done["output"])
    assert (output["Status"], output["Output"], json.loads(output["Input"])) == (
        "SUCCEEDED",
        {"x": 1},
        {"a": 1},
    )


def test_a_failed_nested_execution_fails_the_task_with_its_description() -> None:
    server = mended()
    failing = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Bad", "Cause": "it is"}}}
    child = server.client("stepfunctions").create_state_machine(
        name=unique("child"), definition=json.dumps(failing), roleArn=server.role("states")
    )["stateMachineArn"]

    ended = server.execute(
        task(f"{START}.sync:2", {"StateMachineArn": child}), role=server.role("states", allow("*"))
    )

    assert ended["error"] == "States.TaskFailed"
    cause = json.loads(ended["cause"])
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "Bad", "it is")


@pytest.mark.parametrize("ending", ["stopped", "timed out"])
def test_what_a_sync_task_started_is_stopped_with_it(ending: str) -> None:
    server = mended()
    states = server.client("stepfunctions")
    child = states.create_state_machine(
        name=unique("child"), definition=json.dumps(SLOW), roleArn=server.role("states")
    )["stateMachineArn"]
    fields = {"TimeoutSeconds": 2} if ending == "timed out" else {}
    parent = server.start(
        task(f"{START}.sync:2", {"StateMachineArn": child}, **fields),
        role=server.role("states", allow("states:*", "events:*")),
    )
    running = until(lambda: states.list_executions(stateMachineArn=child)["executions"], bool)

    if ending == "stopped":
        states.stop_execution(executionArn=parent)
    ended = until(
        lambda: states.describe_execution(executionArn=running[0]["executionArn"]),
        lambda answer: answer["status"] != "RUNNING",
    )

    assert ended["status"] == "ABORTED"
    expected = {"stopped": "ABORTED", "timed out": "FAILED"}[ending]
    assert (
        until(
            lambda: states.describe_execution(executionArn=parent)["status"],
            lambda status: status != "RUNNING",
        )
        == expected
    )


def test_a_token_brings_the_answer_and_is_dead_afterwards() -> None:
    server = mended()
    states, (url, _) = server.client("stepfunctions"), server.queue()
    role = server.role("states", allow("lambda:InvokeFunction"))
    execution = server.start(token_machine(server, url), role=role)
    token = server.messages(url)[0]["Body"]

    states.send_task_success(taskToken=token, output='{"status": "Approved"}')
    done = until(
        lambda: states.describe_execution(executionArn=execution),
        lambda answer: answer["status"] != "RUNNING",
    )

    assert json.loads(done["output"]) == {"status": "Approved"}
    with pytest.raises(ClientError) as dead:
        states.send_task_success(taskToken=token, output="{}")
    assert dead.value.response["Error"]["Code"] == "TaskTimedOut"
    with pytest.raises(ClientError) as unknown:
        states.send_task_failure(taskToken="x" * 20)
    assert unknown.value.response["Error"]["Code"] == "InvalidToken"


def test_a_token_dies_with_its_time_or_its_execution() -> None:
    server = mended()
    states, (url, _) = server.client("stepfunctions"), server.queue()
    role = server.role("states", allow("lambda:InvokeFunction"))
    late = server.execute(token_machine(server, url, TimeoutSeconds=2), role=role)
    stopped = server.start(token_machine(server, url), role=role)
    tokens = [message["Body"] for message in server.messages(url, count=2)]
    states.stop_execution(executionArn=stopped)

    codes = set()
    for token in tokens:
        with pytest.raises(ClientError) as refused:
            until(
                lambda token=token: states.send_task_heartbeat(taskToken=token), lambda _: False, timeout_s=3
            )
        codes.add(refused.value.response["Error"]["Code"])

    assert late["error"] == "States.Timeout"
    assert codes == {"TaskTimedOut"}


def test_a_missed_heartbeat_fails_the_task() -> None:
    server = mended()
    url, _ = server.queue()
    definition = token_machine(server, url, HeartbeatSeconds=1, TimeoutSeconds=30)

    ended = server.execute(definition, role=server.role("states", allow("lambda:InvokeFunction")))

    assert ended["error"] == "States.HeartbeatTimeout"


def test_a_failing_function_fails_the_task_that_waits_for_a_token() -> None:
    server = mended()
    raising = server.function("def handler(e, c): raise ValueError('no')")
    definition = task(INVOKE_WITH_TOKEN, {"FunctionName": raising, "Payload": {"t.$": "$$.Task.Token"}})

    ended = server.execute(definition, role=server.role("states", allow("lambda:InvokeFunction")))

    assert ended["error"] == "ValueError"


def test_a_slow_task_is_timed_out_and_a_stopped_execution_leaves_it() -> None:
    server = mended()
    states = server.client("stepfunctions")
    sleeping = server.function("import time\ndef handler(e, c): time.sleep(15)")
    role = server.role("states", allow("lambda:InvokeFunction"))
    started = time.monotonic()
    late = server.execute(
        task(INVOKE, {"FunctionName": sleeping, "Payload": {}}, TimeoutSecondsPath="$.limit"),
        {"limit": 1},
        role=role,
    )
    waited_s = time.monotonic() - started
    stopped = server.start(task(INVOKE, {"FunctionName": sleeping, "Payload": {}}), role=role)
    states.stop_execution(executionArn=stopped, error="Enough", cause="by hand")

    time.sleep(1)
    described = states.describe_execution(executionArn=stopped)

    assert late["error"] == "States.Timeout"
    assert waited_s < 15  # the function's own time
    assert (described["status"], described["error"]) == ("ABORTED", "Enough")
    assert server.history(stopped)[-1]["type"] == "ExecutionAborted"


def test_output_beyond_the_limit_is_refused() -> None:
    server = mended()
    wordy = server.function("def handler(e, c): return 'x' * 300_000")

    ended = server.execute(task(wordy), role=server.role("states", allow("lambda:InvokeFunction")))

    assert ended["error"] == "States.DataLimitExceeded"
