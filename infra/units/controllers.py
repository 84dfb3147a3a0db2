"""The controllers: small Lambda functions that plan, prepare, check and report. Never the data itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import nag
from infra.units.logs import log_group
from infra.units.network import Network

_WAITS_FOR_ITS_TURN_MIN = 2


@dataclass(frozen=True)
class Schedule:
    """How a controller runs that nobody waits for.

    Attributes:
        within_min: Minutes after which it is ended.
        alone: Whether one at a time may run. Takes from what the account may run at once.
    """

    within_min: int
    alone: bool


class Controllers:
    """Makes controllers that share one bundle, one Python, one archive."""

    def __init__(
        self, *, code: lambda_.Code, python: str, architecture: lambda_.Architecture, log_days: int, archive_url: str
    ) -> None:
        self._code, self._architecture, self._log_days = code, architecture, log_days
        self._runtime = lambda_.Runtime(f"python{python}", lambda_.RuntimeFamily.PYTHON)
        self._archive_url = archive_url

    def make(
        self, scope: Construct, construct_id: str, *, module: str, environment: Mapping[str, str] | None = None,
        network: Network | None = None, schedule: Schedule | None = None,
    ) -> Controller:  # fmt: skip
        """The controller in `functions/<module>/handler.py`; in the network only if it talks to Kafka."""
        return Controller(
            scope,
            construct_id,
            module=module,
            code=self._code,
            runtime=self._runtime,
            architecture=self._architecture,
            log_days=self._log_days,
            environment={"MILLPOND_ARCHIVE": self._archive_url, **(environment or {})},
            network=network,
            schedule=schedule,
        )


class Controller(Construct):
    """One function with its own role and log group.

    Attributes:
        function: For state machines and schedules.
        role: For grants. Without any it can write its log, and no more.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, module: str, code: lambda_.Code, runtime: lambda_.Runtime,
        architecture: lambda_.Architecture, log_days: int, environment: Mapping[str, str], network: Network | None,
        schedule: Schedule | None = None,
    ) -> None:  # fmt: skip
        super().__init__(scope, construct_id)
        group = log_group(self, "Logs", days=log_days)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        group.grant_write(self.role)
        if network is not None:
            _let_into(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            handler=f"functions.{module}.handler.handler",
            code=code,
            runtime=runtime,
            architecture=architecture,
            role=self.role,
            log_group=group,
            memory_size=1024,
            timeout=cdk.Duration.minutes(schedule.within_min if schedule else 15),
            reserved_concurrent_executions=1 if schedule and schedule.alone else None,
            environment={
                "POWERTOOLS_SERVICE_NAME": module,
                "POWERTOOLS_METRICS_NAMESPACE": "Millpond",
                **environment,
            },
            vpc=network.vpc if network else None,
            vpc_subnets=network.subnets if network else None,
            security_groups=list(network.security_groups) if network else None,
            allow_public_subnet=network.public if network else None,
        )
        if schedule:
            # Lambda itself repeats what a schedule has called, twice and for hours; the next call does as well.
            self.function.configure_async_invoke(
                retry_attempts=0, max_event_age=cdk.Duration.minutes(_WAITS_FOR_ITS_TURN_MIN)
            )
        nag.accept(
            self.function,
            "AwsSolutions-L1",
            "The bundle's locked binary wheels are made for one Python, chosen in the deployment's file.",
        )


def _let_into(role: iam.Role) -> None:
    """Lambda puts a network interface into the VPC with the function's own role."""
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[
                "ec2:CreateNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
            ],
            resources=["*"],
        )
    )
    nag.accept_wildcard(
        role, "*", "Lambda demands its network permissions on all resources (as AWS's own policy has them)."
    )
