"""The AWS CLI's own `validate-logs` accepts the trail's files, and names the first link that was broken."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mend_servers import ACCOUNT, REGION, Server, mended
from test_mend_cloudtrail_events import bucket_for_logs
from test_mend_cloudtrail_logs import create_trail, keys, watched_bucket

DIGESTS = 3


@dataclass(frozen=True)
class Trail:
    """A stopped trail with as many digests as log files, oldest first."""

    server: Server
    name: str
    bucket: str
    started_at: datetime

    def keys(self, kind: str) -> list[str]:
        """Keys in the order in which they were delivered, which their names do not tell."""
        listed = self.server.client("s3").list_objects_v2(
            Bucket=self.bucket, Prefix=f"AWSLogs/{ACCOUNT}/{kind}/"
        )["Contents"]
        return [item["Key"] for item in sorted(listed, key=lambda item: item["LastModified"])]


@pytest.fixture
def trail() -> Trail:
    server, watched = mended(), watched_bucket(mended())
    bucket, started_at = bucket_for_logs(server), datetime.now(UTC)
    name = create_trail(server, bucket, watched)
    trails = server.client("cloudtrail")
    for number in range(DIGESTS):
        trails.start_logging(Name=name)
        server.client("s3").put_object(Bucket=watched, Key=str(number), Body=b"a")
        trails.stop_logging(Name=name)
    assert (
        len(keys(server, bucket, "CloudTrail")) == len(keys(server, bucket, "CloudTrail-Digest")) == DIGESTS
    )
    return Trail(server, name, bucket, started_at)


def validate(trail: Trail) -> tuple[int, str]:
    """Exit code and output of the AWS CLI."""
    moments = (trail.started_at - timedelta(minutes=5), trail.started_at + timedelta(minutes=30))
    start, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in moments)
    arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{trail.name}"
    command = [str(Path(sys.executable).parent / "aws"), "cloudtrail", "validate-logs", "--verbose"]
    root = {name.upper(): value for name, value in trail.server.root.items()}
    done = subprocess.run(
        [*command, "--trail-arn", arn, "--start-time", start, "--end-time", end],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **root}
        | {"AWS_ENDPOINT_URL": trail.server.endpoint, "AWS_CA_BUNDLE": str(trail.server.ca_file)}
        | {"AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def replace(trail: Trail, key: str, change: Callable[[bytes], bytes]) -> None:
    """Puts the changed file in the place of the old one, with its metadata, as a careful forger would."""
    s3 = trail.server.client("s3")
    old = s3.get_object(Bucket=trail.bucket, Key=key)
    content = gzip.compress(change(gzip.decompress(old["Body"].read())))
    s3.put_object(
        Bucket=trail.bucket,
        Key=key,
        Body=content,
        ContentType="application/json",
        ContentEncoding="gzip",
        Metadata=old["Metadata"],
    )


def rename_event(text: bytes) -> bytes:
    return text.replace(b"PutObject", b"GetObject")


def alter_log(trail: Trail) -> str:
    key = trail.keys("CloudTrail")[1]
    replace(trail, key, rename_event)
    return f"Log file\ts3://{trail.bucket}/{key}\tINVALID: hash value doesn't match"


def delete_log(trail: Trail) -> str:
    key = trail.keys("CloudTrail")[1]
    trail.server.client("s3").delete_object(Bucket=trail.bucket, Key=key)
    return f"Log file\ts3://{trail.bucket}/{key}\tINVALID: not found"


def alter_digest(trail: Trail) -> str:
    key = trail.keys("CloudTrail-Digest")[1]
    replace(trail, key, lambda text: re.sub(rb'"hashValue":"."', b'"hashValue":"0', text, count=1) + b" ")
    return f"Digest file\ts3://{trail.bucket}/{key}\tINVALID: "


def delete_digest(trail: Trail) -> str:
    key = trail.keys("CloudTrail-Digest")[1]
    trail.server.client("s3").delete_object(Bucket=trail.bucket, Key=key)
    return f"Digest file\ts3://{trail.bucket}/{key}\tINVALID: not found"


def test_untouched_files_are_accepted(trail: Trail) -> None:
    code, output = validate(trail)

    assert code == 0, output
    assert f"{DIGESTS}/{DIGESTS} digest files valid" in output
    assert f"{DIGESTS}/{DIGESTS} log files valid" in output
    assert "INVALID" not in output


@pytest.mark.parametrize("break_link", [alter_log, delete_log, alter_digest, delete_digest])
def test_the_first_broken_link_is_named(trail: Trail, break_link: Callable[[Any], str]) -> None:
    expected = break_link(trail)

    code, output = validate(trail)

    assert code == 1, output
    broken = [line for line in output.splitlines() if "\tINVALID" in line]
    assert broken[0].startswith(expected), output
