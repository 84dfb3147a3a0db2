"""Settings of `millpond cat`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from millpond.archive.coverage import Span
from millpond.inspect.choice import LAST_OFFSET
from millpond.settings.looks import offsets_of
from millpond.settings.parts import ArchiveSettings

_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\0": "\0"}


class CatSettings(ArchiveSettings):
    """Records of one object, or of a range of offsets."""

    verb: ClassVar[str] = "cat"

    object: str = Field("", description="key of a window, as `millpond ls` lists it; or say --topic and --partition")
    topic: str = Field("", description="name of one archived topic")
    partition: int | None = Field(None, description="number of one partition", ge=0)
    incarnation: str = Field("", description="topic id, for a topic that was deleted and made again")
    offsets: str = Field("", description="first-last, first- or one offset; the whole partition by default")
    format: str = Field("jsonl", description="jsonl, avro or raw (values alone)", pattern="^(jsonl|avro|raw)$")
    delimiter: str = Field("\\n", description="what ends a value in the format raw; \\n, \\t, \\r and \\0 are known")
    limit: int | None = Field(None, description="records, at most", ge=0)

    @model_validator(mode="after")
    def _one_of_both(self) -> CatSettings:
        ranged = bool(self.topic) and self.partition is not None
        if bool(self.object) == ranged or (self.object and (self.topic or self.offsets or self.incarnation)):
            raise ValueError("name either --object, or --topic and --partition")
        if self.json_output and self.format != "jsonl":
            raise ValueError("--json goes with the format jsonl only")
        return self

    def span(self) -> Span:
        return offsets_of(self.offsets) or Span(0, LAST_OFFSET)

    def delimiter_bytes(self) -> bytes:
        text = self.delimiter
        for written, meant in _ESCAPES.items():
            text = text.replace(written, meant)
        return text.encode()
