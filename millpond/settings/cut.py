"""Settings of `millpond cut`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from millpond.errors import WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.settings.parts import ArchiveSettings, ClusterSettings, CommaList, items


def _any_brokers(brokers: str, _: ValidationInfo) -> str:
    return brokers


class CutSettings(ArchiveSettings, ClusterSettings):
    """Ends of topics and offsets of groups, as one named state."""

    model_config = SettingsConfigDict(cli_shortcuts={"json-output": "json", "list-cuts": "list"})
    verb: ClassVar[str] = "cut"

    cut_name: CliPositionalArg[str] = Field("", description="name of the cut; one that is taken is refused")
    topics: CommaList = Field("", description="regular expressions that match whole topic names; all by default")
    exclude_topics: CommaList = Field("", description="expressions of topics to leave out")
    list_cuts: bool = Field(False, description="list the cuts of the archive; needs no brokers")
    dry_run: bool = Field(False, description="read and print, write nothing")

    # In place of the refusal of `ClusterSettings`: a list needs no brokers. `cluster` refuses instead.
    _brokers_or_service = field_validator("brokers")(_any_brokers)  # type: ignore[assignment]

    def cluster(self) -> Cluster:
        if not self.brokers and not self.brokers_srv:
            raise WrongUsage("--brokers is missing", hint="see `millpond cut --help`")
        return super().cluster()

    def name(self) -> str:
        """`WrongUsage` where it is missing."""
        if not self.cut_name:
            raise WrongUsage(
                "the cut has no name", hint="write `millpond cut NAME ...`, or `--list` to see those there are"
            )
        return self.cut_name

    def selection(self) -> Selection:
        return Selection.of(items(self.topics) or (".*",), items(self.exclude_topics))
