"""What a client is told, what is never shown, and when its files have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from millpond.kafka.secrets import SecretPlace, Secrets
from millpond.kafka.security import Security
from millpond.kafka.settings import ClusterAddress

BROKERS = "a:9093"


def file(path: Path) -> SecretPlace:
    return SecretPlace("file", str(path))


def test_plain_text_is_told_nothing_of_security() -> None:
    told = ClusterAddress(BROKERS).admin_settings()
    assert not [name for name in told if name.startswith(("ssl.", "sasl.", "security."))]


def test_tls_trusts_the_named_authority_or_those_of_this_machine() -> None:
    named = ClusterAddress(BROKERS, security=Security("tls", ca_cert=SecretPlace("file", "/ca"))).admin_settings()
    assert (named["security.protocol"], named["ssl.ca.location"]) == ("SSL", "/ca")
    assert "ssl.ca.location" not in ClusterAddress(BROKERS, security=Security("tls")).admin_settings()


def test_mutual_tls_shows_the_clients_certificate(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("of the key\n")
    pem = SecretPlace("file", "/client.pem")
    security = Security("mtls", client_cert=pem, client_key=pem, client_key_password=file(tmp_path / "p"))
    told = ClusterAddress(BROKERS, security=security).consumer_settings("g")
    assert told["security.protocol"] == "SSL"
    assert told["ssl.certificate.location"] == told["ssl.key.location"] == "/client.pem"
    assert told["ssl.key.password"] == "of the key"


def test_certificates_that_are_no_files_are_handed_over_as_text() -> None:
    security = Security("mtls", *(SecretPlace("env", name) for name in ("CA", "CERT", "KEY")))
    environment = {"CA": "authority", "CERT": "certificate", "KEY": "key"}
    told = ClusterAddress(BROKERS, security=security, secrets=Secrets(environment=environment)).admin_settings()
    assert [told[f"ssl.{name}.pem"] for name in ("ca", "certificate", "key")] == ["authority", "certificate", "key"]


def test_scram_logs_in_over_tls() -> None:
    security = Security("scram", username="alice", password=SecretPlace("env", "P"))
    told = ClusterAddress(BROKERS, security=security, secrets=Secrets(environment={"P": "pw"})).admin_settings()
    login = (told["sasl.mechanism"], told["sasl.username"], told["sasl.password"])
    assert (told["security.protocol"], *login) == ("SASL_SSL", "SCRAM-SHA-512", "alice", "pw")


def test_properties_of_librdkafka_win() -> None:
    security = Security("scram", username="alice", password=SecretPlace("env", "P"))
    address = ClusterAddress(
        BROKERS,
        {"sasl.mechanism": "PLAIN", "sasl.password": "mine"},
        security,
        secrets=Secrets(environment={"P": "pw"}),
    )
    told = address.producer_settings(lambda *_: None)
    assert (told["sasl.mechanism"], told["sasl.password"], told["sasl.username"]) == ("PLAIN", "mine", "alice")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("CANARY")
    security = Security("scram", username="alice", password=file(tmp_path / "p"))
    address = ClusterAddress(BROKERS, {"sasl.password": "CANARY"}, security)
    assert address.admin_settings()["sasl.password"] == "CANARY"
    assert "CANARY" not in repr(address) + str(address) and "a:9093" in repr(address)


# -- renewed files


def replaced(path: Path, text: str) -> None:
    """As certificate managers do it: a new file is put in the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_without_files_there_is_no_fingerprint() -> None:
    assert ClusterAddress(BROKERS, {"linger.ms": "5"}).fingerprint() == ""
    secret = Security("scram", username="a", password=SecretPlace("secretsmanager", "x"))
    assert ClusterAddress(BROKERS, security=secret).fingerprint() == ""


@pytest.mark.parametrize("name", ["ca_cert", "client_cert", "client_key", "client_key_password"])
def test_each_file_of_mutual_tls_counts(tmp_path: Path, name: str) -> None:
    places = {n: file(tmp_path / n) for n in ("ca_cert", "client_cert", "client_key", "client_key_password")}
    for place in places.values():
        Path(place.name).write_text("one")
    address = ClusterAddress(BROKERS, security=Security("mtls", **places))
    before = address.fingerprint()
    assert before == address.fingerprint() != ""
    replaced(tmp_path / name, "another")
    assert address.fingerprint() != before


def test_the_password_file_and_files_of_properties_count(tmp_path: Path) -> None:
    password, authority = tmp_path / "p", tmp_path / "ca"
    password.write_text("one")
    authority.write_text("one")
    security = Security("scram", username="a", password=file(password))
    address = ClusterAddress(BROKERS, {"ssl.ca.location": str(authority)}, security)
    seen = {address.fingerprint()}
    replaced(password, "other")
    seen.add(address.fingerprint())
    replaced(authority, "other")
    seen.add(address.fingerprint())
    assert len(seen) == 3


def test_a_file_of_the_same_size_but_another_time_is_another(tmp_path: Path) -> None:
    pem = tmp_path / "ca"
    pem.write_text("one")
    address = ClusterAddress(BROKERS, security=Security("tls", ca_cert=file(pem)))
    before = address.fingerprint()
    pem.write_text("two")
    os.utime(pem, ns=(1, 1))
    assert address.fingerprint() != before


def test_a_file_that_is_missing_for_a_moment_counts_as_it_was(tmp_path: Path) -> None:
    pem = tmp_path / "ca"
    pem.write_text("one")
    address = ClusterAddress(BROKERS, security=Security("tls", ca_cert=file(pem)))
    before = address.fingerprint()
    pem.unlink()
    assert address.fingerprint() == before
    pem.write_text("another")
    assert address.fingerprint() != before


def test_a_file_that_comes_late_is_a_change(tmp_path: Path) -> None:
    address = ClusterAddress(BROKERS, security=Security("tls", ca_cert=file(tmp_path / "ca")))
    before = address.fingerprint()
    (tmp_path / "ca").write_text("one")
    assert address.fingerprint() != before
