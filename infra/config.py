"""What one deployment is: a frozen model, read once in `app.py` from TOML. Nothing below reads files or variables."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

HostPort: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+:[0-9]{1,5}$")]
TopicName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Zone: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
SecretPlace: TypeAlias = Annotated[str, Field(pattern=r"^(secretsmanager:[^#]+(#.+)?)?$")]
KafkaProperty: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9._]+$")]
Email: TypeAlias = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)]
PathSource: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^(partition|timestamp\.(date|month|hour)|key|"
        r"(key|value)(\.[A-Za-z0-9_-]+)+|header\.[A-Za-z0-9._-]+)$",
        max_length=64,
    ),
]

_SECRETS = ("password_from", "ca_cert", "client_cert", "client_key", "client_key_password_from")

# What each way into Kafka must be told, and what else it may be told.
_TAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plaintext": ((), ()),
    "tls": ((), ("ca_cert",)),
    "mtls": (("client_cert", "client_key"), ("ca_cert", "client_key_password_from")),
    "scram": (("password_from",), ("ca_cert", "username")),
    "iam": (("cluster_arn",), ("ca_cert",)),
}

# What Fargate sells: memory for each cpu value (AWS, "Task CPU and memory"). Anything else fails only at deployment.
FARGATE_MIB: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
}


# Whatever these are set to would stand in the templates for all to read.
_SECRET_PROPERTY = re.compile(r"password|secret|\.pem$|jaas|credential")

MIB_PER_WORKER = 300
"""Memory that one process of the backup takes at most, by its performance budget."""
_MOST_TEXT = 16 * 1024
"""Characters of a file that is told in a variable: a task's definition holds 64 KiB in all."""


class ConfigError(Exception):
    """The deployment's file cannot be used; the message names the file, every wrong field and a hint."""


class Section(BaseModel):
    """A frozen part of the file. Unknown fields are refused, so that a typing mistake is not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Access(Section):
    """A Kafka cluster and the way into it. Passwords, keys and certificates are in Secrets Manager; their places are
    told as `secretsmanager:NAME` or `secretsmanager:ARN`, with `#FIELD` where the secret is JSON with several."""

    brokers: tuple[HostPort, ...] = Field(default=(), min_length=1)
    brokers_srv: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    security: Literal["plaintext", "tls", "mtls", "scram", "iam"] = "plaintext"
    username: str = ""
    password_from: SecretPlace = ""
    ca_cert: SecretPlace = ""
    client_cert: SecretPlace = ""
    client_key: SecretPlace = ""
    client_key_password_from: SecretPlace = ""
    secrets_key_arn: str = Field(default="", pattern=r"^(arn:[a-z-]+:kms:.+)?$")
    properties: dict[KafkaProperty, str] = Field(default_factory=dict)
    cluster_arn: str = Field(default="", pattern=r"^(arn:[a-z-]+:kafka:[a-z0-9-]+:[0-9]{12}:cluster/[^/]+/[^/]+)?$")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.brokers) == bool(self.brokers_srv):
            raise ValueError("name either brokers or brokers_srv")
        return self

    @field_validator("properties")
    @classmethod
    def _no_secret_in_the_open(cls, properties: dict[str, str]) -> dict[str, str]:
        if found := sorted(name for name in properties if _SECRET_PROPERTY.search(name)):
            raise ValueError(f"{', '.join(found)} would be readable by all; say where the secret is, by password_from")
        return properties

    @model_validator(mode="after")
    def _what_the_way_in_takes(self) -> Self:
        needs, takes = _TAKES[self.security]
        told = {name for name in (*_SECRETS, "username", "cluster_arn") if getattr(self, name)}
        if missing := sorted(set(needs) - told):
            raise ValueError(f"security = {self.security} needs {' and '.join(missing)}")
        if useless := sorted(told - set(needs) - set(takes)):
            raise ValueError(f"security = {self.security} has no use for {' and '.join(useless)}")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names or ARNs of all secrets that the way in names, each once."""
        places = [getattr(self, name) for name in _SECRETS if getattr(self, name)]
        return tuple(dict.fromkeys(place.removeprefix("secretsmanager:").partition("#")[0] for place in places))

    def environment(self, prefix: str = "") -> dict[str, str]:
        """The product's variables; `TO_` stands before those of a restore's target."""
        told = {
            "BROKERS": ",".join(self.brokers),
            "BROKERS_SRV": self.brokers_srv,
            "SECURITY": "" if self.security == "plaintext" else self.security,
            "MSK_REGION": self.cluster_arn.split(":")[3] if self.cluster_arn else "",
            "KAFKA": json.dumps(self.properties) if self.properties else "",
            **{name.upper(): getattr(self, name) for name in (*_SECRETS, "username")},
        }
        return {f"MILLPOND_{prefix}{name}": text for name, text in told.items() if text}


