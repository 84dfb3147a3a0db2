"""Settings of `millpond restore` and of the restore job's container."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from millpond.errors import WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.restore.request import RestoreRequest, parse_request
from millpond.restore.target import refusing_properties
from millpond.settings.parts import ArchiveSettings, CommaList, items


class TargetSettings(ArchiveSettings):
    """The archive and the cluster that is restored to."""

    to_brokers: str = Field(description="HOST:PORT,... of the cluster to write to", min_length=1)
    to_kafka: dict[str, str] = Field(default_factory=dict, description="KEY=VALUE of librdkafka, as often as needed")

    def cluster(self) -> Cluster:
        with refusing_properties():
            return Cluster(ClusterAddress(self.to_brokers, self.to_kafka))


class RestoreSettings(TargetSettings):
    """The archive to topics."""

    verb: ClassVar[str] = "restore"

    topics: CommaList = Field("", description="regular expressions that match whole archived topic names")
    all: bool = Field(False, description="every archived topic")
    exclude_topics: CommaList = Field("", description="expressions of topics to leave out")
    incarnation: CommaList = Field("", description="TOPIC=ID,... for topics that were deleted and made again")
    prefix: str = Field("", description="put in front of the target topics' names")
    rename: CommaList = Field("", description="ARCHIVED=TARGET,... names")
    run_id: str = Field(
        "", description="a name for the run; the same one goes on where it stopped", pattern="^[A-Za-z0-9._-]{0,80}$"
    )
    dry_run: bool = Field(False, description="plan and print, write nothing")

    def request(self) -> RestoreRequest:
        return parse_request(
            {
                "topics": items(self.topics),
                "all": self.all,
                "exclude_topics": items(self.exclude_topics),
                "incarnation": _pairs("--incarnation", self.incarnation),
                "prefix": self.prefix,
                "rename": _pairs("--rename", self.rename),
            }
        )


class RestoreJobSettings(TargetSettings):
    """One array index of the restore job."""

    verb: ClassVar[str] = "restore"

    run_id: str = Field(description="the run to work on", min_length=1)
    units: int = Field(1, description="how many workers share the run", ge=1)


def _pairs(flag: str, text: str) -> dict[str, Any]:
    pairs = [item.partition("=") for item in items(text)]
    if any(not separator for _, separator, _ in pairs):
        raise WrongUsage(f"{flag} takes NAME=VALUE pairs", hint="separate them with commas")
    return {name: value for name, _, value in pairs}
