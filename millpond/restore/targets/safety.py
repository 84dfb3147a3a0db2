"""Settings of target topics: those that keep a topic safe while records are written to it, and those of the end.

While restoring nothing may be deleted, compacted, stamped anew or refused for its age. What a topic that is made gets
at the end is what the archive knows of the source; a topic that was there gets back what it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from millpond.kafka.topic_changes import NO_RIGHT, Denial

_EVER = "9223372036854775807"

ESSENTIAL = {
    # Restored records are old: retention would delete them minutes after they land.
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    # LogAppendTime would overwrite every timestamp.
    "message.timestamp.type": "CreateTime",
}
HELPFUL = {
    # Kafka rolls a segment when record times jump, and restored times do.
    "segment.ms": _EVER,
    # The limits refuse old and future timestamps.
    "message.timestamp.before.max.ms": _EVER,
    "message.timestamp.after.max.ms": _EVER,
    # It limits batches as they are compressed, and the archive does not know how the source compressed them.
    "max.message.bytes": "1073741824",
}
"""Some clusters allow less; records may still fit."""

SAFE_CONFIG = ESSENTIAL | HELPFUL

RETENTION = ("retention.bytes", "retention.ms")

# These decide how records are stored as they are written; set afterwards they would change nothing.
_FROM_THE_START = (
    "compression.type",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "segment.bytes",
)
# They name brokers of the source, or belong to one vendor's service.
_OF_THE_SOURCE = ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas")
_VENDORS = "confluent."


@dataclass(frozen=True, slots=True)
class Accepted:
    """What brokers say to settings.

    Attributes:
        config: What they take.
        refused: Kafka's code by the name of each setting that they do not take.
        denial: Why they take nothing at all.
    """

    config: Mapping[str, str]
    refused: Mapping[str, str] = field(default_factory=dict)
    denial: Denial | None = None


Ask = Callable[[Mapping[str, str]], Denial | None]


def accepted(ask: Ask, wanted: Mapping[str, str], essential: Mapping[str, str] = ESSENTIAL) -> Accepted:
    """Which of the wanted settings brokers take, all at once or, where that is refused, one after the other.

    Args:
        essential: Without these there is no use in the others.
    """
    denial = ask(wanted)
    if denial is None:
        return Accepted(wanted)
    if denial.code in NO_RIGHT or (denial := ask(essential)) is not None:
        return Accepted({}, denial=denial)
    taken, refused = dict(essential), {}
    for name, text in wanted.items():
        if name in essential:
            continue
        if (denial := ask({**taken, name: text})) is None:
            taken[name] = text
        else:
            refused[name] = denial.code
    return Accepted(taken, refused)


def portable(archived: Mapping[str, str]) -> dict[str, str]:
    """The settings of a source topic that mean the same elsewhere."""
    kept = {name: text for name, text in archived.items() if name not in _OF_THE_SOURCE}
    return {name: text for name, text in sorted(kept.items()) if not name.startswith(_VENDORS)}


def made_with(final: Mapping[str, str]) -> dict[str, str]:
    """What a topic is made with that is to end with these settings."""
    return {name: text for name, text in final.items() if name in _FROM_THE_START} | SAFE_CONFIG


def restored_to(prior: Mapping[str, str]) -> dict[str, str]:
    """What a topic that was there ends with: only what the restore changes is changed back."""
    return {name: text for name, text in prior.items() if name in SAFE_CONFIG}


def held(final: Mapping[str, str], *, apply_retention: bool) -> list[str]:
    """Settings that stay as they are while restoring: retention would delete the restored history at once."""
    return [] if apply_retention else [name for name in RETENTION if final.get(name) != "-1"]


def compacts(final: Mapping[str, str]) -> bool:
    return "compact" in final.get("cleanup.policy", "")


def left_safe(config: Mapping[str, str]) -> bool:
    """Whether a topic looks as if a restore had not been finished."""
    return config.items() >= ESSENTIAL.items()
