"""Settings of `millpond restore` and of the restore job's container."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from millpond.errors import WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.security import Kind
from millpond.restore.request import Compare, RestoreRequest, Trouble, parse_request
from millpond.settings.groups import GroupNames
from millpond.settings.parts import ArchiveSettings, CommaList, items
from millpond.settings.ways_in import TOLD, address_of, brokers_or_service, open_cluster

_OF_GROUPS = ("groups", "exclude_groups", "group_prefix", "groups_at", "overwrite_groups")


class TargetSettings(ArchiveSettings):
    """The archive and the cluster that is restored to."""

    to_brokers_srv: str = Field("", description=TOLD["brokers_srv"])
    to_brokers: str = Field("", description="HOST:PORT,... of the cluster to write to", validate_default=True)
    to_security: Kind = Field("plaintext", description=TOLD["security"])
    to_ca_cert: str = Field("", description=TOLD["ca_cert"])
    to_client_cert: str = Field("", description=TOLD["client_cert"])
    to_client_key: str = Field("", description=TOLD["client_key"])
    to_client_key_password_from: str = Field("", description=TOLD["client_key_password_from"])
    to_username: str = Field("", description=TOLD["username"])
    to_password_from: str = Field("", description=TOLD["password_from"])
    to_msk_region: str = Field("", description=TOLD["msk_region"])
    to_kafka: dict[str, str] = Field(default_factory=dict, description="KEY=VALUE of librdkafka, as often as needed")

    _brokers_or_service = field_validator("to_brokers")(brokers_or_service)

    def cluster(self) -> Cluster:
        """`WrongUsage` where the settings contradict each other or the client refuses them."""
        return open_cluster(address_of(self, "to_"), "to_")


class RestoreSettings(TargetSettings, GroupNames):
    """The archive to topics."""

    verb: ClassVar[str] = "restore"

    topics: CommaList = Field("", description="regular expressions that match whole archived topic names")
    all: bool = Field(False, description="every archived topic")
    exclude_topics: CommaList = Field("", description="expressions of topics to leave out")
    partitions: CommaList = Field(
        "", description="0,3-5 of every topic, orders:0,orders:3-5 of one; the others stay out"
    )
    offsets: CommaList = Field("", description="TOPIC:PARTITION:FIRST-LAST,... both inclusive; FIRST- is to the end")
    since: str = Field("", description="time of the oldest record to take, as it is stamped")
    until: str = Field("", description="time of the newest record to take, as it is stamped")
    cut: str = Field("", description="time; each partition ends before its first record that is stamped later")
    at_cut: str = Field("", description="name of a cut; each partition ends where it says")
    as_of: str = Field("", description="time; the archive is read as the bucket held it then, which needs versions")
    incarnation: CommaList = Field("", description="TOPIC=ID,... for topics that were deleted and made again")
    prefix: str = Field("", description="put in front of the target topics' names")
    rename: CommaList = Field("", description="ARCHIVED=TARGET,... names")
    large_topics_last: int = Field(
        0, description="topics of more stored bytes than this come after all others; 0 is no limit", ge=0
    )
    allow: CommaList = Field("", description="what shall not stop the plan: " + ", ".join(Trouble))
    repartition: str = Field(
        "", description="murmur2 or MODULE:FUNCTION; for topics with another number of partitions than archived"
    )
    repartition_to: int = Field(
        0, description="partitions of topics that are made; 0 for what topics have that are there", ge=0
    )
    replication: int = Field(0, description="replicas of topics that are made; 0 for the archived number", ge=0)
    source_offset_header: bool = Field(False, description="add the header restore.source-offset to each record")
    allow_existing: bool = Field(False, description="target topics may hold records; restored ones come after them")
    throttle: int = Field(0, description="bytes a second that all workers together write at most; 0 is no limit", ge=0)
    with_groups: bool = Field(False, description="consumer groups too, as they stood; see --groups, --exclude-groups")
    group_prefix: str = Field("", description="put in front of the groups' names", max_length=200)
    groups_at: str = Field("", description="time; the last snapshot of groups up to it counts")
    overwrite_groups: bool = Field(False, description="replace other offsets that groups have on the target")
    configs: bool = Field(True, description="topics that are made get their archived settings at the end")
    apply_retention: bool = Field(False, description="their retention as well, which may delete what was restored")
    acls: bool = Field(False, description="add the archived access control")
    compare: Compare = Field(Compare.SAMPLED, description="what is read once more at the end: " + ", ".join(Compare))
    run_id: str = Field(
        "", description="a name for the run; the same one goes on where it stopped", pattern="^[A-Za-z0-9._-]{0,80}$"
    )
    workers: int = Field(1, description="processes that share the partitions", ge=1, le=64)
    dry_run: bool = Field(False, description="plan, look at the target and print; write nothing")
    finish: str = Field("", description="id of a run whose topics get their final settings now; restores nothing")

    def request(self) -> RestoreRequest:
        return parse_request(
            {
                "topics": items(self.topics),
                "all": self.all,
                "exclude_topics": items(self.exclude_topics),
                "partitions": items(self.partitions),
                "offsets": items(self.offsets),
                "incarnation": _pairs("--incarnation", self.incarnation),
                "since": self.since or None,
                "until": self.until or None,
                "cut": self.cut or None,
                "at_cut": self.at_cut or None,
                "as_of": self.as_of or None,
                "prefix": self.prefix,
                "rename": _pairs("--rename", self.rename),
                "large_topics_last": self.large_topics_last or None,
                "allow": items(self.allow),
                "repartition": self._repartition(),
                "replication": self.replication or None,
                "source_offset_header": self.source_offset_header,
                "allow_existing": self.allow_existing,
                "throttle": self.throttle or None,
                "groups": self._groups(),
                "configs": self.configs,
                "apply_retention": self.apply_retention,
                "acls": self.acls,
                "compare": self.compare,
            }
        )

    def _repartition(self) -> dict[str, Any] | None:
        if self.repartition_to and not self.repartition:
            raise WrongUsage("--repartition-to needs --repartition", hint="say how records are placed: murmur2")
        return {"by": self.repartition, "partitions": self.repartition_to or None} if self.repartition else None

    def _groups(self) -> dict[str, Any] | None:
        if not self.with_groups:
            self._refuse_idle_flags()
            return None
        return {
            "include": self.include or (".*",),
            "exclude": self.exclude,
            "at": self.groups_at or None,
            "prefix": self.group_prefix,
            "overwrite": self.overwrite_groups,
        }

    def _refuse_idle_flags(self) -> None:
        """Somebody who chooses groups wants some. In a file, which several verbs may share, they may stand idle."""
        idle = [name for name in _OF_GROUPS if getattr(self, name) and name not in self._file]
        if idle:
            told = ", ".join("--" + name.replace("_", "-") for name in idle)
            raise WrongUsage(f"{told} without --with-groups: no groups are asked for", hint="add --with-groups")


class RestoreJobSettings(TargetSettings):
    """One array index of the restore job."""

    verb: ClassVar[str] = "restore"

    run_id: str = Field(description="the run to work on", min_length=1)
    units: int = Field(1, description="how many workers share the run", ge=1)


def _pairs(flag: str, text: str) -> dict[str, Any]:
    pairs = [item.partition("=") for item in items(text)]
    if any(not separator for _, separator, _ in pairs):
        raise WrongUsage(f"{flag} takes NAME=VALUE pairs", hint="separate them with commas")
    found = {name: value for name, _, value in pairs}
    if len(found) < len(pairs):
        raise WrongUsage(f"{flag} names a topic twice", hint="give each topic one value")
    return found
