"""What a restore is asked for: a small document that a person can type into a console."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from millpond.errors import WrongUsage

TopicName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class RestoreRequest(BaseModel):
    """Which topics, from which life of theirs, to which names.

    Attributes:
        topics: Regular expressions that match whole names of archived topics, in the order of restoring.
        all: Every archived topic; one of the two must be given.
        exclude_topics: Expressions of topics to leave out.
        incarnation: Topic id to take, for topics that were deleted and made again.
        prefix: Put in front of the target topics' names.
        rename: Target name by archived name; the prefix is not added to these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    topics: tuple[str, ...] = ()
    all: bool = False
    exclude_topics: tuple[str, ...] = ()
    incarnation: dict[str, str] = Field(default_factory=dict)
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{0,100}$")] = ""
    rename: dict[TopicName, TopicName] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _some_topics(self) -> RestoreRequest:
        if bool(self.topics) == self.all:
            raise ValueError("name the topics to restore, or all of them, but not both")
        return self

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
