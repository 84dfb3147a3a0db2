"""Flag beats environment beats file beats default for every way in; contradictions are told before any connection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from millpond.errors import WrongUsage
from millpond.kafka.secrets import SecretPlace
from millpond.kafka.settings import ClusterAddress
from millpond.settings.backup import BackupSettings
from millpond.settings.base import VerbSettings
from millpond.settings.restore import RestoreSettings
from millpond.settings.ways_in import TOLD, address_of

CLASSES: dict[str, tuple[type[VerbSettings], list[str]]] = {
    "": (BackupSettings, ["--archive", "file:///x", "--topics", "t"]),
    "to_": (RestoreSettings, ["--archive", "file:///x"]),
}
NAMES = sorted(TOLD)
KINDS = ("tls", "scram", "mtls")
BOTH = pytest.mark.parametrize("prefix", ["", "to_"])


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(f"MILLPOND_{prefix}{name}".upper() for prefix in CLASSES for name in TOLD), "AWS_REGION"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


def settings_of(prefix: str, *more: str, brokers: str = "b:1") -> VerbSettings:
    cls, flags = CLASSES[prefix]
    named = [flag(prefix, "brokers"), brokers] if brokers else []
    return cls.from_flags([*flags, *named, *more])


def flag(prefix: str, name: str) -> str:
    return f"--{prefix}{name}".replace("_", "-")


def address(prefix: str, brokers: str = "b:1", **told: str) -> ClusterAddress:
    flags = [part for name, text in told.items() for part in (flag(prefix, name), text)]
    return address_of(settings_of(prefix, *flags, brokers=brokers), prefix)


@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_flag_beats_environment_beats_file_beats_default(
    prefix: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file, in_environment, in_flag = KINDS if name == "security" else ("of-file", "of-environment", "of-flag")
    (tmp_path / "s.toml").write_text(f"{prefix}{name} = {json.dumps(in_file)}\n")

    def found(*flags: str) -> Any:
        return getattr(settings_of(prefix, *flags), prefix + name)

    config = ("--config", str(tmp_path / "s.toml"))
    assert found() == ("plaintext" if name == "security" else "")
    assert found(*config) == in_file
    monkeypatch.setenv(f"MILLPOND_{prefix}{name}".upper(), in_environment)
    assert found(*config) == in_environment
    assert found(*config, flag(prefix, name), in_flag) == in_flag


@BOTH
def test_the_secret_itself_is_no_setting(prefix: str) -> None:
    cls, _ = CLASSES[prefix]
    assert not {"password", "client_key_password"} & {name.removeprefix(prefix) for name in cls.model_fields}


@BOTH
@pytest.mark.parametrize(
    ("told", "said", "hinted"),
    [
        ({"security": "mtls", "client_cert": "/c"}, "security mtls needs --{}client-key", "PEM file"),
        ({"security": "mtls", "client_key": "/k"}, "security mtls needs --{}client-cert", "PEM file"),
        ({"security": "scram", "username": "a"}, "security scram needs --{}password-from", "env:NAME"),
        ({"security": "scram", "password_from": "env:P"}, "security scram needs --{}username", "Secrets Manager"),
        (
            {"security": "scram", "password_from": "secretsmanager:x#pw"},
            "security scram needs --{}username",
            "Secrets Manager",
        ),
        ({"password_from": "env:P"}, "--{}password-from has no use with --{}security plaintext", "security scram"),
        ({"ca_cert": "/c"}, "--{}ca-cert has no use with --{}security plaintext", "security tls or --"),
        ({"security": "tls", "client_cert": "/c"}, "--{}client-cert has no use with", "security mtls"),
        ({"security": "tls", "username": "a"}, "--{}username has no use with", "security scram"),
        ({"security": "mtls", "msk_region": "x"}, "--{}msk-region has no use with", "security iam"),
        ({"security": "iam", "msk_region": "x", "username": "a"}, "--{}username has no use with", "security scram"),
        ({"security": "scram", "username": "a", "password_from": "pw"}, "--{}password-from names no place", "file:"),
        ({"brokers_srv": "_kafka._tcp.x"}, "--{}brokers and --{}brokers-srv both", "leave one out"),
        ({"security": "iam"}, "do not tell their AWS region", "--msk-region"),
    ],
)
def test_a_contradiction_is_told_with_the_flags_and_a_hint(
    prefix: str, told: dict[str, str], said: str, hinted: str
) -> None:
    with pytest.raises(WrongUsage) as caught:
        address(prefix, **told)
    assert said.replace("{}", prefix.replace("_", "-")) in caught.value.args[0]
    assert hinted in caught.value.hint


@BOTH
def test_without_brokers_or_a_service_the_brokers_are_missing(prefix: str) -> None:
    with pytest.raises(WrongUsage, match=f"{flag(prefix, 'brokers')}: is missing"):
        settings_of(prefix, brokers="")
    assert address(prefix, brokers="", brokers_srv="_kafka._tcp.x").service is not None


@BOTH
def test_an_unknown_kind_is_told_with_those_that_exist(prefix: str) -> None:
    with pytest.raises(WrongUsage, match=f"{flag(prefix, 'security')}: .*plaintext.*iam"):
        address(prefix, security="kerberos")


@BOTH
def test_what_is_told_becomes_one_address(prefix: str) -> None:
    found = address(prefix, security="scram", ca_cert="/ca", username="a", password_from="file:/p", kafka="x=y")
    assert (found.brokers, found.properties) == ("b:1", {"x": "y"})
    security = found.security
    assert (security.kind, security.ca_cert, security.username) == ("scram", SecretPlace("file", "/ca"), "a")
    assert security.password == SecretPlace("file", "/p")


@BOTH
def test_a_secret_of_msk_needs_no_user(prefix: str) -> None:
    found = address(prefix, security="scram", password_from="secretsmanager:AmazonMSK_x")
    assert (found.security.username, found.security.password) == ("", SecretPlace("secretsmanager", "AmazonMSK_x"))


@BOTH
def test_the_region_of_msk_comes_from_its_brokers(prefix: str) -> None:
    brokers = "b-1.x.abc.kafka.eu-north-1.amazonaws.com:9098"
    assert address(prefix, brokers=brokers, security="iam").security.region == "eu-north-1"
    assert address(prefix, brokers=brokers, security="iam", msk_region="us-east-1").security.region == "us-east-1"


@BOTH
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_is_no_certificate_is_told_before_any_connection(
    prefix: str, content: str | None, tmp_path: Path
) -> None:
    if content:
        (tmp_path / "ca.pem").write_text(content)
    flags = [flag(prefix, "security"), "tls", flag(prefix, "ca_cert"), str(tmp_path / "ca.pem")]
    settings: Any = settings_of(prefix, *flags, brokers="127.0.0.1:9")
    with pytest.raises(WrongUsage, match=r"refuses its settings: .*ssl\.ca\.location") as caught:
        settings.cluster()
    assert flag(prefix, "ca_cert") in caught.value.hint
