"""Findings of cdk-nag that are accepted, each with its reason, next to the construct that causes it."""

from __future__ import annotations

import json

import aws_cdk as cdk
from constructs import IConstruct


def accept(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one rule (`AwsSolutions-S1`) for a construct and what is below it."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def accept_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Accept one wildcard in the policies below a construct; `resource` is the ARN exactly as the policy has it."""
    flat = _flat(cdk.Stack.of(construct).resolve(resource))
    accept(construct, f"AwsSolutions-IAM5[Resource::{flat}]", reason)


def _flat(value: object) -> str:
    """A resolved value as cdk-nag spells it in the names of its findings (flatten-cfn-reference of cdk-nag 3.0)."""
    match value:
        case str():
            return value.replace("${", "<").replace("}", ">")
        case {"Fn::Join": [str(delimiter), list(items)]}:
            return delimiter.join(map(_flat, items))
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{_flat(resource)}.{_flat(attribute)}>"
        case {"Ref": name}:
            return f"<{_flat(name)}>"
        case {"Fn::ImportValue": name} | {"Fn::Sub": name}:
            return _flat(name)
    return json.dumps(value, separators=(",", ":"))
