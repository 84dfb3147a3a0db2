"""Brokers by DNS SRV, asked of a real name server on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millpond.errors import TryAgain, WrongUsage
from millpond.kafka import seeds
from millpond.kafka.seeds import ServiceName
from millpond.kafka.settings import ClusterAddress
from tests.unit.kafka.dns_server import SrvServer

NAME = "_kafka._tcp.shop.test"


@pytest.fixture
def server() -> Iterator[SrvServer]:
    with SrvServer({NAME: [(0, 0, 9092, "a.shop.test.")]}) as server:
        yield server


@pytest.fixture
def service(server: SrvServer) -> ServiceName:
    return ServiceName(NAME, ("127.0.0.1",), server.port)


def test_brokers_come_by_priority_and_the_heavier_first(server: SrvServer, service: ServiceName) -> None:
    server.records[NAME] = [
        (20, 90, 9092, "spare.shop.test."),
        (10, 5, 9093, "light.shop.test."),
        (10, 60, 9094, "heavy.shop.test."),
    ]
    assert service.brokers() == "heavy.shop.test:9094,light.shop.test:9093,spare.shop.test:9092"


def test_each_new_client_asks_again(server: SrvServer, service: ServiceName) -> None:
    address = ClusterAddress(NAME, service=service)
    assert address.admin_settings()["bootstrap.servers"] == "a.shop.test:9092"
    server.records[NAME] = [(0, 0, 9092, "b.shop.test.")]
    assert address.consumer_settings("g")["bootstrap.servers"] == "b.shop.test:9092"
    assert address.producer_settings(lambda *_: None)["bootstrap.servers"] == "b.shop.test:9092"
    assert server.asked == [NAME] * 3


def test_a_name_that_does_not_exist_is_wrong_usage(service: ServiceName, server: SrvServer) -> None:
    del server.records[NAME]
    with pytest.raises(WrongUsage, match=f"brokers of {NAME}") as caught:
        service.brokers()
    assert "--brokers-srv" in caught.value.hint


@pytest.mark.parametrize("records", [[], [(0, 0, 0, ".")]], ids=["no records", "a dot: not offered"])
def test_a_name_without_brokers_is_wrong_usage(service: ServiceName, server: SrvServer, records: list) -> None:
    server.records[NAME] = records
    with pytest.raises(WrongUsage, match=f"brokers of {NAME}"):
        service.brokers()


def test_what_is_no_name_is_wrong_usage(service: ServiceName) -> None:
    with pytest.raises(WrongUsage, match="cannot look up"):
        ServiceName("a..b", service.nameservers, service.port).brokers()


def test_a_name_server_that_is_silent_may_answer_later(
    service: ServiceName, server: SrvServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds, "_WITHIN_S", 0.3)
    server.answers = False
    with pytest.raises(TryAgain, match="cannot look up") as caught:
        service.brokers()
    assert "name server" in caught.value.hint
    server.answers = True
    assert service.brokers() == "a.shop.test:9092"
