"""What a plan may not do unless somebody names it: lose state, open to the public, grant by wildcard.

Flow 1, between plan and apply. Reads the plan's JSON representation, changes nothing, asks nobody.

Source: Terraform, "JSON Output Format" (plan representation); AWS IAM, "Policy elements".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from pipeline.errors import PolicyError

# What holds something that applying again does not bring back.
STATEFUL = frozenset(
    {
        "aws_cloudtrail",
        "aws_cloudwatch_log_group",
        "aws_dynamodb_table",
        "aws_ecr_repository",
        "aws_kms_key",
        "aws_s3_bucket",
        "aws_s3_bucket_object_lock_configuration",
        "aws_s3_bucket_versioning",
        "aws_sagemaker_model_package_group",
        "aws_sqs_queue",
    }
)
# What keeps a bucket closed and its objects encrypted: taking it away opens the bucket.
GUARDS = frozenset(
    {
        "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
    }
)
# Attributes that hold a policy document, whatever the resource.
_DOCUMENTS = ("policy", "assume_role_policy", "inline_policy", "access_policy")
_PUBLIC_NETWORKS = ("0.0.0.0/0", "::/0")
# Condition keys that leave no stranger among the callers.
_NARROWING = (
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "kms:calleraccount",
)
# Their documents grant nothing: they narrow what passes, and IAM still has its say.
_FILTERS = frozenset({"aws_vpc_endpoint"})
# Attributes that Terraform fills with what another resource says: judged there.
_COPIES = frozenset({("aws_iam_role", "inline_policy"), ("aws_s3_bucket", "policy")})


_BROAD_POLICIES = ("arn:*:iam::aws:policy/*FullAccess*", "arn:*:iam::aws:policy/*AdministratorAccess*")


@dataclass(frozen=True)
class Finding:
    """One thing a plan does that nobody may apply unseen. `reason` completes "<address> ..."."""

    rule: str
    address: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """`unjudged` are documents whose text is known only when they are applied: "<address>.<attribute>"."""

    findings: tuple[Finding, ...] = ()
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Resource:
    """One changed resource: its attributes after the change, and which of them are not known yet.

    `is_unfinished`: Terraform could not end making it, and so has given it to nothing else.
    """

    address: str
    kind: str
    actions: Sequence[str]
    is_unfinished: bool
    after: Mapping[str, Any]
    unknown: Mapping[str, Any]


def judge_plan(representation: Mapping[str, Any]) -> Verdict:
    """What is to be said of a plan, in the order of its resources."""
    findings: list[Finding] = []
    unjudged: list[str] = []
    for resource in _changed(representation):
        findings += [
            Finding(rule, resource.address, reason)
            for rule, look in _RULES.items()
            for reason in look(resource)
        ]
        unjudged += [
            f"{resource.address}.{name}"
            for name in _DOCUMENTS
            if resource.unknown.get(name) and (resource.kind, name) not in _COPIES
        ]
    return Verdict(tuple(findings), tuple(unjudged))


def check_verdict(
    findings: Iterable[Finding], *, stack: str, accepted: Collection[str], command: str
) -> None:
    """Raises: PolicyError naming every finding whose address was not accepted."""
    refused = [finding for finding in findings if finding.address not in accepted]
    if not refused:
        return
    listed = "; ".join(f"{finding.address} {finding.reason} [{finding.rule}]" for finding in refused)
    options = " ".join(f"--accept '{address}'" for address in dict.fromkeys(f.address for f in refused))
    raise PolicyError(
        f"The plan of {stack} is refused by policy: {listed}. Nothing was changed. Mend the code and plan "
        f"again, or, if that is what you want, name it: `{command} {options}`."
    )


def _changed(representation: Mapping[str, Any]) -> Iterator[_Resource]:
    for change in representation.get("resource_changes", []):
        actions = change["change"]["actions"]
        if change.get("mode") != "managed" or actions in (["no-op"], ["read"]):
            continue
        yield _Resource(
            address=change["address"],
            kind=change["type"],
            actions=actions,
            is_unfinished=change.get("action_reason") == "replace_because_tainted",
            after=change["change"].get("after") or {},
            unknown=change["change"].get("after_unknown") or {},
        )


def _loses_state(resource: _Resource) -> Iterator[str]:
    if "delete" not in resource.actions or resource.is_unfinished:
        return
    done = "is replaced" if "create" in resource.actions else "is deleted"
    if resource.kind in STATEFUL:
        yield f"{done}, and what it holds is lost"
    elif resource.kind in GUARDS:
        yield f"{done}, and the bucket is open until it is back"


def _weakens(resource: _Resource) -> Iterator[str]:
    """Changes in place that undo what protects data."""
    after = resource.after
    if not after:
        return
    if resource.kind == "aws_s3_bucket_versioning":
        if any(block.get("status") != "Enabled" for block in after.get("versioning_configuration", [])):
            yield "ends the bucket's versioning"
    elif resource.kind == "aws_s3_bucket" and after.get("force_destroy"):
        yield "may be destroyed with what it holds (force_destroy)"
    elif resource.kind == "aws_ecr_repository":
        if after.get("image_tag_mutability") != "IMMUTABLE":
            yield "lets image tags move"
        if after.get("force_delete"):
            yield "may be deleted with its images (force_delete)"
    elif resource.kind == "aws_cloudtrail":
        if after.get("enable_logging") is False:
            yield "stops recording"
        if after.get("enable_log_file_validation") is False:
            yield "ends the validation of its files"
    elif resource.kind == "aws_kms_key" and after.get("is_enabled") is False:
        yield "is disabled, and what it encrypts cannot be read"


def _is_public(resource: _Resource) -> Iterator[str]:
    after = resource.after
    if resource.kind == "aws_s3_bucket_public_access_block":
        off = [name for name in _BLOCKS if name not in resource.unknown and after.get(name) is not True]
        if after and off:
            yield f"does not set {', '.join(off)}"
    elif resource.kind == "aws_s3_bucket_acl" and str(after.get("acl", "")).startswith(
        ("public", "authenticated")
    ):
        yield f"gives the bucket the ACL {after['acl']}"
    elif resource.kind == "aws_internet_gateway" and after:
        yield "opens the network to the internet"
    elif resource.kind == "aws_subnet" and after.get("map_public_ip_on_launch"):
        yield "gives public addresses"
    elif resource.kind == "aws_lambda_permission" and after.get("principal") == "*":
        if not (after.get("source_account") or after.get("principal_org_id")):
            yield "lets anybody invoke the function"
    elif resource.kind == "aws_lambda_function_url" and after.get("authorization_type") == "NONE":
        yield "lets anybody invoke the function"
    for network in _ingress(resource):
        if network in _PUBLIC_NETWORKS:
            yield f"lets {network} in"
    for statement in _statements(resource):
        if resource.kind in _FILTERS:
            if _allows_all(statement):
                yield "lets anything through"
        elif statement.get("Effect") == "Allow" and _anybody(statement) and not _is_narrowed(statement):
            yield f"allows anybody {_listed(statement.get('Action', '*'))}"


_BLOCKS = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")


def _grants_by_wildcard(resource: _Resource) -> Iterator[str]:
    if resource.kind in _FILTERS:
        return
    for statement in _statements(resource):
        if statement.get("Effect") != "Allow" or _is_key_delegation(resource, statement):
            continue
        wild = [action for action in _list(statement.get("Action")) if "*" in action or "?" in action]
        if wild:
            yield f"allows {_listed(wild)}"
        yield from (f"allows by {name}" for name in ("NotAction", "NotResource") if name in statement)
    for arn in [resource.after.get("policy_arn"), *_list(resource.after.get("managed_policy_arns"))]:
        if isinstance(arn, str) and any(fnmatch(arn, pattern) for pattern in _BROAD_POLICIES):
            yield f"attaches {arn}"


def _is_key_delegation(resource: _Resource, statement: Mapping[str, Any]) -> bool:
    """`kms:*` for the account itself, without which IAM policies have no say over a key."""
    principals = _list((statement.get("Principal") or {}).get("AWS")) if _named(statement) else []
    return (
        resource.kind in ("aws_kms_key", "aws_kms_key_policy")
        and statement.get("Action") == "kms:*"
        and bool(principals)
        and all(principal.endswith(":root") for principal in principals)
    )


_RULES: Mapping[str, Callable[[_Resource], Iterator[str]]] = {
    "state-is-kept": _loses_state,
    "protection-is-kept": _weakens,
    "nothing-is-public": _is_public,
    "no-wildcards": _grants_by_wildcard,
}


def _ingress(resource: _Resource) -> Iterator[str]:
    after = resource.after
    if resource.kind in ("aws_security_group", "aws_default_security_group"):
        rules = after.get("ingress") or []
    elif resource.kind == "aws_security_group_rule" and after.get("type") == "ingress":
        rules = [after]
    elif resource.kind == "aws_vpc_security_group_ingress_rule":
        rules = [{"cidr_blocks": [after.get("cidr_ipv4"), after.get("cidr_ipv6")]}]
    else:
        return
    for rule in rules:
        yield from (
            network for name in ("cidr_blocks", "ipv6_cidr_blocks") for network in rule.get(name) or []
        )


def _statements(resource: _Resource) -> Iterator[Mapping[str, Any]]:
    """Every statement of every policy document that the resource will have and that is known already."""
    for name in _DOCUMENTS:
        for document in _list(resource.after.get(name)):
            text = document.get("policy") if isinstance(document, dict) else document
            if isinstance(text, str) and text.lstrip().startswith("{"):
                yield from _list(json.loads(text).get("Statement"))


def _allows_all(statement: Mapping[str, Any]) -> bool:
    everything = "NotResource" in statement or "*" in _list(statement.get("Resource"))
    return statement.get("Effect") == "Allow" and everything and not _is_narrowed(statement)


def _named(statement: Mapping[str, Any]) -> bool:
    return isinstance(statement.get("Principal"), dict)


def _anybody(statement: Mapping[str, Any]) -> bool:
    if "NotPrincipal" in statement:
        return True
    principal = statement.get("Principal")
    return principal == "*" or (_named(statement) and "*" in _list((principal or {}).get("AWS")))


def _is_narrowed(statement: Mapping[str, Any]) -> bool:
    """Whether a condition names who calls, by something other than a lone wildcard."""
    for operator, keys in (statement.get("Condition") or {}).items():
        positive = "not" not in operator.lower() and not operator.lower().endswith("ifexists")
        for key, values in keys.items():
            if positive and key.lower() in _NARROWING and "*" not in _list(values):
                return True
    return False


def _list(value: Any) -> list[Any]:
    """IAM and Terraform write one element of a list without the list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _listed(actions: Any) -> str:
    return ", ".join(_list(actions))
