"""CloudTrail: a trail delivers log files to its bucket, and signed digests of them.

AWS: records are delivered, gzipped, about every five minutes as
    `AWSLogs/<account>/CloudTrail/<region>/<date>/<account>_CloudTrail_<region>_<minute>_<random>.json.gz`;
    with log file validation a digest an hour names the files with their hashes, is signed with RSA, and
    carries the signature of the digest before it. ListPublicKeys gives the keys; GetTrailStatus tells the
    last delivery; a bucket that does not let CloudTrail write is refused ["Understanding log file names",
    "CloudTrail digest file structure", "Amazon S3 bucket policy for CloudTrail", API pages of CreateTrail
    and GetTrailStatus].
ministack: delivers nothing, has no ListPublicKeys, and takes any bucket.
Hook: `services/cloudtrail.py::_DISPATCH`; records come from `cloudtrail_events`.

Files are due every few seconds and digests every half minute, and when a trail stops. CloudTrail's own
writes are not recorded, so a trail that watches its own bucket does not feed itself (on AWS it does).
"""

from __future__ import annotations

import atexit
import base64
import gzip
import hashlib
import json
import logging
import secrets
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, request_scope
from ministack.services import cloudtrail, s3

from localaws.mends import cloudtrail_events

VERSION = "1.5.33"

DELIVERY_S = 4.0
DIGEST_S = 30.0
MAX_RECORDS_PER_FILE = 5_000
SERVICE_PRINCIPAL = "cloudtrail.amazonaws.com"
KEY_YEARS = 1

logger = logging.getLogger(__name__)


@dataclass
class TrailFiles:
    """What a trail has to deliver, and what its next digest must name."""

    account_id: str
    home_region: str
    trail: dict[str, Any]
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    undigested: list[dict[str, Any]] = field(default_factory=list)
    previous: dict[str, Any] = field(default_factory=dict)
    digested_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    delivered_at: float | None = None


_lock = threading.RLock()
_files: dict[str, TrailFiles] = {}


class _SigningKey:
    """The key that signs digests; made at its first use."""

    def __init__(self) -> None:
        self._key: rsa.RSAPrivateKey | None = None
        self.valid_from = datetime.now(UTC)

    def sign(self, text: str) -> str:
        return self._private().sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()

    def public_der(self) -> bytes:
        """The public key as PKCS #1, which is how ListPublicKeys gives it."""
        return (
            self._private()
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
        )

    def fingerprint(self) -> str:
        return hashlib.md5(self.public_der(), usedforsecurity=False).hexdigest()

    def _private(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            self._key = rsa.generate_private_key(65_537, 2_048)
        return self._key


_signing_key = _SigningKey()


def apply() -> None:
    """Makes trails deliver."""
    dispatch = cloudtrail._DISPATCH
    dispatch["CreateTrail"] = _refusing_closed_buckets(dispatch["CreateTrail"])
    dispatch["UpdateTrail"] = _refusing_closed_buckets(dispatch["UpdateTrail"])
    dispatch["StopLogging"] = _flushing_first(dispatch["StopLogging"], forget=False)
    dispatch["DeleteTrail"] = _flushing_first(dispatch["DeleteTrail"], forget=True)
    dispatch["GetTrailStatus"] = _telling_deliveries(dispatch["GetTrailStatus"])
    dispatch["ListPublicKeys"] = _list_public_keys
    cloudtrail_events.deliveries.append(_keep)
    threading.Thread(target=_deliver_forever, daemon=True, name="cloudtrail-logs").start()
    atexit.register(flush)


def flush() -> None:
    """Delivers what is kept, and the digests that are due to it."""
    with _lock:
        for files in list(_files.values()):
            _deliver(files)
            _digest(files)


def log_key(files: TrailFiles, region: str, now: datetime) -> str:
    """The name of a log file."""
    suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(16))
    name = f"{files.account_id}_CloudTrail_{region}_{now:%Y%m%dT%H%MZ}_{suffix}.json.gz"
    return _key(files, "CloudTrail", region, now, name)


def digest_key(files: TrailFiles, now: datetime) -> str:
    """The name of a digest file."""
    trail = files.trail["Name"]
    place = f"{files.account_id}_CloudTrail-Digest_{files.home_region}_{trail}_{files.home_region}"
    return _key(files, "CloudTrail-Digest", files.home_region, now, f"{place}_{now:%Y%m%dT%H%M%SZ}.json.gz")