class Kafka(Access):
    """The cluster that is backed up, and the one that restores write to (the same, unless named)."""

    target: Access | None = None

    @property
    def restores_to(self) -> Access:
        return self.target or self


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
    """What is backed up, how soon it is in S3, and how each task does it.

    `key_schema` and `erasure_policy` are files beside this one; what is in them is told to the tasks.
    """

    topics: tuple[str, ...] = ()
    topic_names: tuple[TopicName, ...] = ()
    exclude_topics: tuple[str, ...] = ()
    max_age_s: int = Field(default=300, ge=1)
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_records: int = Field(default=0, ge=0)
    codec: Literal["zstandard", "deflate", "null"] = "zstandard"
    tasks: int = Field(default=1, ge=0)
    workers: int = Field(default=1, ge=1, le=256)
    settle_s: float = Field(default=0, ge=0)
    spool_bytes: int = Field(default=0, ge=0)
    skip_unreadable: bool = False
    group_id: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=255)
    partition_by: tuple[PathSource, ...] = Field(default=(), max_length=4)
    key_schema: str = Field(default="", max_length=_MOST_TEXT)
    erasure_policy: str = Field(default="", max_length=_MOST_TEXT)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"

    @field_validator("topics", "exclude_topics")
    @classmethod
    def _regexes(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _comma_list(patterns)

    @field_validator("key_schema", "erasure_policy")
    @classmethod
    def _json(cls, text: str) -> str:
        try:
            is_object = isinstance(json.loads(text or "{}"), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise ValueError("the file holds no JSON object")
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.topics and not self.topic_names:
            raise ValueError("no topic is chosen: name some in topics or topic_names")
        if self.workers * MIB_PER_WORKER > self.memory_mib:
            raise ValueError(f"{self.workers} workers need memory_mib = {self.workers * MIB_PER_WORKER} or more")
        if self.spool_bytes > self.disk_gib << 30:
            raise ValueError("spool_bytes is more than disk_gib")
        if len(set(self.partition_by)) < len(self.partition_by):
            raise ValueError("partition_by names a source twice")
        if (self.key_schema or self.erasure_policy) and not self.partition_by:
            raise ValueError("key_schema and erasure_policy are for partition_by")
        return self

    def environment(self) -> dict[str, str]:
        """The product's variables."""
        told = {
            "TOPICS": ",".join(self.topics),
            "TOPIC_NAMES": ",".join(self.topic_names),
            "EXCLUDE_TOPICS": ",".join(self.exclude_topics),
            "MAX_AGE": str(self.max_age_s),
            "MAX_BYTES": str(self.max_bytes),
            "MAX_RECORDS": str(self.max_records),
            "CODEC": self.codec,
            "WORKERS": str(self.workers),
            "SETTLE": str(self.settle_s),
            "SPOOL_BYTES": str(self.spool_bytes),
            "SKIP_UNREADABLE": str(self.skip_unreadable).lower(),
            "GROUP_ID": self.group_id,
            "PARTITION_BY": ",".join(self.partition_by),
            "KEY_SCHEMA": self.key_schema,
            "ERASURE_POLICY": self.erasure_policy,
            "LOG_LEVEL": self.log_level,
        }
        return {f"MILLPOND_{name}": text for name, text in told.items() if text}


class Jobs(Container):
    """The Batch jobs: how large each is, how many cores run at once, how long one may take, how much it is given."""

    max_vcpus: int = Field(default=64, ge=1)
    timeout_h: int = Field(default=24, ge=1, le=14 * 24)
    bytes_per_job: int | None = Field(default=None, ge=1)

    @property
    def sharing(self) -> dict[str, str]:
        """The planners' variable, where it is set; else the product decides."""
        return {} if self.bytes_per_job is None else {"MILLPOND_BYTES_PER_UNIT": str(self.bytes_per_job)}


class Snapshots(Section):
    """How often consumer groups and the cluster's own settings are kept, and of which groups; 0 minutes is never."""

    groups_interval_min: int = Field(default=1, ge=0)
    cluster_interval_min: int = Field(default=10, ge=0)
    groups: tuple[str, ...] = ()
    exclude_groups: tuple[str, ...] = ()

    @field_validator("groups", "exclude_groups")
    @classmethod
    def _regexes(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _comma_list(patterns)


class Results(Section):
    """Who is told how runs end. Each address is asked by AWS to confirm."""

    emails: tuple[Email, ...] = ()


class Restore(Section):
    """What restores may do on clusters that ask IAM (Amazon MSK), beside writing topics and groups."""

    acls: bool = False


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


class Alarms(Section):
    """When the backup is behind: seconds that a record may wait for the archive (default: three times max_age_s, at
    least ten minutes), and offsets that may be unread (default: no alarm)."""

    recovery_point_s: int | None = Field(default=None, ge=1)
    lag: int | None = Field(default=None, ge=1)


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
    reserve_concurrency: bool = True
    retain: bool = True
    kafka: Kafka
    backup: Backup
    network: Network
    jobs: Jobs = Jobs()
    snapshots: Snapshots = Snapshots()
    alarms: Alarms = Alarms()
    restore: Restore = Restore()
    results: Results = Results()

    @model_validator(mode="after")
    def _alarms_above_what_is_usual(self) -> Self:
        usual_s = self.backup.max_age_s * 6 // 5 + 60  # a fifth later at most, confirmed, and uploaded
        if self.alarms.recovery_point_s is not None and self.alarms.recovery_point_s < usual_s:
            raise ValueError(f"alarms.recovery_point_s is below {usual_s} s, which a healthy backup may take")
        return self

    @model_validator(mode="after")
    def _a_group_that_it_may_use(self) -> Self:
        group_id = self.backup.group_id
        if self.kafka.security == "iam" and group_id and not group_id.startswith("millpond-"):
            raise ValueError("backup.group_id must begin with millpond-: other groups are not in the consumer's rights")
        return self

    @property
    def recovery_point_limit_s(self) -> int:
        """Seconds that a record may wait for the archive before it alarms."""
        return self.alarms.recovery_point_s or max(600, 3 * self.backup.max_age_s)

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


def _comma_list(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Regular expressions that fit into one comma-separated variable."""
    for number, pattern in enumerate(patterns, 1):
        if "," in pattern:
            raise ValueError(f"regex {number} holds a comma, which separates regexes")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"regex {number} is no regular expression: {error}") from None
    return patterns


def load(path: Path) -> Deployment:
    """Read and check the file. Raises `ConfigError` with all that is wrong."""
    try:
        return Deployment.model_validate(_with_files(tomllib.loads(path.read_text(encoding="utf-8")), path))
    except OSError as error:
        raise ConfigError(_say(path, [error.strerror or "unreadable"])) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(_say(path, [f"no TOML: {error}"])) from None
    except ValidationError as error:
        raise ConfigError(_say(path, [_field(problem["loc"], problem["msg"]) for problem in error.errors()])) from None


def _with_files(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """With the texts of the files that it names. Raises `ConfigError` where one cannot be read."""
    backup = document.get("backup")
    if not isinstance(backup, dict):
        return document
    for name in ("key_schema", "erasure_policy"):
        if isinstance(named := backup.get(name), str) and named:
            try:
                backup[name] = (path.parent / named).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is no text"
                raise ConfigError(_say(path, [f"backup.{name}: cannot read {named}: {reason}"])) from None
    return document


def _field(where: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, where)) or 'the file'}: {message.removeprefix('Value error, ')}"


def _say(path: Path, problems: list[str]) -> str:
    hint = "hint: deployment.example.toml shows every field; another file is named with -c config=FILE"
    return "\n".join(
        [f"cannot use the deployment described in {path}", *(f"  {problem}" for problem in problems), hint]
    )
