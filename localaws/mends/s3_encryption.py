"""S3: who writes or reads an object under a KMS key needs that key too.

AWS: S3 asks KMS as the caller: kms:GenerateDataKey to write an object, to copy to one and to start a
    multipart upload, kms:Decrypt to read one, to copy from one and to upload a part; kms:ViaService names
    S3, and the encryption context the object, or the bucket where it has a bucket key ["Using server-side
    encryption with AWS KMS keys", "Reducing the cost of SSE-KMS with Amazon S3 Bucket Keys", "Multipart
    upload API and permissions"].
ministack: keeps the key's name with the object and asks nobody.
Hook: `services/s3.py::_resolve_sse_write_headers`, `::_check_sse_read_headers`, `::_check_sse_c_copy_source`,
    `::_check_sse_c_part`, through which each of these passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.iam_evaluator import AuthError
from ministack.services import kms, s3

from localaws.mends import exchanges
from localaws.mends.exchanges import Request

VERSION = "1.5.33"

KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"
WRITE, READ = "kms:GenerateDataKey", "kms:Decrypt"


def apply() -> None:
    """Makes S3 ask for the key."""
    exchanges.follow_requests()
    resolve_write = s3._resolve_sse_write_headers

    def resolve_write_asking(headers: dict[str, str], bucket_name: str) -> Any:
        kept, refusal = resolve_write(headers, bucket_name)
        refusal = refusal or _refusal(WRITE, kept)
        return (None, refusal) if refusal else (kept, None)

    s3._resolve_sse_write_headers = resolve_write_asking
    s3._check_sse_read_headers = _asking_to_read(s3._check_sse_read_headers, methods=("GET",))
    s3._check_sse_c_copy_source = _asking_to_read(s3._check_sse_c_copy_source, methods=("PUT",))
    s3._check_sse_c_part = _asking_to_read(s3._check_sse_c_part, methods=("PUT",))


def _asking_to_read(check: Callable[..., Any], *, methods: tuple[str, ...]) -> Callable[..., Any]:
    """The check, and after it that of the key; what an object is like (HEAD) may be known without its key."""

    def check_asking(headers: dict[str, str], stored: dict[str, Any]) -> Any:
        request = exchanges.current_request.get()
        is_asked = request is not None and request.method in methods
        return check(headers, stored) or (
            _refusal(READ, s3._stored_sse_headers(stored)) if is_asked else None
        )

    return check_asking


def _refusal(action: str, encryption: Mapping[str, str]) -> Any:
    """S3's answer when the caller may not use the object's key; None when they may, or it has none."""
    request = exchanges.current_request.get()
    reference = encryption.get(KEY_HEADER)
    # What S3 does for itself, such as CloudTrail's deliveries, is not a caller's request.
    if request is None or request.service != "s3" or not reference:
        return None
    key = kms._resolve_key(reference)
    if key is None:
        return s3._error("KMS.NotFoundException", f"Key '{reference}' does not exist", 400)
    # A signed form has no signature in its head, and would count as nobody's.
    anonymous = iam_evaluator._anonymous.set(not request.access_key_id)
    try:
        denied = iam_evaluator.enforce(
            request.access_key_id,
            action,
            "kms",
            request.region,
            resource_arn=key["Arn"],
            service_context=_context(request),
        )
    finally:
        iam_evaluator._anonymous.reset(anonymous)
    if denied is None:
        return None
    if isinstance(denied, AuthError):
        return s3._error(denied.code, denied.message, 403)
    message = iam_actions.identity_denial_message(
        action, denied.principal_arn, key["Arn"], denied.decision == "Deny"
    )
    return s3._error("AccessDenied", message, 403)


def _context(request: Request) -> dict[str, str]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    named = bucket if _has_bucket_key(bucket) else f"{bucket}/{key}"
    return {
        "kms:ViaService": f"s3.{request.region}.amazonaws.com",
        "kms:CallerAccount": request.account_id,
        "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{named}",
    }


def _has_bucket_key(bucket: str) -> bool:
    return "<BucketKeyEnabled>true</BucketKeyEnabled>" in (s3._bucket_encryption.get(bucket) or "")
