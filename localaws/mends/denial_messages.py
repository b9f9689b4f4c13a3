"""IAM: a refusal names the resource.

AWS: "User: ... is not authorized to perform: ... on resource: ... because no identity-based policy allows
    ..." ["Troubleshoot access denied error messages"].
ministack: leaves the resource out for most services, which is what one needs to know to mend a policy.
Hook: `core/iam_actions.py::access_denied_response`.
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_actions

VERSION = "1.5.33"


def apply() -> None:
    """Makes refusals name the resource."""
    respond = iam_actions.access_denied_response

    def respond_naming_resource(
        service: str, action: str, principal_arn: str, request_id: str, **options: Any
    ) -> Any:
        decided_elsewhere = options.get("message") or options.get("error_code")
        by_resource_policy = options.get("explicit_deny") and options.get("resource_policy_arn")
        if not decided_elsewhere and not by_resource_policy:
            resource, explicit = options.get("resource_arn", "*"), bool(options.get("explicit_deny"))
            message = iam_actions.identity_denial_message(action, principal_arn, resource, explicit)
            options["message"] = message
        return respond(service, action, principal_arn, request_id, **options)

    iam_actions.access_denied_response = respond_naming_resource