def string_to_sign(digest: dict[str, Any], text: bytes) -> str:
    """What a digest's signature is of: its time, its place, its hash and the signature before it."""
    place = f"{digest['digestS3Bucket']}/{digest['digestS3Object']}"
    previous = digest["previousDigestSignature"] or "null"
    return f"{digest['digestEndTime']}\n{place}\n{hashlib.sha256(text).hexdigest()}\n{previous}"


def _keep(trail: dict[str, Any], record: dict[str, Any]) -> None:
    with _lock:
        files = _files.setdefault(
            trail["TrailARN"], TrailFiles(record["recipientAccountId"], trail["HomeRegion"], trail)
        )
        files.records.setdefault(record["awsRegion"], []).append(record)


def _deliver_forever() -> None:
    digested = time.monotonic()
    while True:
        time.sleep(DELIVERY_S)
        with _lock:
            for files in list(_files.values()):
                _deliver(files)
            if time.monotonic() - digested >= DIGEST_S:
                digested = time.monotonic()
                for files in list(_files.values()):
                    _digest(files)


def _deliver(files: TrailFiles) -> None:
    records, files.records = files.records, {}
    for region, found in records.items():
        for start in range(0, len(found), MAX_RECORDS_PER_FILE):
            _deliver_file(files, region, found[start : start + MAX_RECORDS_PER_FILE])


def _deliver_file(files: TrailFiles, region: str, records: list[dict[str, Any]]) -> None:
    text = json.dumps({"Records": records}, separators=(",", ":")).encode()
    key = log_key(files, region, datetime.now(UTC))
    if not _put(files, key, text, {}):
        return
    files.delivered_at = time.time()
    times = sorted(record["eventTime"] for record in records)
    files.undigested.append(
        {
            "s3Bucket": files.trail["S3BucketName"],
            "s3Object": key,
            "hashValue": hashlib.sha256(text).hexdigest(),
            "hashAlgorithm": "SHA-256",
            "newestEventTime": times[-1],
            "oldestEventTime": times[0],
        }
    )


def _digest(files: TrailFiles) -> None:
    if not files.undigested or not files.trail.get("LogFileValidationEnabled"):
        return
    # A digest is named by the second of its end: no two may end in the same.
    now = max(datetime.now(UTC), files.digested_at + timedelta(seconds=1))
    digest = {
        "awsAccountId": files.account_id,
        "digestStartTime": _iso(files.digested_at),
        "digestEndTime": _iso(now),
        "digestS3Bucket": files.trail["S3BucketName"],
        "digestS3Object": digest_key(files, now),
        "digestPublicKeyFingerprint": _signing_key.fingerprint(),
        "digestSignatureAlgorithm": "SHA256withRSA",
        "newestEventTime": max(log["newestEventTime"] for log in files.undigested),
        "oldestEventTime": min(log["oldestEventTime"] for log in files.undigested),
        "previousDigestS3Bucket": files.previous.get("bucket"),
        "previousDigestS3Object": files.previous.get("key"),
        "previousDigestHashValue": files.previous.get("hash"),
        "previousDigestHashAlgorithm": "SHA-256" if files.previous else None,
        "previousDigestSignature": files.previous.get("signature"),
        "logFiles": files.undigested,
    }
    text = json.dumps(digest, separators=(",", ":")).encode()
    signature = _signing_key.sign(string_to_sign(digest, text))
    metadata = {"x-amz-meta-signature": signature, "x-amz-meta-signature-algorithm": "SHA256withRSA"}
    if _put(files, digest["digestS3Object"], text, metadata):
        files.undigested, files.digested_at = [], now
        files.previous = {
            "bucket": digest["digestS3Bucket"],
            "key": digest["digestS3Object"],
            "hash": hashlib.sha256(text).hexdigest(),
            "signature": signature,
        }


