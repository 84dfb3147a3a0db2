"""Where secrets are read, that a new one is seen, and that none is ever repeated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millpond.errors import TryAgain, WrongUsage
from millpond.kafka.secrets import SecretPlace, Secrets, pem_place, secret_place

CANARY = "canary-7f3a"
PAIR = json.dumps({"username": "alice", "password": CANARY})
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_x-AbCdEf"


class Manager:
    """Secrets Manager as far as `Secrets` sees it: texts by name, and whether it answers."""

    def __init__(self, **texts: str) -> None:
        self.texts, self.asked, self.answers = texts, 0, True

    def __call__(self, name: str) -> str:
        self.asked += 1
        if not self.answers:
            raise TryAgain("cannot read the Kafka secret: ThrottlingException (HTTP 400)")
        return self.texts[name]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("file:/etc/p", SecretPlace("file", "/etc/p")),
        ("file:///etc/p", SecretPlace("file", "/etc/p")),
        ("file:here/p#1", SecretPlace("file", "here/p#1")),
        ("env:PASSWORD", SecretPlace("env", "PASSWORD")),
        ("secretsmanager:kafka", SecretPlace("secretsmanager", "kafka")),
        ("secretsmanager:kafka#pw", SecretPlace("secretsmanager", "kafka", "pw")),
        (f"secretsmanager:{ARN}#pw", SecretPlace("secretsmanager", ARN, "pw")),
    ],
)
def test_a_setting_names_a_place(text: str, place: SecretPlace) -> None:
    assert secret_place(text, "--password-from") == place
    assert pem_place(text, "--client-key") == place


def test_a_certificate_may_be_a_path_alone() -> None:
    assert pem_place("/etc/ca.pem", "--ca-cert") == SecretPlace("file", "/etc/ca.pem")


@pytest.mark.parametrize("text", [CANARY, f"{CANARY}:x", "env:", "secretsmanager:", "file:", f"vault:{CANARY}"])
def test_a_secret_in_place_of_its_place_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(WrongUsage, match="--password-from names no place") as caught:
        secret_place(text, "--password-from")
    assert CANARY not in str(caught.value) and caught.value.hint


def test_a_key_in_place_of_its_file_is_refused_and_not_repeated() -> None:
    with pytest.raises(WrongUsage) as caught:
        pem_place(f"-----BEGIN PRIVATE KEY-----\n{CANARY}", "--client-key")
    assert CANARY not in str(caught.value)


def test_a_file_is_read_anew_each_time_without_its_last_newline(tmp_path: Path) -> None:
    file, secrets = tmp_path / "p", Secrets()
    file.write_text(" one \n")
    assert secrets.text(SecretPlace("file", str(file))) == " one "
    file.write_text("two\r\n")
    assert secrets.text(SecretPlace("file", str(file))) == "two"


def test_a_file_that_is_just_being_replaced_counts_as_it_was(tmp_path: Path) -> None:
    file, secrets = tmp_path / "p", Secrets()
    place = SecretPlace("file", str(file))
    file.write_text("one")
    assert secrets.text(place) == "one"
    file.unlink()
    assert secrets.text(place) == "one"
    file.write_text("")
    assert secrets.text(place) == "one"
    file.write_text("two")
    assert secrets.text(place) == "two"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe" + CANARY.encode()])
def test_a_file_that_never_had_a_secret_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "p").write_bytes(content)
    with pytest.raises(WrongUsage, match=f"cannot read file:{tmp_path}/p") as caught:
        Secrets().text(SecretPlace("file", f"{tmp_path}/p"))
    assert CANARY not in str(caught.value)


def test_a_variable_holds_a_secret() -> None:
    assert Secrets(environment={"P": "x"}).text(SecretPlace("env", "P")) == "x"
    with pytest.raises(WrongUsage, match="cannot read env:P"):
        Secrets(environment={}).text(SecretPlace("env", "P"))


def test_a_secret_of_msk_tells_user_and_password() -> None:
    secrets = Secrets(Manager(kafka=PAIR))
    assert secrets.login(SecretPlace("secretsmanager", "kafka"), "") == ("alice", CANARY)
    assert secrets.login(SecretPlace("secretsmanager", "kafka"), "bob") == ("bob", CANARY)
    assert secrets.login(SecretPlace("secretsmanager", "kafka", "password"), "bob") == ("bob", CANARY)


def test_a_plain_secret_is_the_password_even_where_a_file_looks_like_json(tmp_path: Path) -> None:
    assert Secrets(Manager(kafka="pw")).login(SecretPlace("secretsmanager", "kafka"), "bob") == ("bob", "pw")
    (tmp_path / "p").write_text(PAIR)
    assert Secrets().login(SecretPlace("file", str(tmp_path / "p")), "bob") == ("bob", PAIR)


@pytest.mark.parametrize(
    ("text", "field", "user", "told"),
    [
        (PAIR, "nothing", "bob", "not JSON with the text field nothing"),
        (CANARY, "pw", "bob", "not JSON with the text field pw"),
        (json.dumps({"pw": 7}), "pw", "bob", "not JSON with the text field pw"),
        (json.dumps({"username": CANARY}), "", "", 'without a text "password"'),
        (json.dumps({"password": CANARY}), "", "", "does not name the user"),
        (CANARY, "", "", "does not name the user"),
    ],
)
def test_a_secret_that_is_not_what_was_said_is_told_without_it(text: str, field: str, user: str, told: str) -> None:
    with pytest.raises(WrongUsage, match=told) as caught:
        Secrets(Manager(kafka=text)).login(SecretPlace("secretsmanager", "kafka", field), user)
    assert CANARY not in str(caught.value) and caught.value.hint


def test_secrets_manager_is_asked_once_a_minute_and_bridged_while_it_is_silent() -> None:
    clock, manager = [0.0], Manager(kafka="one", other="x")
    secrets, place = Secrets(manager, now=lambda: clock[0]), SecretPlace("secretsmanager", "kafka")
    assert [secrets.text(place) for _ in range(3)] == ["one"] * 3
    assert manager.asked == 1
    manager.texts["kafka"] = "two"
    clock[0] = 61
    assert secrets.text(place) == "two"
    manager.answers = False
    clock[0] = 122
    assert secrets.text(place) == "two"
    with pytest.raises(TryAgain):
        secrets.text(SecretPlace("secretsmanager", "other"))


def test_one_secret_with_several_fields_is_asked_for_once() -> None:
    manager = Manager(kafka=json.dumps({"cert": "c", "key": "k"}))
    secrets = Secrets(manager)
    assert [secrets.text(SecretPlace("secretsmanager", "kafka", field)) for field in ("cert", "key")] == ["c", "k"]
    assert manager.asked == 1
