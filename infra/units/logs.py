"""Log groups, all kept equally long."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct

RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    7: logs.RetentionDays.ONE_WEEK,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def log_group(scope: Construct, construct_id: str, *, days: int) -> logs.LogGroup:
    """Removed with its stack: what has to be kept of a run is an object in the archive, not a log line."""
    return logs.LogGroup(scope, construct_id, retention=RETENTION[days], removal_policy=cdk.RemovalPolicy.DESTROY)
