"""EC2: a rule for a prefix list reads back with the list; a rule for all protocols has no ports.

AWS: AuthorizeSecurityGroupIngress and -Egress take prefix lists, and DescribeSecurityGroupRules gives the one
    of each rule [API pages of IpPermission and SecurityGroupRule]. Ports mean nothing for all protocols.
ministack: reads no prefix list of a request and writes none, so that Terraform replaces the rule for ever. A
    rule with ports is another one to it, so that Terraform cannot revoke what every new group has.
Hook: `services/ec2.py::_parse_ip_permissions`, `::_sg_rule_xml`.
"""

from __future__ import annotations

import itertools
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2

VERSION = "1.5.33"


def apply() -> None:
    """Makes rules for prefix lists read back."""
    parse, rule_xml = ec2._parse_ip_permissions, ec2._sg_rule_xml

    def parse_permissions(params: dict[str, Any], prefix: str) -> Any:
        rules = parse(params, prefix)
        for number, rule in enumerate(rules, start=1):
            rule["PrefixListIds"] = _prefix_lists(params, f"{prefix}.{number}.PrefixListIds")
            if rule.get("IpProtocol") == "-1":
                rule.pop("FromPort", None)
                rule.pop("ToPort", None)
        return rules

    def xml_of(group: str, rule: dict[str, Any], is_egress: bool = False) -> str:
        lists = rule.get("PrefixListIds", [])
        if not lists:
            return str(rule_xml(group, rule, is_egress=is_egress))
        rule_id = ec2._sg_rule_id(group, is_egress, rule)
        bare = rule_xml(
            group, {**rule, "PrefixListIds": [], "SecurityGroupRuleId": rule_id}, is_egress=is_egress
        )
        return "".join(bare.replace("</toPort>", f"</toPort>{_list_xml(item)}", 1) for item in lists)

    ec2._parse_ip_permissions = parse_permissions
    ec2._sg_rule_xml = xml_of


def _prefix_lists(params: dict[str, Any], prefix: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for number in itertools.count(1):
        identity = ec2._p(params, f"{prefix}.{number}.PrefixListId")
        if not identity:
            return found
        description = ec2._p(params, f"{prefix}.{number}.Description")
        found.append({"PrefixListId": identity, **({"Description": description} if description else {})})
    return found


def _list_xml(item: dict[str, str]) -> str:
    description = item.get("Description")
    shown = f"<description>{escape(description)}</description>" if description else ""
    return f"<prefixListId>{escape(item['PrefixListId'])}</prefixListId>{shown}"
