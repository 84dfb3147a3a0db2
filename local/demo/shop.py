"""A shop's topics with believable content: orders, customers with deletions, payments in transactions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer

TOPICS = {"orders": 6, "customers": 3, "payments": 4}
"""Partitions of each topic."""
SETTINGS = {
    # Orders and payments are kept for ever: the events are up to thirty days old, Kafka's own retention is seven.
    "orders": {"retention.ms": "-1"},
    "customers": {"cleanup.policy": "compact"},
    "payments": {"retention.ms": "-1"},
}
CUSTOMERS = 500
FORGOTTEN = "c-000042"
"""The customer who asks to be forgotten."""

_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Eren", "Fatima", "Gita", "Hana", "Ilse", "Jun", "Karol", "Lea")
_CITIES = ("Lisboa", "Köln", "Reykjavík", "Kraków", "Nantes", "Wien", "Oslo", "Gent")
_GOODS = ("lamp", "kettle", "notebook", "bicycle bell", "raincoat", "tea", "headphones", "wool socks")
_A_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Event:
    """One record to produce."""

    topic: str
    key: str
    value: dict[str, object] | None
    timestamp: int
    headers: tuple[tuple[str, bytes | None], ...]


def customer(number: int) -> str:
    return f"c-{number:06d}"


def produce_shop(bootstrap: str, records: int, *, now_ms: int, seed: int = 7) -> None:
    """Produces about `records` records, stamped over the last thirty days; payments in transactions, one aborted."""
    chance = random.Random(seed)
    plain = Producer({**_client(bootstrap), "enable.idempotence": True})
    for event in _plain_events(chance, records * 4 // 5, now_ms):
        _send(plain, event)
    plain.flush()
    _produce_payments(bootstrap, chance, records // 5, now_ms)


def _client(bootstrap: str) -> dict[str, object]:
    # A broker that has just started says once that it is not ready yet; the client tries again by itself.
    return {"bootstrap.servers": bootstrap, "linger.ms": 20, "log_level": 3}


def _plain_events(chance: random.Random, count: int, now_ms: int) -> Iterator[Event]:
    for number in range(count):
        who, at = customer(chance.randrange(CUSTOMERS)), now_ms - chance.randrange(30 * _A_DAY_MS)
        if number % 8:
            yield Event("orders", who, _order(chance, number, who), at, _headers(chance))
        else:
            leaves = chance.random() < 0.1 and who != FORGOTTEN
            yield Event("customers", who, None if leaves else _profile(chance, who), at, _headers(chance))


def _produce_payments(bootstrap: str, chance: random.Random, count: int, now_ms: int) -> None:
    producer = Producer({**_client(bootstrap), "transactional.id": "shop-payments"})
    producer.init_transactions(30)
    batches = 10
    for batch in range(batches + 1):
        producer.begin_transaction()
        for number in range(count // batches):
            who, at = customer(chance.randrange(CUSTOMERS)), now_ms - chance.randrange(30 * _A_DAY_MS)
            _send(producer, Event("payments", f"p-{batch}-{number}", _payment(chance, who), at, _headers(chance)))
        if batch == batches // 2:
            producer.flush()  # so that the records are in the log, and only the transaction is not
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)


def _send(producer: Producer, event: Event) -> None:
    value = None if event.value is None else json.dumps(event.value, ensure_ascii=False).encode()
    while True:
        try:
            producer.produce(
                event.topic, value, event.key.encode(), timestamp=event.timestamp, headers=list(event.headers)
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _order(chance: random.Random, number: int, who: str) -> dict[str, object]:
    lines = [
        {"sku": chance.choice(_GOODS), "quantity": chance.randint(1, 4), "cents": chance.randint(199, 19_900)}
        for _ in range(chance.randint(1, 3))
    ]
    return {"order_id": f"o-{number:07d}", "customer_id": who, "city": chance.choice(_CITIES), "lines": lines}


def _profile(chance: random.Random, who: str) -> dict[str, object]:
    return {"customer_id": who, "name": chance.choice(_NAMES), "city": chance.choice(_CITIES), "newsletter": True}


def _payment(chance: random.Random, who: str) -> dict[str, object]:
    return {"customer_id": who, "cents": chance.randint(199, 60_000), "method": chance.choice(("card", "invoice"))}


def _headers(chance: random.Random) -> tuple[tuple[str, bytes | None], ...]:
    trace = f"{chance.getrandbits(64):016x}".encode()
    retried: tuple[tuple[str, bytes | None], ...] = (("attempt", b"1"), ("attempt", b"2"), ("réessayé", None))
    return (("trace-id", trace), *(retried if chance.random() < 0.05 else ()))


def is_about(customer_id: str, topic: str, key: bytes | None, value: bytes | None) -> bool:
    """Whether a record of the shop is that customer's: by key, or for payments by a field of the value."""
    if topic == "payments":
        return value is not None and json.loads(value)["customer_id"] == customer_id
    return key == customer_id.encode()


def erasure_request(customer_id: str, request_id: str, received_at: str) -> dict[str, object]:
    """What the shop's privacy officer hands in."""

    def topic(at: dict[str, object]) -> dict[str, object]:
        return {"places": [{"type": "customer_id", **at}], "action": "drop"}

    return {
        "request_id": request_id,
        "subjects": [{"type": "customer_id", "value": customer_id}],
        "policy": {
            "topics": {
                "orders": topic({"at": "key", "format": "utf8"}),
                "customers": topic({"at": "key", "format": "utf8"}),
                "payments": topic({"at": "value", "format": "json", "path": "customer_id"}),
            }
        },
        "received_at": received_at,
        "reference": "GDPR-2026-0042",
    }
