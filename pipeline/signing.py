"""Records signed with the approval key: what is signed, the signature, and whether it is genuine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

ALGORITHM = "ECDSA_SHA_256"


def canonical(record: Mapping[str, Any]) -> bytes:
    """The only bytes that stand for this record: JSON with sorted keys and no spaces."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sign(record: Mapping[str, Any], *, kms: Any, key_id: str) -> bytes:
    """The approval key's signature over the record."""
    signature: bytes = kms.sign(**signing_request(record, key_id=key_id))["Signature"]
    return signature


def is_genuine(record: Mapping[str, Any], signature: bytes, *, kms: Any, key_id: str) -> bool:
    """Whether the signature is the approval key's over exactly this record."""
    try:
        answer = kms.verify(**signing_request(record, key_id=key_id), Signature=signature)
    except ClientError as error:
        if error.response["Error"]["Code"] != "KMSInvalidSignatureException":
            raise
        return False
    return bool(answer["SignatureValid"])


def signing_request(record: Mapping[str, Any], *, key_id: str) -> dict[str, Any]:
    """KMS Sign over the digest, because KMS takes at most 4,096 bytes as they are."""
    return {
        "KeyId": key_id,
        "Message": hashlib.sha256(canonical(record)).digest(),
        "MessageType": "DIGEST",
        "SigningAlgorithm": ALGORITHM,
    }
