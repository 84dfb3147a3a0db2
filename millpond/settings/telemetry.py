"""Settings of what a long run says of itself."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from millpond.settings.base import VerbSettings
from millpond.telemetry.observer import TelemetryOptions

METRICS_PORT = 8081


class TelemetrySettings(VerbSettings):
    """Metrics, health and flush over HTTP; metrics for CloudWatch on standard output."""

    metrics_port: int | None = Field(
        None,
        description=f"port of /__/metrics and /__/health, 0 for none; by default {METRICS_PORT}, and none with --once",
        ge=0,
        le=65535,
    )
    metrics_address: str = Field("127.0.0.1", description="address where that port listens", min_length=1)
    allow_flush: bool = Field(False, description="serve POST /__/flush too, on a loopback address only")
    emf: str = Field(
        "",
        description="name of this deployment: each minute a line of CloudWatch metrics on standard output, under it",
        pattern=r"^([\x21-\x7e][\x20-\x7e]*)?$",
        max_length=1024,
    )

    @model_validator(mode="after")
    def _one_thing_on_standard_output(self) -> Self:
        if self.emf and self.json_output:
            raise ValueError("--emf and --json both write on standard output; choose one")
        return self

    @model_validator(mode="after")
    def _flush_needs_a_port(self) -> Self:
        if self.allow_flush and self.metrics_port == 0:
            raise ValueError("--allow-flush needs a --metrics-port")
        return self

    def telemetry(self, *, long_running: bool = True) -> TelemetryOptions:
        """What to serve. A run that ends by itself serves nothing unless a port or a flush was asked for."""
        default = METRICS_PORT if long_running or self.allow_flush else 0
        port = default if self.metrics_port is None else self.metrics_port
        return TelemetryOptions(port or None, self.metrics_address, self.allow_flush, self.emf)
