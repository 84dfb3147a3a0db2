"""What a role may do, read from a template: enough of IAM for "this role may (not) do that to this object"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

Template = dict[str, Any]


def may(template: Template, role: str, action: str, resource: str) -> bool:
    """Whether a statement of the role (the beginning of its logical id) allows it. Resources are named as `flat` does:
    `<ArchiveBucket>/archive/topics/x`. Conditions are taken as met."""
    return any(
        fnmatchcase(action, allowed) and fnmatchcase(resource, pattern)
        for statement in statements(template, role)
        for allowed in _list(statement["Action"])
        for pattern in map(flat, _list(statement["Resource"]))
    )


def statements(template: Template, role: str) -> Iterator[dict[str, Any]]:
    """All Allow statements of one role. Fails where the role has no policy, so that a misspelt one is not harmless."""
    found = [
        statement
        for name, policy in template["Resources"].items()
        if policy["Type"] == "AWS::IAM::Policy" and name.startswith(f"{role}DefaultPolicy")
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert found, f"no policy of a role {role}"
    return (statement for statement in found if statement["Effect"] == "Allow")


def flat(value: Any) -> str:
    """A resolved CloudFormation value as text: references become <LogicalName>, without CDK's hashes."""
    match value:
        case str():
            return value
        case {"Fn::Join": [delimiter, parts]}:
            return str(delimiter).join(map(flat, parts))
        case {"Fn::GetAtt": [name, _]} | {"Ref": name}:
            return f"<{re.sub('[0-9A-F]{8}$', '', name)}>"
        case {"Fn::ImportValue": export}:
            return re.sub(r"^.*:ExportsOutput(?:FnGetAtt|Ref)(.+?)[0-9A-F]{8}.*$", r"<\1>", export)
        case {"Fn::Sub": text}:
            return str(text)
    raise AssertionError(f"unknown CloudFormation function in {value}")


def of_type(template: Template, kind: str) -> dict[str, Any]:
    """Properties by logical name, without CDK's hashes."""
    return {
        re.sub("[0-9A-F]{8}$", "", name): resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
