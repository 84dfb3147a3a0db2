from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from millpond.erasure.secret import ErasureSecret, create_secret_file, hkdf_sha256, keyed_hash, load_secret
from millpond.errors import MillpondError, RefusedForSafety, TryAgain, WrongUsage

TEXT = "s3cr3t-canary-" + "x" * 32


def test_hkdf_gives_what_rfc_5869_says() -> None:
    first = hkdf_sha256(b"\x0b" * 22, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), length=42)
    assert first.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    third = hkdf_sha256(b"\x0b" * 22, salt=b"", info=b"", length=42)
    assert third.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


def test_keys_differ_by_archive_type_and_key_id() -> None:
    secret = ErasureSecret({"k1": "a" * 32, "k2": "b" * 32})
    keys = [secret.derived(*what) for what in (("k1", "x", "t"), ("k2", "x", "t"), ("k1", "y", "t"), ("k1", "x", "u"))]
    assert len(set(keys)) == 4
    assert len({keyed_hash(key, b"42") for key in keys}) == 4


def test_the_hash_is_keyed_blake2b_256_of_the_identifier() -> None:
    """Other implementations must be able to repeat it."""
    key = ErasureSecret({"k1": "a" * 64}).derived("k1", "0123456789abcdef", "customer_id")
    assert key == hkdf_sha256(
        b"a" * 64, salt=b"", info=b"millpond erasure 1\x000123456789abcdef\x00customer_id", length=32
    )
    assert len(keyed_hash(key, b"42")) == 64


def test_the_highest_key_is_used_for_what_is_new() -> None:
    assert ErasureSecret({"k9": "a" * 32, "k10": "b" * 32, "k1": "c" * 32}).newest == "k10"


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(WrongUsage, match="no key k7"):
        ErasureSecret({"k1": "a" * 32}).derived("k7", "x", "t")


def test_a_new_file_is_for_its_owner_alone_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    made = create_secret_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(made.keys["k1"])) == 32
    assert load_secret(str(path)) == load_secret(f"file://{path}") == made
    with pytest.raises(RefusedForSafety):
        create_secret_file(path)
    with pytest.raises(WrongUsage):
        create_secret_file(tmp_path / "no folder" / "secret.json")


@pytest.mark.parametrize(
    "content",
    [
        "",
        TEXT,
        f'{{"k1": "{TEXT}"',
        f'["{TEXT}"]',
        "{}",
        '{"k1": "short"}',
        json.dumps({"key": TEXT}),
        json.dumps({"k1": TEXT, "k2": None}),
        json.dumps({"k1": TEXT, TEXT: TEXT}),
        b"\xff" + TEXT.encode(),
    ],
)
def test_a_malformed_file_is_refused_without_its_content(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "secret.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(WrongUsage, match="malformed") as refused:
        load_secret(str(path))
    assert "canary" not in str(refused.value)


def test_the_secret_itself_in_place_of_its_name_is_not_repeated() -> None:
    with pytest.raises(WrongUsage) as refused:
        load_secret(json.dumps({"k1": TEXT}))
    assert "canary" not in str(refused.value)
    assert "canary" not in repr(ErasureSecret({"k1": TEXT}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="nothing-here"):
        load_secret(str(tmp_path / "nothing-here"))


def client() -> Any:
    return boto3.client(
        "secretsmanager", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("secretsmanager:millpond/erasure", "millpond/erasure"),
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:e-AbCdEf",) * 2,
    ],
)
def test_a_secret_comes_from_secrets_manager(source: str, name: str) -> None:
    secrets = client()
    with Stubber(secrets) as stub:
        stub.add_response("get_secret_value", {"SecretString": json.dumps({"k1": TEXT})}, {"SecretId": name})
        assert load_secret(source, client=secrets).keys == {"k1": TEXT}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ResourceNotFoundException", 400, WrongUsage),
        ("AccessDeniedException", 400, WrongUsage),
        ("ThrottlingException", 400, TryAgain),
        ("InternalServiceError", 500, TryAgain),
    ],
)
def test_what_secrets_manager_refuses_is_told(code: str, status: int, kind: type[MillpondError]) -> None:
    secrets = client()
    with Stubber(secrets) as stub:
        stub.add_client_error("get_secret_value", code, http_status_code=status)
        with pytest.raises(kind, match=code):
            load_secret("secretsmanager:x", client=secrets)


def test_a_binary_secret_is_malformed() -> None:
    secrets = client()
    with Stubber(secrets) as stub:
        stub.add_response("get_secret_value", {"SecretBinary": b"x"})
        with pytest.raises(WrongUsage, match="malformed"):
            load_secret("secretsmanager:x", client=secrets)