def _put(files: TrailFiles, key: str, text: bytes, metadata: dict[str, str]) -> bool:
    """Writes a gzipped file to the trail's bucket. A bucket that is gone is told in the server's log."""
    headers = {"content-type": "application/json", "content-encoding": "gzip", **metadata}
    if files.trail.get("KmsKeyId"):
        headers["x-amz-server-side-encryption"] = "aws:kms"
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = files.trail["KmsKeyId"]
    with request_scope(files.account_id, files.home_region):
        status, _, answer = s3._put_object(files.trail["S3BucketName"], key, gzip.compress(text), headers)
    if status >= 300:
        logger.error("Trail %s cannot deliver %s: %s", files.trail["Name"], key, answer)
    return bool(status < 300)


def _key(files: TrailFiles, kind: str, region: str, now: datetime, name: str) -> str:
    prefix = f"{files.trail['S3KeyPrefix']}/" if files.trail.get("S3KeyPrefix") else ""
    return f"{prefix}AWSLogs/{files.account_id}/{kind}/{region}/{now:%Y/%m/%d}/{name}"


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


Handler = Callable[[dict[str, Any]], Any]


def _flushing_first(handle: Handler, *, forget: bool) -> Handler:
    def handle_flushed(body: dict[str, Any]) -> Any:
        _, _, trail = cloudtrail._find_visible_trail(body.get("Name", ""))
        with _lock:
            files = _files.get((trail or {}).get("TrailARN", ""))
            if files is not None:
                _deliver(files)
                _digest(files)
            if files is not None and forget:
                del _files[files.trail["TrailARN"]]
        return handle(body)

    return handle_flushed


def _telling_deliveries(handle: Handler) -> Handler:
    def get_trail_status(body: dict[str, Any]) -> Any:
        status, headers, answer = handle(body)
        _, _, trail = cloudtrail._find_visible_trail(body.get("Name", ""))
        files = _files.get((trail or {}).get("TrailARN", ""))
        if status != 200 or files is None or files.delivered_at is None:
            return status, headers, answer
        told = {**json.loads(answer), "LatestDeliveryTime": files.delivered_at}
        if files.previous:
            told["LatestDigestDeliveryTime"] = files.digested_at.timestamp()
        return status, headers, json.dumps(told).encode()

    return get_trail_status


def _list_public_keys(_: dict[str, Any]) -> Any:
    start = _signing_key.valid_from
    key = {
        "Value": base64.b64encode(_signing_key.public_der()).decode(),
        "ValidityStartTime": start.timestamp(),
        "ValidityEndTime": start.replace(year=start.year + KEY_YEARS, day=1).timestamp(),
        "Fingerprint": _signing_key.fingerprint(),
    }
    return cloudtrail._ok({"PublicKeyList": [key]})


def _refusing_closed_buckets(handle: Handler) -> Handler:
    def handle_checked(body: dict[str, Any]) -> Any:
        bucket = body.get("S3BucketName")
        if bucket and not s3._buckets.get(bucket):
            return cloudtrail._err("S3BucketDoesNotExistException", f"S3 bucket {bucket} does not exist!")
        if bucket and not _may_write(bucket, body):
            message = f"Incorrect S3 bucket policy is detected for bucket: {bucket}"
            return cloudtrail._err("InsufficientS3BucketPolicyException", message)
        return handle(body)

    return handle_checked


def _may_write(bucket: str, body: dict[str, Any]) -> bool:
    """Whether the bucket's policy lets CloudTrail read its ACL and write the trail's files."""
    account_id = get_account_id()
    policy = s3._bucket_policies.get_scoped(account_id, None, bucket) or {}
    prefix = f"{body['S3KeyPrefix']}/" if body.get("S3KeyPrefix") else ""
    checks = {
        "s3:GetBucketAcl": f"arn:aws:s3:::{bucket}",
        "s3:PutObject": f"arn:aws:s3:::{bucket}/{prefix}AWSLogs/{account_id}/CloudTrail/file",
    }
    return all(_allows(policy, action, resource, body) for action, resource in checks.items())


def _allows(policy: Any, action: str, resource: str, body: dict[str, Any]) -> bool:
    name = body.get("Name", "")
    keys = {
        "s3:x-amz-acl": "bucket-owner-full-control",
        "aws:sourcearn": name if name.startswith("arn:") else cloudtrail._trail_arn(name),
        "aws:sourceaccount": get_account_id(),
    }
    context = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region="",
        secure_transport=True,
        service_context=keys,
    )
    result = iam_evaluator.evaluate_resource_policy(policy, context, service=SERVICE_PRINCIPAL)
    return bool(result.decision == "Allow")
