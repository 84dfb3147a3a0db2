"""The erasure secret and the keyed hashes made with it: the only form in which an identifier is ever stored.

Each archive and each subject type has a key of its own, derived by HKDF-SHA-256, so that hashes of one archive say
nothing about another. Whoever holds the secret can try out small id spaces: the hashes are pseudonymous personal data.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from millpond.errors import RefusedForSafety, WrongUsage
from millpond.storage.secrets_manager import secret_text

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

KEY_BYTES = 32
_KEY_ID = re.compile(r"k[1-9]\d{0,8}")
_FEWEST_CHARACTERS = 32
_FORM = '{"k1": "<at least 32 random characters>"}'
_NAME = "secretsmanager:"


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869: `length` bytes, at most 8,160, of a key derived from `secret` for the purpose `info`."""
    extracted = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    block, out = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.new(extracted, block + info + bytes([number]), hashlib.sha256).digest()
        out += block
    return out[:length]


def keyed_hash(key: bytes, canonical: bytes) -> str:
    """Keyed BLAKE2b-256 of a canonical identifier, in hex."""
    return hashlib.blake2b(canonical, digest_size=32, key=key).hexdigest()


@dataclass(frozen=True, slots=True)
class ErasureSecret:
    """All keys that an archive's hashes were ever made with.

    Attributes:
        keys: Text by key id: k1, k2 and so on. The highest is used for what is new; none may go while a hash needs it.
    """

    keys: Mapping[str, str] = field(repr=False)

    @property
    def newest(self) -> str:
        return max(self.keys, key=lambda key_id: int(key_id[1:]))

    def derived(self, key_id: str, archive_id: str, subject_type: str) -> bytes:
        """The key for one archive and one type of subject. `WrongUsage` where the secret lacks the key id."""
        if key_id not in self.keys:
            raise WrongUsage(
                f"the erasure secret has no key {key_id}",
                hint="use the secret the plan was made with, with all its keys",
            )
        info = f"millpond erasure 1\0{archive_id}\0{subject_type}".encode()
        return hkdf_sha256(self.keys[key_id].encode(), salt=b"", info=info, length=KEY_BYTES)

    def check(self, key_id: str, archive_id: str) -> str:
        """Tells in a plan which key its hashes were made with: with any other, nothing would ever match."""
        return keyed_hash(self.derived(key_id, archive_id, ""), b"millpond erasure key check")


def create_secret_file(path: Path) -> ErasureSecret:
    """A new secret of 32 random bytes, readable by its owner alone. `RefusedForSafety` where the file exists."""
    fresh = {"k1": secrets.token_hex(KEY_BYTES)}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RefusedForSafety(f"cannot create the erasure secret {path}: the file exists") from None
    except OSError as error:
        raise WrongUsage(f"cannot create the erasure secret {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        json.dump(fresh, file)
        file.flush()
        os.fsync(file.fileno())
    return ErasureSecret(fresh)


def load_secret(source: str, *, client: SecretsManagerClient | None = None) -> ErasureSecret:
    """The secret from a file or from Secrets Manager.

    Args:
        source: A path, `file:///path`, `secretsmanager:NAME`, or the ARN of a secret.
        client: For Secrets Manager; by default one from the surroundings, in the region that an ARN names.

    Raises:
        WrongUsage: It is not there, not readable, or has not the form of a secret.
        TryAgain: Secrets Manager did not answer.
    """
    if source.startswith(("arn:", _NAME)):
        return _parse(secret_text(source.removeprefix(_NAME), what="the erasure secret", client=client), source)
    if "{" in source:  # the secret itself instead of its place: a message must not repeat it
        raise WrongUsage("the erasure secret's place is neither a path nor a name", hint="put the secret into a file")
    path = Path(unquote(source.removeprefix("file://"))) if source.startswith("file://") else Path(source)
    try:
        return _parse(path.read_text(), source)
    except OSError as error:
        raise WrongUsage(f"cannot read the erasure secret {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise _malformed(source) from None


def _parse(text: str, source: str) -> ErasureSecret:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found or not all(map(_is_key, found, found.values())):
        raise _malformed(source)
    return ErasureSecret(found)


def _is_key(key_id: object, text: object) -> bool:
    good_id = isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)
    return bool(good_id) and isinstance(text, str) and len(text) >= _FEWEST_CHARACTERS


def _malformed(source: str) -> WrongUsage:
    return WrongUsage(f"the erasure secret {source} is malformed", hint=f"it is JSON such as {_FORM}")
