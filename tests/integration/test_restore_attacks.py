"""Ways in which an operator might believe that something was restored, or tried, that was not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from confluent_kafka import TopicPartition

from local.kafka import KafkaCluster
from millpond.errors import DamagedArchive, RefusedForSafety
from millpond.kafka.admin import Cluster
from millpond.restore.comparing.compare import compare_restore
from millpond.restore.targets import preflight
from millpond.restore.writing import target
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.integration.group_runs import Groups
from tests.integration.kafka_requests import commit
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import make_rows

Name = Callable[[str], str]


class Rotting(MemoryStore):
    """Once `rotten`, windows are not what they were, under the same version."""

    rotten = False

    def open(self, key: str, **more: Any) -> BinaryIO:
        content = super().open(key, **more)
        return io.BytesIO(b"?" + content.read()[1:]) if self.rotten and key.endswith(".avro") else content


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def shop(kafka: KafkaCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Groups:
    return Groups(kafka.bootstrap(), tmp_path, capsys)


@pytest.fixture
def topic(shop: Groups, unique_name: Name) -> str:
    """An archived topic of ten records."""
    name = unique_name("orders")
    oracle.make_topic(shop.bootstrap, name)
    oracle.produce(shop.bootstrap, name, [b"v"] * 10)
    shop.backup(name)
    return name


def restore(shop: Groups, *words: str) -> int:
    return shop.run("restore", "--to-brokers", shop.bootstrap, *words)


def test_final_settings_alone_do_not_end_well_while_other_steps_are_not_done(
    shop: Groups, topic: str, tmp_path: Path
) -> None:
    words = ("--topics", topic, "--prefix", "copy.", "--run-id", "r")
    assert restore(shop, *words) == 0
    for name in ("compared.json", "settings.json", "report.json", "report.html"):  # as if it had been killed before
        (tmp_path / "store" / LAYOUT.run("restore", "r", name)).unlink()
    report = shop.json("restore", "--to-brokers", shop.bootstrap, "--finish", "r")
    assert (shop.code, report["status"], report["reasons"]) == (1, "failed", ["not done: the comparison"])
    assert restore(shop, "--finish", "r") == 1 and "not done: the comparison" in shop.out

    assert restore(shop, *words) == 0, shop.err
    assert restore(shop, "--finish", "r") == 0
    assert oracle.ends_of(shop.bootstrap, f"copy.{topic}") == {0: 10}


def test_final_settings_are_not_set_by_a_dry_run(shop: Groups, topic: str) -> None:
    run = shop.restore("r")
    run.all(topic, prefix="copy.")
    before, config = shop.objects(), run.cluster.topic_config(f"copy.{topic}")
    assert restore(shop, "--finish", "r", "--dry-run") == 2
    assert (shop.objects(), run.cluster.topic_config(f"copy.{topic}")) == (before, config)


@pytest.mark.parametrize("flags", [("--groups", "g"), ("--group-prefix", "p."), ("--overwrite-groups",)])
def test_groups_that_are_chosen_and_not_asked_for_are_refused(shop: Groups, topic: str, flags: tuple[str, ...]) -> None:
    assert restore(shop, "--topics", topic, "--prefix", "copy.", *flags) == 2
    assert f"{flags[0]} without --with-groups" in shop.err and shop.objects("runs/") == {}


def test_groups_in_a_file_that_other_verbs_share_may_stand_idle(shop: Groups, topic: str, tmp_path: Path) -> None:
    (tmp_path / "shared.toml").write_text('groups = "billing.*"\n')
    words = ("--topics", topic, "--prefix", "copy.", "--dry-run", "--config", str(tmp_path / "shared.toml"))
    assert restore(shop, *words) == 0, shop.err


@pytest.mark.parametrize(
    ("chosen", "said"),
    [("[", "groups.include.0: "), ("none.*", "no group of the snapshot")],
    ids=["broken", "no match"],
)
def test_expressions_of_groups_are_tried_before_records_are_written(
    shop: Groups, topic: str, chosen: str, said: str
) -> None:
    commit(shop.bootstrap, f"g-{topic}", TopicPartition(topic, 0, 4))
    shop.snapshot()
    for more in ((), ("--dry-run",)):
        words = ("--topics", topic, "--prefix", "copy.", "--with-groups", "--groups", chosen, "--run-id", "r", *more)
        assert restore(shop, *words) == 2 and said in shop.err
    assert shop.objects("runs/") == {} and not oracle.topic_id_of(shop.bootstrap, f"copy.{topic}")
    words = ("--topics", topic, "--prefix", "copy.", "--with-groups", "--groups", f"g-{topic}", "--run-id", "r")
    assert restore(shop, *words) == 0, "the run id is not used up"


@pytest.mark.parametrize("words", [("--since", "2100-01-01T00:00:00Z"), ("--offsets", "TOPIC:0:60-70")])
def test_a_dry_run_of_nothing_ends_as_the_restore_would(shop: Groups, topic: str, words: tuple[str, ...]) -> None:
    asked = [word.replace("TOPIC", topic) for word in words]
    codes = {restore(shop, "--topics", topic, "--prefix", "copy.", *asked, *dry) for dry in (("--dry-run",), ())}
    assert codes == {1} and "no records of what is asked for" in shop.err


@pytest.mark.parametrize("flag", ["--rename", "--incarnation"])
def test_two_values_for_one_topic_are_refused(shop: Groups, topic: str, flag: str) -> None:
    assert restore(shop, "--topics", topic, flag, f"{topic}=x,{topic}=y", "--dry-run") == 2
    assert f"{flag} names a topic twice" in shop.err


def test_two_starts_of_one_run_that_make_the_same_topic_do_not_end_as_failed(
    shop: Groups, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = preflight.safe_settings

    def late(cluster: Cluster, wanted: Any, *more: Any) -> Any:
        found = asked(cluster, wanted, *more)
        cluster.create_topic(wanted.target, 1, found.config)
        return found

    words = ("--topics", topic, "--prefix", "copy.", "--run-id", "r")
    with monkeypatch.context() as patched:
        patched.setattr("millpond.restore.targets.prepare.safe_settings", late)
        assert restore(shop, *words) == 75 and "was made just now" in shop.err
    assert restore(shop, *words) == 0
    assert oracle.ends_of(shop.bootstrap, f"copy.{topic}") == {0: 10}


@pytest.mark.parametrize("change", ["deleted", "made again"])
def test_a_target_that_is_not_the_prepared_one_is_refused_before_its_settings_are_touched(
    kafka: KafkaCluster, unique_name: Name, change: str
) -> None:
    run, topic = Restore(kafka.bootstrap()), unique_name("orders")
    run.add(topic, make_rows(0, 5))
    run.plan(topic)
    run.prepare()
    oracle.delete_topic(run.bootstrap, topic)
    if change == "made again":
        oracle.make_topic(run.bootstrap, topic, cleanup_policy="compact")
    with pytest.raises(RefusedForSafety, match="deleted or made again"):
        run.prepare()
    if change == "made again":
        assert run.cluster.topic_config(topic)["cleanup.policy"] == "compact"


def test_a_comparison_that_cannot_read_the_archive_blames_the_archive(kafka: KafkaCluster, unique_name: Name) -> None:
    store, topic = Rotting(), unique_name("orders")
    run = Restore(kafka.bootstrap(), store)
    key = run.add(topic, make_rows(0, 5))
    run.all(topic)
    store.rotten = True
    with pytest.raises(DamagedArchive) as caught:
        compare_restore(store, run.layout, run.cluster, run_id="r", now_ms=3)
    assert key in str(caught.value) and "objects of the archive" in caught.value.hint
    store.rotten = False
    assert compare_restore(store, run.layout, run.cluster, run_id="r", now_ms=3)["differences"] == 0


def test_one_record_of_somebody_else_behind_the_restored_ones_is_found(kafka: KafkaCluster, unique_name: Name) -> None:
    run, topic = Restore(kafka.bootstrap()), unique_name("orders")
    run.add(topic, make_rows(0, 5))
    run.all(topic)
    oracle.produce(run.bootstrap, topic, [b"theirs"])
    with pytest.raises(DamagedArchive, match="1 only_in_topic; source offsets 5"):
        compare_restore(run.store, run.layout, run.cluster, run_id="r", now_ms=3)


@pytest.mark.parametrize(("flags", "stands_at"), [((), 1), (("--overwrite-groups",), 4)], ids=["stay", "overwritten"])
def test_offsets_that_a_group_has_on_the_target_stay_unless_it_is_said(
    shop: Groups, topic: str, flags: tuple[str, ...], stands_at: int
) -> None:
    group, made = f"g-{topic}", f"copy.{topic}"
    commit(shop.bootstrap, group, TopicPartition(topic, 0, 4))
    shop.snapshot()
    oracle.make_topic(shop.bootstrap, made)
    commit(shop.bootstrap, f"copy.{group}", TopicPartition(made, 0, 1))
    words = ("--topics", topic, "--prefix", "copy.", "--with-groups", "--groups", group, "--group-prefix", "copy.")
    assert restore(shop, *words, *flags) == 0
    assert oracle.commits(shop.bootstrap, f"copy.{group}")[made, 0][0] == stands_at
