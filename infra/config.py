"""What one deployment is: a frozen model, read once in `app.py` from TOML. Nothing below reads files or variables."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

HostPort: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+:[0-9]{1,5}$")]
Zone: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]

# What Fargate sells: memory for each cpu value (AWS, "Task CPU and memory"). Anything else fails only at deployment.
FARGATE_MIB: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
}


class ConfigError(Exception):
    """The deployment's file cannot be used; the message names the file, every wrong field and a hint."""


class Section(BaseModel):
    """A frozen part of the file. Unknown fields are refused, so that a typing mistake is not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Kafka(Section):
    """The cluster that is backed up, and the one that restores write to (the same, unless named)."""

    brokers: tuple[HostPort, ...] = Field(min_length=1)
    target_brokers: tuple[HostPort, ...] = ()
    security: Literal["plaintext"] = "plaintext"

    @property
    def restore_brokers(self) -> tuple[str, ...]:
        return self.target_brokers or self.brokers


class Container(Section):
    """Size of a Fargate task: cpu in Fargate's units (1024 is one core), memory in MiB, local disk in GiB."""

    cpu: int = 1024
    memory_mib: int = 2048
    disk_gib: int = Field(default=30, ge=21, le=200)

    @model_validator(mode="after")
    def _sold_by_fargate(self) -> Self:
        if self.memory_mib not in FARGATE_MIB.get(self.cpu, ()):
            raise ValueError("Fargate does not offer this pair of cpu and memory_mib")
        return self


class Backup(Container):
    """What is backed up, and how soon it is in S3."""

    topics: tuple[str, ...] = Field(min_length=1)
    exclude_topics: tuple[str, ...] = ()
    max_age_s: int = Field(default=300, ge=1)
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    tasks: int = Field(default=1, ge=0)

    @field_validator("topics", "exclude_topics")
    @classmethod
    def _regexes(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for number, pattern in enumerate(patterns, 1):
            if "," in pattern:  # the consumer takes one comma-separated list
                raise ValueError(f"regex {number} holds a comma, which separates regexes")
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"regex {number} is no regular expression: {error}") from None
        return patterns


class Jobs(Container):
    """The Batch jobs: how large each is, how many cores run at once, how long one may take, how much it is given."""

    max_vcpus: int = Field(default=64, ge=1)
    timeout_h: int = Field(default=24, ge=1, le=14 * 24)
    bytes_per_job: int | None = Field(default=None, ge=1)

    @property
    def sharing(self) -> dict[str, str]:
        """The planners' variable, where it is set; else the product decides."""
        return {} if self.bytes_per_job is None else {"MILLPOND_BYTES_PER_UNIT": str(self.bytes_per_job)}


class Network(Section):
    """Where the tasks run: an existing VPC, or (for trials) a small new one with public subnets only."""

    create: bool = False
    vpc_id: str = Field(default="", pattern=r"^(vpc-[0-9a-z]+)?$")
    availability_zones: tuple[Zone, ...] = ()
    private_subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _new_or_existing(self) -> Self:
        named = bool(self.vpc_id or self.availability_zones or self.private_subnet_ids or self.security_group_ids)
        if self.create and named:
            raise ValueError("create = true makes a network of its own; leave the other fields out")
        if not self.create and not (self.vpc_id and self.private_subnet_ids):
            raise ValueError("name vpc_id, availability_zones and private_subnet_ids, or say create = true")
        if len(self.private_subnet_ids) != len(self.availability_zones):
            raise ValueError("availability_zones and private_subnet_ids go in pairs")
        return self


class Deployment(Section):
    """One archive with everything around it."""

    name: str = Field(default="millpond", pattern=r"^[a-z][a-z0-9-]{0,30}$")
    account: str | None = Field(default=None, pattern=r"^[0-9]{12}$")
    region: str | None = Field(default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    prefix: str = Field(default="archive", pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", max_length=300)
    cpu_architecture: Literal["x86_64", "arm64"] = "x86_64"
    lambda_python: str = Field(default="3.12", pattern=r"^3\.[0-9]{1,2}$")
    lambda_platform: str | None = Field(default=None, pattern=r"^[a-z0-9_-]+$")
    log_retention_days: Literal[1, 7, 30, 90, 180, 365] = 30
    report_interval_min: int = Field(default=60, ge=1)
    retain: bool = True
    kafka: Kafka
    backup: Backup
    network: Network
    jobs: Jobs = Jobs()

    @property
    def bundle_platform(self) -> str:
        """uv's name of the platform that the Lambda bundle is made for: as said, or the runtime's."""
        return (
            self.lambda_platform
            or {
                "x86_64": "x86_64-manylinux_2_28",
                "arm64": "aarch64-manylinux_2_28",
            }[self.cpu_architecture]
        )


def load(path: Path) -> Deployment:
    """Read and check the file. Raises `ConfigError` with all that is wrong."""
    try:
        return Deployment.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(_say(path, [error.strerror or "unreadable"])) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(_say(path, [f"no TOML: {error}"])) from None
    except ValidationError as error:
        raise ConfigError(_say(path, [_field(problem["loc"], problem["msg"]) for problem in error.errors()])) from None


def _field(where: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, where)) or 'the file'}: {message.removeprefix('Value error, ')}"


def _say(path: Path, problems: list[str]) -> str:
    hint = "hint: deployment.example.toml shows every field; another file is named with -c config=FILE"
    return "\n".join(
        [f"cannot use the deployment described in {path}", *(f"  {problem}" for problem in problems), hint]
    )
