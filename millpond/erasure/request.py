"""Requests to forget somebody, read from bytes that must never be repeated: not in an error, a log or a representation.

The canonical form of an identifier is, so far, exactly what was given, as UTF-8. A JSON string is compared by its
content and a JSON number by its text as it stands in the document: the value `42` matches `"42"` and `42`, but neither
`42.0` nor `"042"`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from millpond.erasure.policy import STRICT, ExemptTopic, Place, Policy, SearchedTopic, SubjectType
from millpond.errors import WrongUsage

STOP_LIST = frozenset({"null", "unknown", "0"})
"""What systems write where they know nobody: as an identifier it would erase many."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


def canonical(value: str) -> bytes:
    """The form in which identifiers are hashed and compared."""
    return value.encode()


class Subject(BaseModel):
    """One identifier of a person."""

    model_config = STRICT

    type: SubjectType
    value: SecretStr

    @field_validator("value")
    @classmethod
    def _must_identify(cls, value: SecretStr) -> SecretStr:
        bare = value.get_secret_value().strip().lower()
        if not bare or bare in STOP_LIST:
            raise PydanticCustomError("identifies_nobody", "the identifier is empty or on the stop list")
        return value

    def canonical(self) -> bytes:
        return canonical(self.value.get_secret_value())


def _tells(text: str, identifier: str) -> bool:
    """Short identifiers stand in many texts by chance."""
    return text == identifier or (len(identifier) >= 6 and identifier in text)


def _must_be_rfc_3339(value: object) -> object:
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return value
    raise PydanticCustomError("rfc_3339", "not a time with seconds and offset")


class RedactRequest(BaseModel):
    """What one person asked for.

    Attributes:
        topics: Regular expressions for whole topic names; none means all.
        received_at: When the request reached the controller: the legal term runs from here.
        reference: The controller's own number for it. It is stored, so it must not be an identifier.
    """

    model_config = STRICT

    request_id: UUID
    subjects: Annotated[tuple[Subject, ...], Field(min_length=1)]
    policy: Policy
    topics: tuple[str, ...] = ()
    received_at: Annotated[AwareDatetime, BeforeValidator(_must_be_rfc_3339)]
    reference: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}\z")]

    @field_validator("topics")
    @classmethod
    def _must_compile(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for pattern in topics:
                re.compile(pattern)
        except re.error:
            raise PydanticCustomError("regular_expression", "not a regular expression") from None
        return topics

    @model_validator(mode="after")
    def _must_not_store_an_identifier(self) -> RedactRequest:
        stored = [self.reference, str(self.request_id), *self.topics]
        if any(_tells(text, subject.value.get_secret_value()) for text in stored for subject in self.subjects):
            raise PydanticCustomError("identifier_is_stored", "an identifier stands in a field that is stored")
        return self

    @property
    def types(self) -> set[str]:
        return {subject.type for subject in self.subjects}

    def selects(self, topic: str) -> bool:
        return not self.topics or any(re.fullmatch(pattern, topic) for pattern in self.topics)

    @property
    def received_text(self) -> str:
        """`received_at` in UTC with whole seconds, RFC 3339."""
        return f"{self.received_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse_request(content: str | bytes) -> RedactRequest:
    """A request from its JSON.

    Raises:
        WrongUsage: With the fields and what is wrong with them, and nothing of what they hold.
    """
    return _parsed(RedactRequest, content, "the request")


def parse_policy(content: str | bytes) -> Policy:
    """A policy from its JSON; `WrongUsage` as for a request, since a policy may have been mistaken for one."""
    return _parsed(Policy, content, "the policy")


Model = TypeVar("Model", bound=BaseModel)


def _parsed(model: type[Model], content: str | bytes, name: str) -> Model:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        problems = _problems(error)
    # Outside of the handler, so that no exception that knows the input hangs on to ours.
    raise WrongUsage(
        f"{name} is refused: {'; '.join(problems)}", hint="correct these fields; what they hold is not repeated here"
    )


_FIELDS = {
    field
    for model in (RedactRequest, Subject, Policy, SearchedTopic, ExemptTopic, Place)
    for field in model.model_fields
}


def _problems(error: ValidationError) -> list[str]:
    """Field and code of each problem; neither names that the input chose nor pydantic's texts, which may quote it."""
    found = {
        (_where(problem["loc"]), problem["type"]) for problem in error.errors(include_input=False, include_url=False)
    }
    return [f"{where}: {code}" for where, code in sorted(found)][:20]


def _where(path: tuple[int | str, ...]) -> str:
    known = [str(part) if isinstance(part, int) or part in _FIELDS else "?" for part in path]
    return ".".join(known) or "document"
