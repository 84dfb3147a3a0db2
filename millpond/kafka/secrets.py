"""Secrets of a Kafka client. A setting names the place of a secret, never the secret itself."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond.errors import TryAgain, WrongUsage

_LOG = logging.getLogger(__name__)
_KINDS = ("file", "env", "secretsmanager")
_FORMS = "file:/path, env:NAME or secretsmanager:NAME#FIELD"
_FRESH_S = 60.0

Fetch = Callable[[str], str]
"""The text of a secret in Secrets Manager, by name or ARN."""


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where a secret is.

    Attributes:
        kind: file, env or secretsmanager.
        name: Path, variable, or name or ARN.
        field: Of the JSON object that a secret in Secrets Manager may be; "" for all of it.
    """

    kind: str
    name: str
    field: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" + (f"#{self.field}" if self.field else "")


def secret_place(text: str, flag: str) -> SecretPlace:
    """The place that a flag names. `WrongUsage` where it names none; the text may be a secret and is not repeated."""
    kind, _, name = text.partition(":")
    if kind not in _KINDS or not name:
        raise WrongUsage(f"{flag} names no place of a secret", hint=f"say {_FORMS}, never the secret itself")
    if kind != "secretsmanager":
        return SecretPlace(kind, "/" + name.lstrip("/") if name.startswith("//") else name)
    name, _, field = name.partition("#")
    return SecretPlace(kind, name, field)


def pem_place(text: str, flag: str) -> SecretPlace:
    """As `secret_place`, but a path may stand alone."""
    if "-----BEGIN" in text:
        raise WrongUsage(
            f"{flag} holds a key or certificate", hint=f"put it into a file and name that, or say {_FORMS}"
        )
    if text.partition(":")[0] in _KINDS:
        return secret_place(text, flag)
    return SecretPlace("file", text)


class Secrets:
    """Reads secrets, each time they are asked for, so that a new one counts for the next client.

    Files that are just being replaced and a Secrets Manager that does not answer are bridged with what was read last.
    Secrets Manager is asked at most once a minute for each secret.
    """

    def __init__(
        self,
        fetch: Fetch | None = None,
        environment: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._environment, self._now = fetch, environment, now
        self._read: dict[SecretPlace, tuple[float, str]] = {}

    def text(self, place: SecretPlace) -> str:
        """The secret.

        Raises:
            WrongUsage: It is not there, may not be read, is empty, or lacks the field.
            TryAgain: Secrets Manager did not answer, and never has.
        """
        if place.kind == "secretsmanager" and place.field:
            return _field(self._whole(place), place)
        return self._whole(place)

    def login(self, place: SecretPlace, username: str) -> tuple[str, str]:
        """User and password. A secret of Secrets Manager may be JSON with both; a named user counts more.

        Raises: As `text`; `WrongUsage` where nobody names the user.
        """
        text = self.text(place)
        pair = _object(text) if place.kind == "secretsmanager" and not place.field else None
        user, password = (pair.get("username"), pair.get("password")) if pair else ("", text)
        if not isinstance(password, str) or not password:
            raise WrongUsage(f'{place} is JSON without a text "password"', hint="name another field with #FIELD")
        if not (username or user):
            raise WrongUsage(f"{place} does not name the user", hint='name the user beside it, or add "username"')
        return username or str(user), password

    def _whole(self, place: SecretPlace) -> str:
        whole = SecretPlace(place.kind, place.name)
        known = self._read.get(whole)
        if place.kind == "secretsmanager" and known and self._now() < known[0] + _FRESH_S:
            return known[1]
        try:
            text = self._read_now(whole)
        except (_Absent, TryAgain) as failure:
            if not known:
                raise
            _LOG.warning("using what was read of it before: %s", failure.args[0])
            return known[1]
        self._read[whole] = self._now(), text
        return text

    def _read_now(self, place: SecretPlace) -> str:
        if place.kind == "env":
            text = self._environment.get(place.name, "")
        elif place.kind == "file":
            text = _file(place)
        elif self._fetch is None:
            raise WrongUsage(f"cannot read {place}: Secrets Manager is not within reach of this program")
        else:
            text = self._fetch(place.name)
        if not text:
            raise _Absent(f"cannot read {place}: it is not there, or empty", hint="check its name")
        return text


class _Absent(WrongUsage):
    """There is nothing at the place, now."""


def _file(place: SecretPlace) -> str:
    try:
        return Path(place.name).read_text().rstrip("\r\n")
    except OSError as error:
        raise _Absent(f"cannot read {place}: {error.strerror}", hint="check the path and its permissions") from error
    except UnicodeDecodeError:
        raise WrongUsage(f"cannot read {place}: it is not text") from None


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _field(text: str, place: SecretPlace) -> str:
    found = (_object(text) or {}).get(place.field)
    if not isinstance(found, str) or not found:
        raise WrongUsage(
            f"{place}: the secret is not JSON with the text field {place.field}", hint="check what stands behind the #"
        )
    return found
