"""Mends of ministack's own services, one module each. `apply` is called once, before the server starts.

A mend's docstring says what AWS does (and which page says so), what ministack does instead, and which names
of ministack it hooks. Each has a contract test, `tests/contract/test_mend_<name>.py`, which shows on an
unmended ministack that it is needed and on the local AWS that it works.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

from localaws.errors import LocalAwsError

VERSION = "1.5.33"

MENDS = (
    "stepfunctions_definitions",
    "stepfunctions_executions",
    "stepfunctions_history",
    "stepfunctions_logs",
    "stepfunctions_paths",
    "stepfunctions_retries",
    "stepfunctions_tasks",
    "lambda_environment",
    "lambda_errors",
    "lambda_logs",
    "eventbridge_inputs",
    "eventbridge_targets",
    "s3_events",
    "s3_encryption",
    "cloudtrail_events",
    "iam_conditions",
    "iam_conditional_writes",
    "iam_session_names",
    "iam_networks",
    "iam_resources",
    "iam_boundaries",
    "cloudtrail_trails",
    "cloudtrail_logs",
    "cloudtrail_log_groups",
    "ec2_flow_logs",
    "ec2_security_group_rules",
    "ec2_vpc_endpoints",
    "cloudwatch_alarm_states",
    "cloudwatch_alarms",
    "service_metrics",
    "tagging_coverage",
    "denial_messages",
    "service_transport",
    "service_trust",
    "pass_role",
)


def apply() -> None:
    """Applies every mend to the ministack that is imported in this process.

    Raises: LocalAwsError when another version of ministack is installed than the one the mends are for.
    """
    installed = version("ministack")
    for name in MENDS:
        mend = import_module(f"localaws.mends.{name}")
        if installed != mend.VERSION:
            raise LocalAwsError(
                f"The mend {name} is for ministack {mend.VERSION}, and {installed} is installed. "
                "Install the locked requirements, or bring the mend up to date."
            )
        mend.apply()
