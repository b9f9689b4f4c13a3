"""A CloudTrail record of one API call.

Not a mend: `cloudtrail_events` uses it. Source: "CloudTrail record contents", "CloudTrail userIdentity
element", "Amazon S3 CloudTrail events".
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_actions, iam_evaluator
from ministack.services import cloudtrail, sts

from localaws.mends import role_sessions, upload_forms
from localaws.mends.exchanges import Request, Response

EVENT_VERSION = "1.11"
READ_PREFIXES = ("Get", "List", "Describe", "Head", "Lookup", "BatchGet", "Search", "Validate", "Simulate")
MAX_RESPONSE_BYTES = 100_000
# The data plane: recorded only where a trail asks for it ["Logging data events"].
DATA_ACTIONS = {
    "lambda": ("Invoke", "InvokeFunction", "InvokeAsync"),
    "dynamodb": (
        *(
            "GetItem",
            "PutItem",
            "UpdateItem",
            "DeleteItem",
            "Query",
            "Scan",
            "BatchGetItem",
            "BatchWriteItem",
        ),
        *("TransactGetItems", "TransactWriteItems"),
    ),
    "sqs": ("SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"),
    "sns": ("Publish", "PublishBatch"),
    "sagemaker-runtime": ("InvokeEndpoint", "InvokeEndpointAsync", "InvokeEndpointWithResponseStream"),
    "monitoring": ("PutMetricData", "GetMetricData", "GetMetricStatistics"),
    "logs": ("PutLogEvents", "GetLogEvents", "FilterLogEvents"),
    "events": ("PutEvents",),
}
DATA_TYPES = {
    "dynamodb": "AWS::DynamoDB::Table",
    "lambda": "AWS::Lambda::Function",
    "s3": "AWS::S3::Object",
    "sagemaker-runtime": "AWS::SageMaker::Endpoint",
    "sns": "AWS::SNS::Topic",
    "sqs": "AWS::SQS::Queue",
}
# Requests that prove nothing about who made them: CloudTrail attributes them to nobody.
UNPROVEN = (
    *("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "RequestTimeTooSkewed"),
    *("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken"),
    *("MissingAuthenticationToken", "MissingAuthenticationTokenException", "AuthFailure"),
)
# Services whose event source is not the name their requests are signed for.
EVENT_SOURCES = {"sagemaker-runtime": "sagemaker", "application-autoscaling": "autoscaling"}
# Subresources of an S3 object, and the operations they make of a method.
S3_OBJECT_SUBRESOURCES = {
    "acl": {"GET": "GetObjectAcl", "PUT": "PutObjectAcl"},
    "tagging": {"GET": "GetObjectTagging", "PUT": "PutObjectTagging", "DELETE": "DeleteObjectTagging"},
    "retention": {"GET": "GetObjectRetention", "PUT": "PutObjectRetention"},
    "legal-hold": {"GET": "GetObjectLegalHold", "PUT": "PutObjectLegalHold"},
    "attributes": {"GET": "GetObjectAttributes"},
    "torrent": {"GET": "GetObjectTorrent"},
    "uploads": {"POST": "CreateMultipartUpload"},
    "partNumber": {"PUT": "UploadPart"},
    "uploadId": {"GET": "ListParts", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"},
    "restore": {"POST": "RestoreObject"},
    "select": {"POST": "SelectObjectContent"},
}
S3_OBJECT_METHODS = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
    "POST": "PostObject",
}
# Bucket-level calls that CloudTrail counts among the data events.
S3_BUCKET_DATA = (
    "HeadBucket",
    "ListObjects",
    "ListObjectVersions",
    "ListMultipartUploads",
    "DeleteObjects",
    "PostObject",
)
HIDDEN_HEADERS = ("x-amz-request-id", "x-amz-id-2", "x-amzn-requestid", "x-amz-meta-")


def event_name(request: Request) -> str | None:
    """The operation that was called, or None for what is not an API call."""
    if request.service == "s3":
        return _s3_event_name(request)
    target = request.headers.get("x-amz-target", "")
    if target:
        return target.rsplit(".", 1)[-1]
    action = iam_actions.extract_iam_action(
        request.service, request.method, request.path, request.headers, request.body, request.query
    )
    return action.partition(":")[2] if action else None


def is_data_event(request: Request, name: str) -> bool:
    """Whether the call is of the data plane."""
    if request.service == "s3":
        return bool(s3_key(request)) or name in S3_BUCKET_DATA
    return name in DATA_ACTIONS.get(request.service, ())


def data_type(request: Request) -> str | None:
    """The resource type that a data event's selectors name."""
    return DATA_TYPES.get(request.service)


