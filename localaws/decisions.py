"""Every decision of IAM as one line of JSON: who asked for what, on what, in which context, and the answer.

`up --decisions` chooses: `distinct` writes a decision once however often it is repeated, `all` every time,
`none` never. A line says of itself what it is:

call      a principal's own permissions (and the resource's policy) were asked; PassRole is one of these
trust     a role's trust policy was asked whether a principal or service may assume it
resource  a resource's policy was asked on behalf of a service: a queue, a function, a bucket

For ministack 1.5.33. Hook: `core/iam_evaluator.py::enforce`, `::evaluate`, `::evaluate_resource_policy` and
`::evaluate_trust_policy`, through which whatever is asked goes; installed before the mends, which wrap them.
"""

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import AuthError, EvalContext, EvalResult
from ministack.core.responses import get_account_id

from localaws.settings import Recording

Kind = Literal["call", "trust", "resource"]
ALLOWED, DENIED = "Allow", "ImplicitDeny"


@dataclass
class _Asked:
    """What `enforce` found out on its way: the whole context, and what identity policies alone decide."""

    context: EvalContext | None = None
    identity: EvalResult | None = None


# The enforcement that the current evaluation belongs to; None outside of one.
_asked: contextvars.ContextVar[_Asked | None] = contextvars.ContextVar("asked", default=None)


class DecisionLog:
    """Appends decisions to a file, each line whole at once."""

    def __init__(self, file: Path, *, repeats: bool):
        self._stream = file.open("a", buffering=1)
        self._repeats = repeats
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def write(self, kind: Kind, context: EvalContext, decision: str, **more: Any) -> None:
        line = json.dumps({"kind": kind, **describe(context), "decision": decision, **more}, default=str)
        with self._lock:
            if self._repeats or line not in self._seen:
                self._stream.write(line + "\n")
                self._seen.add(line)


def describe(context: EvalContext) -> dict[str, Any]:
    """The members of a line that say what was asked; from them the question can be put again."""
    return {
        "principal": context.principal_arn,
        "principal_type": context.principal_type,
        "account": context.principal_account,
        "action": context.action,
        "resource": context.resource_arn,
        "region": context.region,
        "context": _present({**context.principal_keys, **context.service_context, **_aliases(context)}),
        "source_ip": context.source_ip,
        "secure_transport": context.secure_transport,
    }


def install(file: Path, recording: Recording) -> None:
    """Makes every later decision of this process be written."""
    if recording == "none":
        return
    log = DecisionLog(file, repeats=recording == "all")
    _record_enforcement(log)
    _record_policies(log)


def _record_enforcement(log: DecisionLog) -> None:
    enforce = iam_evaluator.enforce
    evaluate = iam_evaluator.evaluate

    def evaluate_noted(context: EvalContext, policies: Any, *limits: Any) -> EvalResult:
        result: EvalResult = evaluate(context, policies, *limits)
        asked = _asked.get()
        # The first evaluation is that of the caller's own policies; a resource's policy comes after it.
        if asked is not None and asked.context is None:
            asked.context, asked.identity = context, result
        return result

    def enforce_recorded(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Mapping[str, Any] | None = None,
    ) -> EvalResult | AuthError | None:
        asked = _Asked()
        token = _asked.set(asked)
        try:
            denied: EvalResult | AuthError | None = enforce(
                access_key_id, iam_action, service, region, resource_arn, service_context
            )
        finally:
            _asked.reset(token)
        context = asked.context or _unevaluated(
            access_key_id, iam_action, region, resource_arn, service_context
        )
        if isinstance(denied, AuthError):
            log.write("call", context, "Unauthenticated", reason=denied.code)
        else:
            decision = ALLOWED if denied is None else denied.decision
            identity = asked.identity.decision if asked.identity else None
            log.write("call", context, decision, identity=identity)
        return denied

    iam_evaluator.evaluate = evaluate_noted
    iam_evaluator.enforce = enforce_recorded


def _record_policies(log: DecisionLog) -> None:
    evaluate_resource = iam_evaluator.evaluate_resource_policy
    evaluate_trust = iam_evaluator.evaluate_trust_policy

    def evaluate_resource_noted(
        policy: Any, context: EvalContext, service: str | None = None, *rest: Any, **options: Any
    ) -> EvalResult:
        result: EvalResult = evaluate_resource(policy, context, service, *rest, **options)
        # Inside an enforcement it is a part of that decision; without a service, of a principal's own call.
        if _asked.get() is None and service is not None:
            kind: Kind = "trust" if context.action.startswith("sts:") else "resource"
            log.write(kind, context, result.decision, service=service)
        return result

    def evaluate_trust_noted(policy: Any, caller_arn: str, context: EvalContext | None = None) -> bool:
        is_trusted = bool(evaluate_trust(policy, caller_arn, context))
        if context is not None:
            log.write("trust", context, ALLOWED if is_trusted else DENIED)
        return is_trusted

    iam_evaluator.evaluate_resource_policy = evaluate_resource_noted
    iam_evaluator.evaluate_trust_policy = evaluate_trust_noted


def _unevaluated(
    access_key_id: str, action: str, region: str, resource_arn: str, keys: Mapping[str, Any] | None
) -> EvalContext:
    """The context of a call that no policy was asked about: root's, or one that could not prove who it is."""
    principal = iam_evaluator.resolve_principal(access_key_id or "", get_account_id())
    is_known = not isinstance(principal, AuthError)
    return EvalContext(
        principal_arn=principal.arn if is_known else "",
        principal_type=principal.type if is_known else "",
        principal_account=principal.account if is_known else "",
        action=action,
        resource_arn=resource_arn,
        region=region,
        service_context={name.lower(): value for name, value in (keys or {}).items()},
    )


def _aliases(context: EvalContext) -> dict[str, Any]:
    """A key's aliases, which conditions may ask for and which stand nowhere in the request."""
    if ":kms:" not in context.resource_arn:
        return {}
    from localaws.mends.iam_conditions import aliases_of

    return {"kms:resourcealiases": aliases_of(context.resource_arn)}


def _present(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that have a value, but for the session's age, by which every line would be another."""
    return {name: value for name, value in keys.items() if value is not None and name != "aws:tokenissuetime"}
