"""What the store makes of an S3 that answers late, wrongly, half or not at all."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from local.processes import wait_until
from millpond.errors import TryAgain, WrongUsage
from millpond.storage.contract import AlreadyThere, Changed, ObjectStore, StorageError, read
from millpond.storage.s3 import CONFLICT_TRIES, SETTINGS, S3Store, s3_client
from tests.faults.s3_proxy import Call, Fault, FaultyS3, Rule, always, first

if TYPE_CHECKING:
    from local.aws import LocalAws

CONTENT = bytes(range(256)) * 4000
TWO_TRIES = Config(retries={"mode": "standard", "total_max_attempts": 2})
QUICK = TWO_TRIES.merge(Config(connect_timeout=1, read_timeout=0.5))
NAMES = ["put_if_absent", "put_if_match", "open", "head", "list", "list_versions", "delete_version"]


def calls(store: ObjectStore) -> dict[str, Callable[[], object]]:
    return {
        "put_if_absent": lambda: store.put_if_absent("new", b"x"),
        "put_if_match": lambda: store.put_if_match("a", b"x", '"etag"'),
        "open": lambda: store.open("a"),
        "head": lambda: store.head("a"),
        "list": lambda: list(store.list("")),
        "list_versions": lambda: list(store.list_versions("")),
        "delete_version": lambda: store.delete_version("a", "v"),
    }


class Faulty:
    """A store behind the proxy, and a `true` one beside it."""

    def __init__(self, aws: LocalAws, bucket: str, client: Any) -> None:
        self._aws, self._bucket = aws, bucket
        self.true = S3Store(bucket, client=client)

    @contextmanager
    def behind(
        self, rule: Rule, *, page_size: int = 1000, config: Config = SETTINGS
    ) -> Iterator[tuple[S3Store, FaultyS3]]:
        with FaultyS3(self._aws.url, rule) as proxy:
            credentials: Any = {
                "aws_access_key_id": "test",
                "aws_secret_access_key": "SECRET",
                "region_name": "us-east-1",
            }
            client = boto3.client("s3", endpoint_url=proxy.url, config=config, **credentials)
            yield S3Store(self._bucket, client=client, page_size=page_size), proxy


@pytest.fixture
def faulty(aws: LocalAws, bucket: str, s3: Any) -> Faulty:
    return Faulty(aws, bucket, s3)


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries; how long they are is botocore's."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    monkeypatch.setattr("millpond.storage.s3.random.uniform", lambda *_: 0.01)


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503, code="SlowDown"), Fault(status=500, code="InternalError"), Fault(reset=True)],
    ids=lambda fault: fault.code or "reset",
)
@pytest.mark.parametrize("name", NAMES)
def test_what_passes_is_tried_again(faulty: Faulty, fault: Fault, name: str) -> None:
    etag = faulty.true.put_if_absent("a", CONTENT).etag
    with faulty.behind(first(2, fault)) as (store, proxy):
        if name == "put_if_match":
            store.put_if_match("a", b"x", etag)
        else:
            calls(store)[name]()
    assert len(proxy.calls) == 3


def test_each_try_is_signed_at_its_own_time(faulty: Faulty) -> None:
    with faulty.behind(first(1, Fault(status=500, delay_s=1.1))) as (store, proxy):
        store.put_if_absent("a", b"x")
    assert len({call.headers["X-Amz-Date"] for call in proxy.calls}) == 2
    assert len({call.headers["Authorization"] for call in proxy.calls}) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "fault",
    [Fault(status=503, code="SlowDown"), Fault(status=502), Fault(reset=True), Fault(delay_s=1.2)],
    ids=["slow-down", "bad-gateway", "reset", "timeout"],
)
def test_what_does_not_pass_is_try_again(faulty: Faulty, fault: Fault, name: str) -> None:
    faulty.true.put_if_absent("a", b"x")
    with faulty.behind(always(fault), config=SETTINGS.merge(QUICK)) as (store, proxy):
        with pytest.raises(TryAgain) as caught:
            calls(store)[name]()
        wait_until(lambda: len(proxy.calls) >= 2, "both tries have come")
        assert len(proxy.calls) == 2
    assert caught.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_an_endpoint_that_nobody_serves_is_try_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"  # bound, but not listening
        store = S3Store("bucket", client=s3_client(url, "us-east-1", settings=QUICK))
        with pytest.raises(TryAgain, match="Could not connect"):
            calls(store)[name]()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (403, "RequestTimeTooSkewed"),
        (404, "NoSuchBucket"),
        (400, "AuthorizationHeaderMalformed"),
        (501, "NotImplemented"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_refusals_are_wrong_usage_and_name_what_to_check(faulty: Faulty, status: int, code: str, name: str) -> None:
    with faulty.behind(always(Fault(status=status, code=code))) as (store, _), pytest.raises(WrongUsage) as caught:
        calls(store)[name]()
    assert caught.value.hint
    assert "SECRET" not in str(caught.value)


def test_credentials_that_are_not_there_are_wrong_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store = S3Store("bucket", endpoint_url="http://127.0.0.1:1", region="us-east-1")
    with pytest.raises(WrongUsage, match="credentials"):
        store.head("a")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(WrongUsage, match="nobody"):
        S3Store("bucket", region="us-east-1")


def test_another_error_names_call_and_key(faulty: Faulty) -> None:
    refused = pytest.raises(StorageError, match=r"cannot open s3://.*/a: Odd")
    with faulty.behind(always(Fault(status=400, code="Odd"))) as (store, _), refused as caught:
        store.open("a")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("body", [CONTENT, io.BytesIO(CONTENT)], ids=["bytes", "stream"])
def test_a_put_in_conflict_is_tried_again_with_all_its_content(faulty: Faulty, body: Any) -> None:
    with faulty.behind(first(3, Fault(status=409, code="ConditionalRequestConflict"), method="PUT")) as (store, proxy):
        store.put_if_absent("a", body)
    assert len(proxy.calls) == 4
    assert read(faulty.true, "a") == CONTENT


@pytest.mark.parametrize("name", ["put_if_absent", "put_if_match"])
def test_a_conflict_without_end_is_try_again(faulty: Faulty, name: str) -> None:
    conflict = Fault(status=409, code="ConditionalRequestConflict")
    with faulty.behind(always(conflict)) as (store, proxy), pytest.raises(TryAgain):
        calls(store)[name]()
    assert len(proxy.calls) == CONFLICT_TRIES


def test_a_put_whose_answer_was_lost_meets_itself_and_can_tell(faulty: Faulty) -> None:
    with faulty.behind(first(1, Fault(forward=True, reset=True), method="PUT")) as (store, _):
        with pytest.raises(AlreadyThere):
            store.put_if_absent("a", b"x", {"n": "1"})
        head = store.head("a")
    assert head is not None
    assert head.metadata == {"n": "1"}
    assert len(list(faulty.true.list_versions("a"))) == 1


def test_a_replacement_whose_answer_was_lost_meets_itself_and_happened_once(faulty: Faulty) -> None:
    old = faulty.true.put_if_absent("a", b"old")
    lost = first(1, Fault(forward=True, status=500), method="PUT")
    with faulty.behind(lost) as (store, _), pytest.raises(Changed):
        store.put_if_match("a", b"new", old.etag)
    assert read(faulty.true, "a") == b"new"
    assert len(list(faulty.true.list_versions("a"))) == 2


def test_a_stream_is_stored_whole_after_a_broken_try(faulty: Faulty) -> None:
    with faulty.behind(first(2, Fault(reset=True), method="PUT")) as (store, _):
        store.put_if_absent("a", io.BytesIO(CONTENT))
    assert read(faulty.true, "a") == CONTENT


def by_all(stream: Any) -> bytes:
    return bytes(stream.read())


def by_parts(stream: Any) -> bytes:
    return b"".join(iter(lambda: stream.read(10_000), b""))


def by_lines(stream: Any) -> bytes:
    return b"".join(stream)


@pytest.mark.parametrize("how", [by_all, by_parts, by_lines])
@pytest.mark.parametrize(
    "fault", [Fault(cut_after=n) for n in (0, 1, 500_000, len(CONTENT) - 11)], ids=lambda f: f.cut_after
)
def test_a_reply_cut_short_is_try_again_never_less_content(
    faulty: Faulty, fault: Fault, how: Callable[[Any], bytes]
) -> None:
    faulty.true.put_if_absent("a", CONTENT)
    with faulty.behind(always(fault, method="GET")) as (store, _):
        with store.open("a") as stream, pytest.raises(TryAgain, match="read s3://"):
            how(stream)
        with store.open("a", start=10) as stream, pytest.raises(TryAgain, match="read s3://"):
            how(stream)


def test_a_reply_that_stalls_in_the_middle_is_try_again(faulty: Faulty) -> None:
    faulty.true.put_if_absent("a", CONTENT)
    stalls = always(Fault(cut_after=500_000, stall_s=15), method="GET")
    with faulty.behind(stalls, config=SETTINGS.merge(Config(read_timeout=5))) as (store, _), store.open("a") as stream:
        assert stream.read(100_000) == CONTENT[:100_000]
        with pytest.raises(TryAgain, match="read s3://"):
            stream.read()


@pytest.mark.parametrize("how", [by_all, by_parts, by_lines])
def test_a_byte_altered_on_the_way_is_try_again(faulty: Faulty, how: Callable[[Any], bytes]) -> None:
    faulty.true.put_if_absent("a", CONTENT)
    with (
        faulty.behind(always(Fault(flip_byte=777_777), method="GET")) as (store, _),
        store.open("a") as stream,
        pytest.raises(TryAgain, match="checksum"),
    ):
        how(stream)


def test_a_second_page_that_fails_is_not_the_end_of_a_listing(faulty: Faulty) -> None:
    for n in range(5):
        faulty.true.put_if_absent(str(n), b"")

    def second_page(call: Call) -> Fault | None:
        return Fault(status=503, code="SlowDown") if "continuation-token" in call.query else None

    with faulty.behind(second_page, page_size=2, config=SETTINGS.merge(TWO_TRIES)) as (store, _):
        listing = store.list("")
        assert [next(listing), next(listing)]
        with pytest.raises(TryAgain):
            next(listing)


@pytest.mark.parametrize("name", ["list", "list_versions"])
@pytest.mark.parametrize("cut_after", [0, 1, 200, 400])
def test_a_listing_cut_short_is_no_shorter_listing(faulty: Faulty, name: str, cut_after: int) -> None:
    for n in range(5):
        faulty.true.put_if_absent(str(n), b"")
    with faulty.behind(first(1, Fault(cut_after=cut_after))) as (store, proxy):
        assert calls(store)[name]() == calls(faulty.true)[name]()
    assert len(proxy.calls) == 2
