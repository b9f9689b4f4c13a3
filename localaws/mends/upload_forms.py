"""A browser's upload to S3: a form that is posted to the bucket; the key and who signed it are fields.

Not a mend of its own: CloudTrail and IAM need to know both.
"""

from __future__ import annotations

from collections.abc import Mapping

from ministack.services import s3


def form_key(method: str, headers: Mapping[str, str], body: bytes) -> str:
    """The object's key; empty where the request is no such form."""
    parts = _parts(method, headers, body)
    keys = [value.decode(errors="replace") for name, _, _, value in parts if name.lower() == "key"]
    files = [filename or "" for name, filename, _, _ in parts if name == "file"]
    return keys[0].replace("${filename}", files[0]) if keys and files else ""


def form_access_key_id(method: str, headers: Mapping[str, str], body: bytes) -> str:
    """The access key of whoever signed the form; empty where the request is none."""
    return str(s3._post_form_access_key_id(_parts(method, headers, body)))


def _parts(
    method: str, headers: Mapping[str, str], body: bytes
) -> list[tuple[str, str | None, dict[str, str], bytes]]:
    kind = headers.get("content-type", "")
    if method != "POST" or not kind.startswith("multipart/form-data"):
        return []
    return s3._parse_multipart_form(kind, body) or []
