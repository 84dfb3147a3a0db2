"""The coverage report, on a schedule."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from constructs import Construct

from infra import nag
from infra.units.controllers import Controller


class CoverageReport(Construct):
    """Calls the controller at a fixed interval. There is no dead-letter queue: every report tells the whole state, so
    the next one replaces a lost one, and an undelivered event would hold nothing to look at.

    Attributes:
        schedule: The schedule.
    """

    def __init__(self, scope: Construct, construct_id: str, *, controller: Controller, interval: cdk.Duration) -> None:
        super().__init__(scope, construct_id)
        self.schedule = scheduler.Schedule(
            self,
            "Schedule",
            description="Millpond: coverage of the archive",
            schedule=scheduler.ScheduleExpression.rate(interval),
            target=targets.LambdaInvoke(controller.function, retry_attempts=2, max_event_age=cdk.Duration.minutes(15)),
        )
        versions = f"{controller.function.function_arn}:*"
        nag.accept_wildcard(cdk.Stack.of(self), versions, "CDK grants the versions of a function along with it.")
