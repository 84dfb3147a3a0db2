"""Settings of `millpond compare`."""

from __future__ import annotations

import secrets
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.restore.comparing.sample import WHOLE, Sample
from millpond.settings.looks import partitions_of
from millpond.settings.parts import ClusterSettings, CommaList, items
from millpond.settings.restore import TargetSettings
from millpond.settings.ways_in import address_of, open_cluster


def _any_brokers(brokers: str, _: ValidationInfo) -> str:
    return brokers


class CompareSettings(TargetSettings, ClusterSettings):
    """The archive against live topics, or what a restore wrote against the archive or the source."""

    verb: ClassVar[str] = "compare"

    run_id: str = Field("", description="a restore to compare with what it was made from", pattern="^[A-Za-z0-9._-]*$")
    topics: CommaList = Field("", description="expressions of archived topics; all by default, of a run always all")
    exclude_topics: CommaList = Field("", description="expressions of topics to leave out")
    partitions: CommaList = Field("", description="numbers and ranges, as in 0,3,8-11; all by default")
    whole: bool = Field(False, description="compare everything")
    sample: str = Field("", description="share of each partition's windows, as in 5%, or their number; 5% by default")
    seed: str = Field("", description="chooses the same windows again; by default a new one, which is told")
    workers: int = Field(4, description="partitions that are compared side by side", ge=1, le=64)

    # In place of the refusals of both: which brokers are needed depends on what is compared.
    _brokers_or_service = field_validator("brokers", "to_brokers")(_any_brokers)  # type: ignore[assignment]

    @model_validator(mode="after")
    def _either(self) -> CompareSettings:
        if self.whole and self.sample:
            raise ValueError("say --whole or --sample, not both")
        to_target = bool(self.to_brokers or self.to_brokers_srv)
        if self.run_id and not to_target:
            raise ValueError("--run-id needs --to-brokers, the cluster that was restored to")
        if self.run_id and (self.topics or self.exclude_topics or self.partitions):
            raise ValueError("a run is compared with all its topics: leave out --topics and --partitions")
        if not self.run_id and to_target:
            raise ValueError("--to-brokers needs --run-id, which says what was restored there")
        if not self.run_id and not (self.brokers or self.brokers_srv):
            raise ValueError("--brokers is missing; or name a restore with --run-id and --to-brokers")
        Sample.of(self.sample or "5%", "")
        return self

    def choice(self) -> Sample:
        """What is compared; without a seed, another one at each call."""
        return WHOLE if self.whole else Sample.of(self.sample or "5%", self.seed or secrets.token_hex(4))

    def source(self) -> Cluster | None:
        """The cluster that was backed up, where its brokers are named."""
        return open_cluster(address_of(self)) if self.brokers or self.brokers_srv else None

    def target(self) -> Cluster:
        """The cluster that was restored to."""
        return open_cluster(address_of(self, "to_"), "to_")

    def selection(self) -> Selection:
        return Selection.of(items(self.topics) or (".*",), items(self.exclude_topics))

    def numbers(self) -> frozenset[int]:
        return partitions_of(self.partitions)
