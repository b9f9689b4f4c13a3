"""checkov checks of every `aws_sfn_state_machine`, by its definition as it will be applied."""

import json

from checkov.common.models.enums import CheckCategories, CheckResult
from checkov.terraform.checks.resource.base_resource_check import BaseResourceCheck

from checks import definitions

CHECKS = {
    "CKV_MLOPS_1": ("Every task is bounded, retried with jitter and caught", definitions.find_unbounded),
    "CKV_MLOPS_2": ("Jobs are encrypted, isolated and bounded", definitions.find_unprotected_jobs),
    "CKV_MLOPS_3": ("Instances of a job talk to each other encrypted", definitions.find_open_traffic),
    "CKV_MLOPS_4": ("Jobs run images by digest", definitions.find_moving_images),
    "CKV_MLOPS_5": (
        "Endpoints are isolated and can be split",
        definitions.find_unprotected_endpoints,
    ),
    "CKV_MLOPS_6": ("State carries pointers, not data", definitions.find_data_in_state),
}


class StateMachineCheck(BaseResourceCheck):
    """One rule over a definition. What cannot be read yet is UNKNOWN, and so missing from the passes."""

    def __init__(self, check_id, name, find):
        self.find = find
        super().__init__(
            name=name,
            id=check_id,
            categories=[CheckCategories.GENERAL_SECURITY],
            supported_resources=["aws_sfn_state_machine"],
        )

    def scan_resource_conf(self, conf):
        definition = conf.get("definition", [None])[0]
        if isinstance(definition, str):
            try:
                definition = json.loads(definition)
            except ValueError:
                return CheckResult.UNKNOWN
        if not isinstance(definition, dict) or "States" not in definition:
            return CheckResult.UNKNOWN
        faults = list(self.find(definition))
        self.details = faults
        return CheckResult.FAILED if faults else CheckResult.PASSED


REGISTERED = [StateMachineCheck(check_id, *rule) for check_id, rule in CHECKS.items()]
