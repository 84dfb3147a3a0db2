"""Snapshots of consumer groups and of the cluster, on schedules."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from constructs import Construct

from infra import config, nag
from infra.units.controllers import Controller


class Snapshots(Construct):
    """Calls the controller for groups often and for the cluster now and then. A lost call is not made up for: the next
    snapshot is as good, and old ones cannot be taken later.

    Attributes:
        groups, cluster: The schedules; None where it is switched off.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, controller: Controller, settings: config.Snapshots
    ) -> None:
        super().__init__(scope, construct_id)
        self._controller = controller
        self.groups = self._every(settings.groups_interval_min, "groups", "where consumer groups stand")
        self.cluster = self._every(settings.cluster_interval_min, "cluster", "topics and settings of the cluster")
        versions = f"{controller.function.function_arn}:*"
        nag.accept_wildcard(cdk.Stack.of(self), versions, "CDK grants the versions of a function along with it.")

    def _every(self, minutes: int, what: str, told: str) -> scheduler.Schedule | None:
        if not minutes:
            return None
        interval = cdk.Duration.minutes(minutes)
        return scheduler.Schedule(
            self,
            what.capitalize(),
            description=f"Millpond: {told}",
            schedule=scheduler.ScheduleExpression.rate(interval),
            target=targets.LambdaInvoke(
                self._controller.function,
                input=scheduler.ScheduleTargetInput.from_object({"take": [what]}),
                retry_attempts=0,
                max_event_age=cdk.Duration.minutes(1),
            ),
        )
