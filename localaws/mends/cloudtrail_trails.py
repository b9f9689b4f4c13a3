"""CloudTrail: a trail reads back what it was created with.

AWS: GetTrail and DescribeTrails give the log group, its role, the topic by name and ARN, and the key;
    ListTags the tags of CreateTrail [API page of CreateTrail].
ministack: drops the log group, its role, the topic's ARN and the tags of CreateTrail, so that Terraform plans
    them again.
Hook: `services/cloudtrail.py::_DISPATCH["CreateTrail"]`.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudtrail

VERSION = "1.5.33"

KEPT = ("CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn")


def apply() -> None:
    """Makes trails read back."""
    create = cloudtrail._DISPATCH["CreateTrail"]

    def create_trail(body: dict[str, Any]) -> Any:
        status, headers, answer = create(body)
        if status != 200:
            return status, headers, answer
        created = json.loads(answer)
        kept = {name: body[name] for name in KEPT if body.get(name)} | name_topic(body)
        cloudtrail._trails[body["Name"]].update(kept)
        if body.get("TagsList"):
            cloudtrail._add_tags({"ResourceId": created["TrailARN"], "TagsList": body["TagsList"]})
        return status, headers, json.dumps({**created, **kept}).encode()

    cloudtrail._DISPATCH["CreateTrail"] = create_trail


def name_topic(body: dict[str, Any]) -> dict[str, str]:
    """A topic is given by its name or by its ARN, and told by both."""
    given = body.get("SnsTopicName")
    if not given:
        return {}
    is_arn = given.startswith("arn:")
    arn = given if is_arn else f"arn:aws:sns:{get_region()}:{get_account_id()}:{given}"
    return {"SnsTopicName": given.rpartition(":")[2], "SnsTopicARN": arn}