def is_read_only(name: str) -> bool:
    return name.startswith(READ_PREFIXES)


def create_record(request: Request, response: Response, name: str, *, is_data: bool) -> dict[str, Any] | None:
    """The record; None when nobody is known to have made the call."""
    identity = user_identity(request)
    error = _error(request, response)
    if identity is None or error.get("errorCode") in UNPROVEN:
        return None
    read_only = is_read_only(name)
    record = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": identity,
        "eventTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "eventSource": f"{EVENT_SOURCES.get(request.service, request.service)}.amazonaws.com",
        "eventName": name,
        "awsRegion": request.region,
        "sourceIPAddress": identity.get("invokedBy", request.client_ip),
        "userAgent": identity.get("invokedBy", f"[{request.headers.get('user-agent', '')}]"),
        **error,
        "requestParameters": _request_parameters(request),
        "responseElements": None if read_only else _response_elements(request, response),
        "requestID": request.request_id,
        "eventID": str(uuid.uuid4()),
        "readOnly": read_only,
        "resources": resources(request, name),
        "eventType": "AwsApiCall",
        "managementEvent": not is_data,
        "recipientAccountId": request.account_id,
        "eventCategory": "Data" if is_data else "Management",
    }
    if request.service == "s3":
        record["additionalEventData"] = _s3_additional_data(request, response)
    return record


def user_identity(request: Request) -> dict[str, Any] | None:
    """Who called: the root, a user, or a role's session with the role that issued it."""
    credential = iam_evaluator.resolve_credential(request.access_key_id, request.account_id)
    if not request.access_key_id or isinstance(credential, iam_evaluator.CredentialResolutionError):
        return None
    identity = {
        "type": {"User": "IAMUser"}.get(credential.principal_type, credential.principal_type),
        "principalId": credential.principal_id,
        "arn": credential.principal_arn,
        "accountId": credential.account_id,
        "accessKeyId": credential.access_key_id,
    }
    if identity["type"] == "IAMUser":
        identity["userName"] = credential.principal_name
    if identity["type"] == "AssumedRole":
        identity |= _session(credential)
    return identity


def resources(request: Request, name: str) -> list[dict[str, str]]:
    """What the call was about."""
    if request.service == "s3":
        return _s3_resources(request, name)
    arn = iam_actions.extract_resource_arn(
        request.service,
        request.method,
        request.path,
        request.headers,
        request.body,
        request.query,
        request.region,
        request.account_id,
    )
    if not isinstance(arn, str) or not arn.startswith("arn:"):
        return []
    return [{"accountId": request.account_id, "ARN": arn, **_resource_type(request.service)}]


def s3_bucket(request: Request) -> str:
    return request.path.lstrip("/").partition("/")[0]


def s3_key(request: Request) -> str:
    """The object's key; a browser's form has it, and who signed it, in a field."""
    in_path = request.path.lstrip("/").partition("/")[2]
    return in_path or upload_forms.form_key(request.method, request.headers, request.body)


def _session(credential: Any) -> dict[str, Any]:
    session = sts._sessions.get(credential.access_key_id) or {}
    role_name = credential.principal_arn.split("/")[1]
    issued = datetime.fromtimestamp(session.get("IssuedAt", 0), UTC).isoformat(timespec="seconds")
    found: dict[str, Any] = {
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": credential.principal_id.partition(":")[0],
                "arn": role_sessions.role_arn_of(credential.account_id, role_name),
                "accountId": credential.account_id,
                "userName": role_name,
            },
            "attributes": {"creationDate": issued.replace("+00:00", "Z"), "mfaAuthenticated": "false"},
        }
    }
    if session.get("InvokedBy"):
        found["invokedBy"] = session["InvokedBy"]
    return found


def _s3_event_name(request: Request) -> str | None:
    bucket, key = s3_bucket(request), s3_key(request)
    if not bucket or not key:
        return _s3_bucket_event_name(request)
    for subresource, names in S3_OBJECT_SUBRESOURCES.items():
        if subresource in request.query and request.method in names:
            name = names[request.method]
            return "UploadPartCopy" if name == "UploadPart" and _is_copy(request) else name
    if request.method == "PUT" and _is_copy(request):
        return "CopyObject"
    return S3_OBJECT_METHODS.get(request.method)


