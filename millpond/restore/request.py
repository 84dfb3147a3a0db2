"""What a restore is asked for: a small document that a person can type into a console."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from millpond.archive.cuts import NAME
from millpond.clock import moment_of
from millpond.errors import WrongUsage
from millpond.restore.planning.choice import Choice
from millpond.restore.planning.moments import Moments

TopicName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class Trouble(StrEnum):
    """What stops a plan, unless the request allows it by this name."""

    UNEXPLAINED = "unexplained-ranges"
    PARTS = "missing-parts"
    MISSING = "missing"
    TOMBSTONES = "tombstones-maybe-lost"
    BEHIND_CUT = "behind-cut"


def _moment(given: Any) -> Any:
    if isinstance(given, str):
        try:
            return moment_of(given)
        except ValueError as error:
            raise ValueError("write 2026-01-31T12:00:00Z or milliseconds since 1970") from error
    return given


def _text(given: Any) -> Any:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _expression(given: str) -> str:
    try:
        re.compile(given)
    except re.error as error:
        raise ValueError(f"{given[:60]!r} is not a regular expression: {error}") from error
    return given


Expression = Annotated[str, AfterValidator(_expression)]
"""Matches whole names. Those of groups are needed only when all records are written: a wrong one is told before."""

Moment = Annotated[int, Field(strict=True, ge=0, lt=10**15), BeforeValidator(_moment, json_schema_input_type=int | str)]
"""Epoch ms."""


class Compare(StrEnum):
    """How much of the target is read once more at the end and held against the archive."""

    NONE = "none"
    SAMPLED = "sampled"
    WHOLE = "whole"


EVERY_GROUP = (".*",)


class GroupsAsked(BaseModel):
    """Which consumer groups go along, and how.

    Attributes:
        include, exclude: Expressions that match whole names of groups.
        exclude_topics: Expressions of archived topics whose offsets are left out.
        at: The last snapshot up to this time counts; without it that of `at_cut`, or the last up to `cut` or `until`,
            or the newest.
        prefix: Put in front of the groups' names.
        overwrite: Replace other offsets that groups have on the target.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    include: tuple[Expression, ...] = EVERY_GROUP
    exclude: tuple[Expression, ...] = ()
    exclude_topics: tuple[Expression, ...] = ()
    at: Moment | None = None
    prefix: Annotated[str, StringConstraints(max_length=200)] = ""
    overwrite: bool = False


class Repartition(BaseModel):
    """Where records go in topics with another number of partitions.

    Attributes:
        by: `murmur2`, as Java producers place records by their keys, or `module:function`.
        partitions: Of the target topics; None for what topics have that are there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    by: Annotated[str, StringConstraints(pattern=r"^(murmur2|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$")] = "murmur2"
    partitions: Annotated[int, Field(ge=1, le=100_000)] | None = None


def _asked(given: Any) -> Any:
    """`true` is what the defaults say, `false` is none."""
    return {} if given is True else None if given is False else given


class RestoreRequest(BaseModel):
    """Which records, to which topics, and what comes after them.

    Attributes:
        topics: Regular expressions that match whole names of archived topics, in the order of restoring.
        all: Every archived topic; one of the two must be given.
        exclude_topics: Expressions of topics to leave out.
        partitions: As `millpond.restore.planning.choice` has them.
        offsets: Likewise.
        incarnation: Topic id to take, for topics that were deleted and made again.
        since, until: Timestamps of the oldest and newest record to take, both inclusive.
        cut: Each partition ends before its first record, by offset, with a timestamp behind this.
        at_cut: Each partition ends where the cut of this name says.
        as_of: The archive is read as the bucket held it at this moment, in whole seconds.
        prefix: Put in front of the target topics' names.
        rename: Target name by archived name; the prefix is not added to these.
        large_topics_last: Topics of at least so many stored bytes come after all others.
        allow: What would stop the plan and shall not.
        repartition: For target topics with another number of partitions than the archived ones.
        replication: Replicas of topics that are made; None for the archived number, as far as brokers suffice.
        source_offset_header: Whether each record gets the header `restore.source-offset`.
        allow_existing: Whether target topics may hold records already; restored ones come after them.
        throttle: Bytes a second that all workers together write at most.
        groups: Consumer groups to apply after the records; None for none.
        configs: Whether topics that the run makes get their archived settings at the end.
        apply_retention: Whether retention is among them, and comes back on topics that were there.
        acls: Whether archived access control is added to the target cluster.
        compare: What is read once more at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    topics: tuple[str, ...] = ()
    all: bool = False
    exclude_topics: tuple[str, ...] = ()
    partitions: tuple[Annotated[str, BeforeValidator(_text, json_schema_input_type=int | str)], ...] = ()
    offsets: tuple[str, ...] = ()
    incarnation: dict[str, str] = Field(default_factory=dict)
    since: Moment | None = None
    until: Moment | None = None
    cut: Moment | None = None
    at_cut: Annotated[str, StringConstraints(pattern=f"^{NAME}$")] | None = None
    as_of: Moment | None = None
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{0,100}$")] = ""
    rename: dict[TopicName, TopicName] = Field(default_factory=dict)
    large_topics_last: Annotated[int, Field(ge=1)] | None = None
    allow: tuple[Trouble, ...] = ()
    repartition: Annotated[
        Repartition | None, BeforeValidator(_asked, json_schema_input_type=bool | Repartition | None)
    ] = None
    replication: Annotated[int, Field(ge=1, le=100)] | None = None
    source_offset_header: bool = False
    allow_existing: bool = False
    throttle: Annotated[int, Field(ge=1)] | None = None
    groups: Annotated[GroupsAsked | None, BeforeValidator(_asked, json_schema_input_type=bool | GroupsAsked | None)] = (
        None
    )
    configs: bool = True
    apply_retention: bool = False
    acls: bool = False
    compare: Compare = Compare.SAMPLED

    @model_validator(mode="after")
    def _whole(self) -> RestoreRequest:
        if bool(self.topics) == self.all:
            raise ValueError("name the topics to restore, or all of them, but not both")
        if self.cut is not None and (self.at_cut is not None or self.until is not None or self.offsets):
            raise ValueError("cut says where a partition ends: give no at_cut, until or offsets beside it")
        if self.since is not None and any(end is not None and self.since > end for end in (self.until, self.cut)):
            raise ValueError("since lies behind the end")
        if self.repartition is not None and self.groups is not None:
            raise ValueError("groups cannot follow records to other partitions: leave groups out with repartition")
        self.choice()
        return self

    def choice(self) -> Choice:
        """Which partitions and offsets."""
        return Choice.of(self.partitions, self.offsets)

    def moments(self) -> Moments:
        """Which timestamps."""
        return Moments(self.since, self.until)

    def target(self, topic: str) -> str:
        """The name of the topic that this one is restored to."""
        return self.rename.get(topic, self.prefix + topic)


def parse_request(document: Any) -> RestoreRequest:
    """The request in a document from outside; `WrongUsage` says which field is wrong."""
    try:
        return RestoreRequest.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'request'}: {e['msg']}" for e in error.errors())
        raise WrongUsage(
            f"the restore request is not valid: {problems}",
            hint='an example: {"topics": ["orders"], "prefix": "restored."}',
        ) from error
