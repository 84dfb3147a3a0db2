"""Which clients groups are asked through: one that was left without an answer is never asked again."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millpond.kafka.coordinators import Coordinators

_ABSENT, _REFUSED, _OTHER_KIND = (
    KafkaError.GROUP_ID_NOT_FOUND,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._INVALID_ARG,
)
_UNHEARD = (
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._DESTROY_BROKER,
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class Client:
    """Answers each group with the code that it has for it, 0 for an answer."""

    def __init__(self, codes: dict[str, int]) -> None:
        self.codes, self.asked, self.polled = codes, [], 0

    def describe_consumer_groups(self, group_ids: list[str], **_: Any) -> dict[str, Future[Any]]:
        self.asked += group_ids
        return {group_id: _future(self.codes.get(group_id, 0)) for group_id in group_ids}

    def list_consumer_group_offsets(self, request: Iterable[Any], **_: Any) -> dict[str, Future[Any]]:
        return {one.group_id: _future(self.codes.get(one.group_id, 0)) for one in request}

    def alter_consumer_group_offsets(self, request: Iterable[Any], **_: Any) -> dict[str, Future[Any]]:
        return self.list_consumer_group_offsets(request)

    def poll(self, _: float) -> int:
        self.polled += 1
        return 0


def _future(code: int) -> Future[Any]:
    future: Future[Any] = Future()
    if code:
        future.set_exception(KafkaException(KafkaError(code)))
    else:
        future.set_result("told")
    return future


class Clients:
    def __init__(self, **codes: int) -> None:
        self.codes, self.made = codes, []
        self.coordinators = Coordinators(self._make, 1)

    def _make(self) -> Any:
        self.made.append(Client(self.codes))
        return self.made[-1]


def test_a_client_that_was_answered_is_asked_again() -> None:
    clients = Clients(absent=_ABSENT, refused=_REFUSED, other=_OTHER_KIND)
    for _ in range(3):
        with clients.coordinators.asked() as asked:
            answers = asked.describe(["there", "absent", "refused", "other"])
            assert answers["there"].result() == "told"
            assert asked.offsets("there").result() == asked.commit("there", []).result() == "told"
    (client,) = clients.made
    assert len(client.asked) == 12 and client.polled == 0


@pytest.mark.parametrize("code", _UNHEARD)
@pytest.mark.parametrize("question", ["describe", "offsets", "commit"])
def test_one_that_was_left_without_an_answer_is_not(code: int, question: str) -> None:
    clients = Clients(lost=code)
    ask = {
        "describe": lambda asked: asked.describe(["there", "lost"])["lost"],
        "offsets": lambda asked: asked.offsets("lost"),
        "commit": lambda asked: asked.commit("lost", []),
    }[question]
    with clients.coordinators.asked() as asked:
        assert ask(asked).exception() is not None
        assert asked.describe(["there"])["there"].result() == "told"
    with clients.coordinators.asked() as asked:
        assert asked.describe(["there"])["there"].result() == "told"
    first, _ = clients.made
    assert first.polled > 0, "it may have said aside why"


def test_an_error_in_the_block_changes_nothing_about_that() -> None:
    clients = Clients(absent=_ABSENT, lost=KafkaError._TRANSPORT)
    for group_id in ("absent", "absent", "lost", "absent"):
        with pytest.raises(KafkaException), clients.coordinators.asked() as asked:
            asked.describe([group_id])[group_id].result()
    assert [client.asked for client in clients.made] == [["absent", "absent", "lost"], ["absent"]]


class Interrupted(dict[str, Any]):
    """Answers that nobody could wait for to the end."""

    def values(self) -> Any:
        raise SystemExit


def test_a_client_whose_answer_was_not_waited_for_is_not_asked_again() -> None:
    clients = Clients()
    with clients.coordinators.asked():
        clients.made[0].describe_consumer_groups = lambda *_, **__: Interrupted()
    with pytest.raises(SystemExit), clients.coordinators.asked() as asked:
        asked.describe(["a"])
    with clients.coordinators.asked() as asked:
        assert asked.describe(["a"])["a"].result() == "told"


class Slow:
    """Takes its time to end."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended

    def __del__(self) -> None:
        self._ended.wait(60)


def test_nobody_waits_for_the_end_of_a_client_that_was_left_without_an_answer() -> None:
    ended, clients = threading.Event(), Clients(lost=KafkaError._TIMED_OUT)
    with clients.coordinators.asked():
        clients.made.pop().slow = Slow(ended)
    with pytest.raises(KafkaException) as failed, clients.coordinators.asked() as asked:
        asked.describe(["lost"])["lost"].result()
    waiting = [thread for thread in threading.enumerate() if thread.name == "end of a client"]
    assert failed.value.args[0].code() == KafkaError._TIMED_OUT and len(waiting) == 1
    ended.set()
    waiting[0].join(60)


def test_two_at_once_have_a_client_each() -> None:
    clients = Clients()
    with clients.coordinators.asked() as one, clients.coordinators.asked() as other:
        one.describe(["a"])
        other.describe(["b"])
    with clients.coordinators.asked(), clients.coordinators.asked():
        assert len(clients.made) == 2
