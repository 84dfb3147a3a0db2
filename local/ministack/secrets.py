"""CloudFormation's `Ref` of a secret is its ARN, as in AWS. MiniStack gives the name, which a container cannot use."""

from __future__ import annotations

from local.ministack.emulator import Json, provisioners, secretsmanager


def install() -> None:
    stock = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]

    def create(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        _, attributes = stock["create"](logical_id, properties, stack)
        return attributes["Arn"], attributes

    def update(arn: str, old: Json, new: Json, stack: str, logical_id: str | None = None) -> tuple[str, Json]:
        _, attributes = stock["update"](_name(arn), old, new, stack, logical_id)
        return attributes["Arn"], attributes

    def delete(arn: str, properties: Json) -> None:
        stock["delete"](_name(arn), properties)

    provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"] = {
        **stock,
        "create": create,
        "update": update,
        "delete": delete,
    }


def _name(arn: str) -> str:
    name, _ = secretsmanager._resolve(arn)
    return str(name or arn)
