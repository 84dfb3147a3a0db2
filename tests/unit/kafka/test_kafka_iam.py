"""Tokens for MSK: signed on this machine by AWS's own signer, with made-up credentials."""

from __future__ import annotations

import base64
import time
from urllib.parse import parse_qs, urlparse

import pytest
from botocore.session import Session
from confluent_kafka.admin import AdminClient

from millpond.errors import TryAgain, WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.iam import TokenSource, region_of
from millpond.kafka.security import Security
from millpond.kafka.settings import ClusterAddress

LIFETIME_S = 900


def session(key: str = "AKIDEXAMPLE", secret: str = "made-up", token: str | None = None) -> Session:
    found = Session()
    found.set_credentials(key, secret, token)
    return found


def signed(token: str) -> tuple[str, dict[str, list[str]]]:
    """The signed URL inside a token: its host, and what it says."""
    url = urlparse(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    return url.hostname or "", parse_qs(url.query)


def test_a_token_is_a_signed_request_to_connect() -> None:
    token, _ = TokenSource("eu-west-1", session(token="of-the-session"))("")
    host, said = signed(token)
    assert host == "kafka.eu-west-1.amazonaws.com"
    assert said["Action"] == ["kafka-cluster:Connect"]
    assert said["X-Amz-Security-Token"] == ["of-the-session"]
    assert said["X-Amz-Credential"][0].startswith("AKIDEXAMPLE/")
    assert "/eu-west-1/kafka-cluster/" in said["X-Amz-Credential"][0]


def test_the_end_of_a_token_is_told_in_seconds() -> None:
    before = int(time.time())
    _, ends = TokenSource("eu-west-1", session())("")
    assert before + LIFETIME_S <= ends <= time.time() + LIFETIME_S


def test_each_call_signs_anew() -> None:
    source = TokenSource("eu-west-1", session())
    first, ends = source("")
    time.sleep(1.1)  # tokens tell the second in which they were signed
    second, later = source("")
    assert second != first and later > ends


def test_credentials_that_were_renewed_sign_the_next_token() -> None:
    renewing = session("OLD")
    source = TokenSource("eu-west-1", renewing)
    source("")
    renewing.set_credentials("NEW", "x", None)
    assert signed(source("")[0])[1]["X-Amz-Credential"][0].startswith("NEW/")


@pytest.mark.parametrize(
    ("named", "brokers", "environment", "region"),
    [
        ("eu-west-1", "b-1.x.kafka.us-east-1.amazonaws.com:9098", {"AWS_REGION": "us-west-2"}, "eu-west-1"),
        ("", "b-1.x.c2.kafka.us-east-1.amazonaws.com:9098,b-2.x:9098", {"AWS_REGION": "us-west-2"}, "us-east-1"),
        ("", "boot-x.c1.kafka-serverless.eu-central-1.amazonaws.com:9098", {}, "eu-central-1"),
        ("", "b-1.x.kafka.cn-north-1.amazonaws.com.cn:9098", {}, "cn-north-1"),
        ("", "kafka.internal:9098", {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "x"}, "us-west-2"),
        ("", "kafka.internal:9098", {"AWS_DEFAULT_REGION": "sa-east-1"}, "sa-east-1"),
    ],
)
def test_the_region_is_as_named_else_as_the_brokers_tell_else_of_the_surroundings(
    named: str, brokers: str, environment: dict[str, str], region: str
) -> None:
    assert region_of(named, brokers, environment) == region


def test_without_any_region_there_is_a_hint() -> None:
    with pytest.raises(WrongUsage) as caught:
        region_of("", "kafka.internal:9098", {})
    assert "--msk-region" in caught.value.hint


def test_without_credentials_no_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(WrongUsage, match="there are no AWS credentials") as caught:
        Cluster(ClusterAddress("127.0.0.1:9", security=Security("iam", region="eu-west-1")))
    assert "AWS_PROFILE" in caught.value.hint


def test_credentials_that_cannot_be_fetched_now_may_be_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose credentials' address does not answer."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/none")
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.RETRY_ATTEMPTS", 1)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    with pytest.raises(TryAgain, match="cannot sign in to the brokers"):
        TokenSource("eu-west-1").check()


def test_the_client_takes_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library asks for a token on a thread of its own before it connects; nothing needs to listen."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    asked: list[float] = []
    settings = ClusterAddress("127.0.0.1:9", security=Security("iam", region="eu-west-1")).admin_settings()
    tokens = settings["oauth_cb"]

    def seen(config: str) -> tuple[str, float]:
        asked.append(time.time())
        return tokens(config)  # type: ignore[no-any-return]

    AdminClient({**settings, "oauth_cb": seen})
    assert len(asked) == 1