def _s3_bucket_event_name(request: Request) -> str | None:
    if request.method == "POST" and s3_bucket(request):
        return "DeleteObjects" if "delete" in request.query else "PostObject"
    if request.method == "GET" and s3_bucket(request):
        if "versions" in request.query:
            return "ListObjectVersions"
        if "uploads" in request.query:
            return "ListMultipartUploads"
    name: str | None = iam_actions._s3_action(request.method, request.path, request.query)
    if name == "ListBucket":
        return "HeadBucket" if request.method == "HEAD" else "ListObjects"
    return "ListBuckets" if name == "ListAllMyBuckets" else name


def _is_copy(request: Request) -> bool:
    return "x-amz-copy-source" in request.headers


def _s3_resources(request: Request, name: str) -> list[dict[str, str]]:
    bucket, key = s3_bucket(request), s3_key(request)
    if not bucket:
        return []
    found = [{"accountId": request.account_id, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}]
    if key:
        return [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"}, *found]
    if name in S3_BUCKET_DATA:
        return [{"type": "AWS::S3::Object", "ARNPrefix": f"arn:aws:s3:::{bucket}/"}, *found]
    return found


def _resource_type(service: str) -> dict[str, str]:
    names = {**DATA_TYPES, "kms": "AWS::KMS::Key"}
    return {"type": names[service]} if service in names else {}


def _error(request: Request, response: Response) -> dict[str, str]:
    if response.status < 400:
        return {}
    text = response.body.decode(errors="replace")
    if text.lstrip().startswith("<"):
        code = re.search(r"<Code>(.*?)</Code>", text, re.DOTALL)
        message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
        return {
            "errorCode": code.group(1) if code else str(response.status),
            "errorMessage": message.group(1) if message else "",
        }
    body = _json_object(response.body)
    code_text = response.headers.get("x-amzn-errortype") or body.get("__type") or str(response.status)
    if request.service == "s3" and response.status == 404:
        code_text = "NoSuchKey"
    return {
        "errorCode": str(code_text).rsplit("#", 1)[-1].partition(":")[0],
        "errorMessage": str(body.get("message") or body.get("Message") or ""),
    }


def _request_parameters(request: Request) -> dict[str, Any] | None:
    if request.service == "s3":
        return _s3_request_parameters(request)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(request.body.decode(errors="replace"))
        parameters = {name: values[0] for name, values in form.items() if name not in ("Action", "Version")}
    else:
        parameters = _json_object(request.body)
    return _scrubbed(_decapitalized(parameters)) or None


def _s3_request_parameters(request: Request) -> dict[str, Any]:
    parameters: dict[str, Any] = {name: values[0] for name, values in request.query.items()}
    parameters |= {
        name: value
        for name, value in request.headers.items()
        if name.startswith("x-amz-")
        and name not in ("x-amz-date", "x-amz-security-token", "x-amz-content-sha256")
    }
    parameters["Host"] = request.headers.get("host", "")
    if s3_bucket(request):
        parameters["bucketName"] = s3_bucket(request)
    if s3_key(request):
        parameters["key"] = s3_key(request)
    scrubbed: dict[str, Any] = _scrubbed(parameters)
    return scrubbed


def _response_elements(request: Request, response: Response) -> dict[str, Any] | None:
    if response.status >= 400:
        return None
    if request.service == "s3":
        found = {
            name: value
            for name, value in response.headers.items()
            if name.startswith("x-amz-") and not name.startswith(HIDDEN_HEADERS)
        }
        return found or None
    if len(response.body) > MAX_RESPONSE_BYTES:
        return None
    return _scrubbed(_decapitalized(_json_object(response.body))) or None


def _s3_additional_data(request: Request, response: Response) -> dict[str, Any]:
    return {
        "SignatureVersion": "SigV4",
        "AuthenticationMethod": "QueryString" if "X-Amz-Signature" in request.query else "AuthHeader",
        "bytesTransferredIn": len(request.body),
        "bytesTransferredOut": int(response.headers.get("content-length") or len(response.body)),
        "x-amz-id-2": response.headers.get("x-amz-id-2", ""),
    }


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _decapitalized(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _decapitalized(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_decapitalized(item) for item in value]
    return value


def _scrubbed(value: Any) -> Any:
    """Without secrets, however deep they are."""
    if isinstance(value, dict):
        return {
            name: "HIDDEN_DUE_TO_SECURITY_REASONS"
            if name.lower() in cloudtrail._SCRUB_KEYS
            else _scrubbed(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    return value
