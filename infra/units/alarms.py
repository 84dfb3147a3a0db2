"""Alarms on what the backup consumer says of itself: metrics that CloudWatch Logs takes from the lines on its output;
and on functions that fail on their schedule.

They have no actions: who is told of them, and how, is the account's own affair.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

NAMESPACE, DIMENSION = "Millpond", "Deployment"

_UPLOADS_FAIL_S = 300
_HANGS_S = 60
_SILENT_MIN = 10
_BROKERS_SILENT_S = 300
_SEARCHES_S = 600
_NOTHING_HELD_MIN = 5
_SHORTEST_MIN, _LONGEST_MIN = 5, 8 * 60
"""Of the periods in which errors of a function are counted; CloudWatch takes three of eight hours at most."""


class BackupAlarms(Construct):
    """One alarm for each way in which a backup is none. Minutes without data say nothing, except to `no_status`.

    Attributes:
        uploads_failing: No upload has succeeded for five minutes although some were tried.
        recovery_point: A record that was read waits for the archive for longer than it may.
        stopped: Partitions were given up; a person is needed.
        no_status: For ten minutes nothing was told, or only of a loop that hangs.
        brokers_silent: The brokers have not answered for five minutes.
        search: A position has been looked for in vain for ten minutes, so its partition is not read.
        nothing_held: For five minutes no task held any partition.
        refused: The user may no longer describe a topic that was backed up.
        lag: More offsets are unread than may be; None where no limit was set.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: str, recovery_point_s: int, lag: int | None
    ) -> None:
        super().__init__(scope, construct_id)
        self._deployment = deployment
        self.uploads_failing = self._alarm(
            "UploadsFailing", "UploadsFailing", limit=_UPLOADS_FAIL_S, told="no upload to S3 succeeds"
        )
        self.recovery_point = self._alarm(
            "RecoveryPoint", "RecoveryPointAge", limit=recovery_point_s, minutes=3, told="records wait too long for S3"
        )
        self.stopped = self._alarm(
            "Stopped", "StoppedPartitions", limit=0, told="partitions were stopped; their reasons are in the log"
        )
        self.no_status = self._alarm(
            "NoStatus",
            "StatusAge",
            limit=_HANGS_S,
            minutes=_SILENT_MIN,
            told="the consumer says nothing",
            data_needed=True,
        )
        self.brokers_silent = self._alarm(
            "BrokersSilent", "BrokersSilent", limit=_BROKERS_SILENT_S, told="the brokers do not answer"
        )
        self.search = self._alarm(
            "LongestSearch", "LongestSearch", limit=_SEARCHES_S, told="the position of a partition is not found"
        )
        self.nothing_held = self._alarm(
            "NothingHeld",
            "Partitions",
            limit=0,
            minutes=_NOTHING_HELD_MIN,
            told="no task holds any partition",
            statistic="Sum",
            alarms_when=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
        )
        self.refused = self._alarm(
            "RefusedTopics", "RefusedTopics", limit=0, told="topics may no longer be described; the log names them"
        )
        self.lag = lag and self._alarm("Lag", "Lag", limit=lag, minutes=5, told="too much is unread", statistic="Sum")

    def _alarm(
        self, construct_id: str, metric: str, *, limit: int, told: str, minutes: int = 1, statistic: str = "Maximum",
        data_needed: bool = False,
        alarms_when: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
    ) -> cloudwatch.Alarm:  # fmt: skip
        missing = cloudwatch.TreatMissingData
        return cloudwatch.Alarm(
            self,
            construct_id,
            alarm_description=f"Millpond backup {self._deployment}: {told}",
            metric=cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name=metric,
                dimensions_map={DIMENSION: self._deployment},
                statistic=statistic,
                period=cdk.Duration.minutes(1),
            ),
            threshold=limit,
            comparison_operator=alarms_when,
            evaluation_periods=minutes,
            treat_missing_data=missing.BREACHING if data_needed else missing.NOT_BREACHING,
        )


class FunctionFails(Construct):
    """A function that fails again and again on its schedule. Nothing calls it twice, so one lost call is made up for by
    the next; two that fail of three are a fault that stays.

    Attributes:
        alarm: The alarm.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, function: lambda_.IFunction, every_min: int, told: str
    ) -> None:
        super().__init__(scope, construct_id)
        period_min = min(max(every_min, _SHORTEST_MIN), _LONGEST_MIN)
        self.alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_description=f"Millpond: {told}; the function's log says why",
            metric=function.metric_errors(period=cdk.Duration.minutes(period_min), statistic="Sum"),
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=3,
            datapoints_to_alarm=2 if every_min <= _LONGEST_MIN else 1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
