"""How a client shows who it is, and how it knows the brokers: the settings of TLS and SASL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from millpond.errors import WrongUsage
from millpond.kafka.iam import TokenSource
from millpond.kafka.secrets import SecretPlace, Secrets, pem_place, secret_place

Kind: TypeAlias = Literal["plaintext", "tls", "mtls", "scram", "iam"]

# What each kind must be told, and what it may be told.
_NEEDS: dict[Kind, tuple[str, ...]] = {
    "plaintext": (),
    "tls": (),
    "mtls": ("client_cert", "client_key"),
    "scram": ("password_from",),
    "iam": (),
}
_TAKES: dict[Kind, tuple[str, ...]] = {
    "plaintext": (),
    "tls": ("ca_cert",),
    "mtls": ("ca_cert", "client_cert", "client_key", "client_key_password_from"),
    "scram": ("ca_cert", "username", "password_from"),
    "iam": ("ca_cert", "msk_region"),
}
_MISSING = {
    "client_cert": "it names the client's certificate, a PEM file",
    "client_key": "it names the key of the client's certificate, a PEM file; it may be the same file",
    "password_from": "it names the place of the password: file:/path, env:NAME or secretsmanager:NAME",
    "username": "only a JSON secret of Secrets Manager can name the user itself",
}
FILES = {"ca_cert": "ssl.ca.location", "client_cert": "ssl.certificate.location", "client_key": "ssl.key.location"}
"""Settings that may name a file, by the client's property for it."""
_TEXTS = {"ca_cert": "ssl.ca.pem", "client_cert": "ssl.certificate.pem", "client_key": "ssl.key.pem"}


@dataclass(frozen=True, slots=True)
class Security:
    """One way into a cluster. It names places of secrets and holds none.

    Attributes:
        kind: plaintext; tls (only the brokers show a certificate); mtls (the client too); scram (user and password
            over TLS); iam (a role, for MSK).
        ca_cert: Authorities to trust; None for those of this machine.
        region: Of an MSK cluster, for iam.
    """

    kind: Kind = "plaintext"
    ca_cert: SecretPlace | None = None
    client_cert: SecretPlace | None = None
    client_key: SecretPlace | None = None
    client_key_password: SecretPlace | None = None
    username: str = ""
    password: SecretPlace | None = None
    region: str = ""

    def properties(self, secrets: Secrets) -> dict[str, Any]:
        """For librdkafka. Raises what `Secrets.text` and `TokenSource.check` raise."""
        if self.kind == "plaintext":
            return {}
        own: dict[str, Any] = {}
        for name, place in self._pems():
            own |= {FILES[name]: place.name} if place.kind == "file" else {_TEXTS[name]: secrets.text(place)}
        if self.client_key_password:
            own["ssl.key.password"] = secrets.text(self.client_key_password)
        if self.kind == "iam":
            tokens = TokenSource(self.region)
            tokens.check()
            return {**own, **_SASL, "sasl.mechanism": "OAUTHBEARER", "oauth_cb": tokens}
        if self.password:
            user, password = secrets.login(self.password, self.username)
            return {**own, **_SASL, "sasl.mechanism": _SCRAM, "sasl.username": user, "sasl.password": password}
        return {**own, "security.protocol": "SSL"}

    def files(self) -> Iterator[str]:
        """The files of secrets, beside those of `FILES`."""
        for place in (self.client_key_password, self.password):
            if place and place.kind == "file":
                yield place.name

    def pem_files(self) -> dict[str, str]:
        """Certificates and keys that are files, by the client's property."""
        return {FILES[name]: place.name for name, place in self._pems() if place.kind == "file"}

    def _pems(self) -> Iterator[tuple[str, SecretPlace]]:
        for name in FILES:
            place: SecretPlace | None = getattr(self, name)
            if place:
                yield name, place


_SASL = {"security.protocol": "SASL_SSL"}
_SCRAM = "SCRAM-SHA-512"


def security_of(kind: Kind, told: dict[str, str], *, prefix: str = "") -> Security:
    """What was told under the names of the flags, without contradictions.

    Args:
        told: By the name of the flag with `_` (`ca_cert`); "" for nothing.
        prefix: Of the flags: `to_` for the target of a restore.

    Raises:
        WrongUsage: Something is missing, has no use, or names no place.
    """
    flags = {name: f"--{prefix}{name}".replace("_", "-") for name in told}
    for name in sorted(name for name, text in told.items() if text and name not in _TAKES[kind]):
        _refuse_useless(kind, name, flags[name], prefix)
    for name in _NEEDS[kind]:
        if not told[name]:
            raise WrongUsage(f"{_flag(prefix, kind)} needs {flags[name]}", hint=_MISSING[name])
    password = secret_place(told["password_from"], flags["password_from"]) if told["password_from"] else None
    if password and not told["username"] and (password.kind != "secretsmanager" or password.field):
        raise WrongUsage(f"{_flag(prefix, kind)} needs {flags['username']}", hint=_MISSING["username"])
    key_password = told["client_key_password_from"]
    pems = {name: pem_place(told[name], flags[name]) for name in FILES if told[name]}
    return Security(
        kind,
        **pems,
        client_key_password=secret_place(key_password, flags["client_key_password_from"]) if key_password else None,
        username=told["username"],
        password=password,
        region=told["msk_region"],
    )


def _refuse_useless(kind: Kind, name: str, flag: str, prefix: str) -> None:
    takers = [_flag(prefix, other) for other, taken in _TAKES.items() if name in taken]
    raise WrongUsage(f"{flag} has no use with {_flag(prefix, kind)}", hint=f"it belongs to {' or '.join(takers)}")


def _flag(prefix: str, kind: Kind) -> str:
    return f"--{prefix.replace('_', '-')}security {kind}"
