"""What people type wrongly: one clear message with a hint, the documented exit code, and nothing is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.processes import free_ports
from millpond.archive.keys import Layout
from millpond.cli.main import main
from millpond.errors import EXIT_CODES
from millpond.kafka import admin
from millpond.storage.folder import FolderStore
from tests.integration.restore_runs import Restore
from tests.unit.builders import OTHER_TOPIC_ID, a_partition, make_rows, put_rows

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

Run = Callable[..., "Ended"]


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        return self.err.split("\nhint: ")[0]

    @property
    def hint(self) -> str:
        return self.err.partition("\nhint: ")[2]


@dataclass
class Archive:
    """An archive with the topic `orders` (one life) and `twice` (two lives) in a folder."""

    folder: Path
    before: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        restore = Restore("127.0.0.1:1", FolderStore(self.folder), layout=Layout(""))
        self.topic = f"orders-{self.folder.parent.name}"
        restore.add(self.topic, make_rows(0, 5))
        restore.add("twice", make_rows(0, 5))
        put_rows(
            restore.store, make_rows(0, 3), partition=a_partition("twice", 0, OTHER_TOPIC_ID), layout=restore.layout
        )
        self.content = restore.content
        self.before = self.content()

    @property
    def url(self) -> str:
        return self.folder.as_uri()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("MILLPOND_ARCHIVE", "MILLPOND_TO_BROKERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(admin, "TIMEOUT_S", 1)

    def run(*words: str) -> Ended:
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as end:  # argparse
            code = end.code if isinstance(end.code, int) else 1
        said = capsys.readouterr()
        return Ended(code, said.out, "".join(line for line in said.err.splitlines(True) if not line.startswith("%")))

    return run


def refused(ended: Ended, code: int, *words: str) -> None:
    assert code in EXIT_CODES
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert re.match(r"millpond (restore|info): ", ended.message), ended.err
    assert ended.err.count("hint: ") == 1 and ended.hint.strip(), ended.err
    assert all(word in ended.message for word in words), ended.err
    assert len(ended.err) < 800


RESTORES = {
    "no topics": ([], 2, "not both"),
    "topics and all": (["--topics", "a", "--all"], 2, "not both"),
    "no such topic": (["--topics", "none.*"], 2, "no archived topic matches none.*"),
    "no expression": (["--topics", "a("], 2, "not a regular expression"),
    "exclude is no expression": (["--all", "--exclude-topics", "*"], 2, "not a regular expression"),
    "everything excluded": (["--all", "--exclude-topics", ".*"], 2, "no archived topic matches"),
    "rename without =": (["--topics", "TOPIC", "--rename", "TOPIC"], 2, "--rename takes NAME=VALUE"),
    "rename to nothing": (["--topics", "TOPIC", "--rename", "TOPIC="], 2, "rename"),
    "rename of nothing": (["--topics", "TOPIC", "--rename", "=x"], 2, "rename"),
    "rename to a path": (["--topics", "TOPIC", "--rename", "TOPIC=a/b"], 2, "rename"),
    "rename twice =": (["--topics", "TOPIC", "--rename", "TOPIC=a=b"], 2, "rename"),
    "rename of another topic": (["--topics", "TOPIC", "--rename", "odrers=x"], 2, "odrers"),
    "rename to Kafka's own": (["--topics", "TOPIC", "--rename", "TOPIC=__consumer_offsets"], 2, "__consumer_offsets"),
    "incarnation without =": (["--topics", "twice", "--incarnation", "twice"], 2, "--incarnation takes NAME=VALUE"),
    "no such incarnation": (["--topics", "twice", "--incarnation", "twice=x"], 2, "no incarnation x"),
    "incarnation of another": (["--topics", "TOPIC", "--incarnation", "twice=x"], 2, "twice"),
    "several incarnations": (["--topics", "twice"], 4, "2 lives"),
    "prefix with a slash": (["--topics", "TOPIC", "--prefix", "a/"], 2, "prefix"),
    "run id with a slash": (["--topics", "TOPIC", "--run-id", "a/b"], 2, "--run-id"),
    "run id that leads up": (["--topics", "TOPIC", "--run-id", ".."], 2, "runs/restore/.."),
    "no such config": (["--topics", "TOPIC", "--config", "/nowhere/x.toml"], 2, "cannot read /nowhere/x.toml"),
    "a property that is none": (["--topics", "TOPIC", "--to-kafka", "nonsense=1"], 2, "nonsense"),
    "a property against ours": (["--topics", "TOPIC", "--to-kafka", "acks=7000"], 2, "acks"),
    "no archive prefix": (["--all", "--archive", "s3:/x"], 2, "neither s3:// nor file://"),
    "no folder": (["--all", "--archive", "file:///nowhere/at/all"], 2, "/nowhere/at/all"),
    "log level": (["--all", "--log-level", "LOUD"], 2, "--log-level"),
}


@pytest.mark.parametrize("what", RESTORES)
def test_a_restore_that_is_asked_for_wrongly(run: Run, archive: Archive, kafka: KafkaCluster, what: str) -> None:
    flags, code, said = RESTORES[what]
    flags = [flag.replace("TOPIC", archive.topic) for flag in flags]
    ended = run("restore", "--archive", archive.url, "--to-brokers", kafka.bootstrap(), *flags)
    refused(ended, code, said)
    assert ended.out == ""
    assert archive.content() == archive.before


def test_brokers_that_nobody_is_at_are_told_before_anything_is_written(run: Run, archive: Archive) -> None:
    (port,) = free_ports(1)
    ended = run("restore", "--archive", archive.url, "--to-brokers", f"127.0.0.1:{port}", "--topics", archive.topic)
    refused(ended, 75, "cannot describe the cluster")
    assert f"127.0.0.1:{port}" in ended.hint
    assert archive.content() == archive.before


def test_a_dry_run_shows_the_plan_also_where_no_cluster_answers_and_writes_nothing(run: Run, archive: Archive) -> None:
    told = ("--archive", archive.url, "--to-brokers", "127.0.0.1:1", "--topics", archive.topic)
    ended = run("restore", *told, "--dry-run")
    assert ended.code == 3 and "FAILED   brokers: " in ended.out
    assert f"{archive.topic} " in ended.out and "nothing was written" in ended.out
    assert archive.content() == archive.before


def test_brokers_and_archive_must_be_named(run: Run, archive: Archive) -> None:
    refused(run("restore", "--archive", archive.url, "--all"), 2, "--to-brokers: is missing")
    refused(run("restore", "--to-brokers", "x:1", "--all"), 2, "--archive: is missing")
    refused(run("restore"), 2, "--archive: is missing", "--to-brokers: is missing")
    refused(run("info"), 2, "--archive: is missing")
    assert archive.content() == archive.before


def test_a_flag_that_there_is_not(run: Run, archive: Archive) -> None:
    for verb in ("restore", "info"):
        ended = run(verb, "--archive", archive.url, "--nonsense", "1")
        assert ended.code == 2 and "--nonsense" in ended.err and "Traceback" not in ended.err
    assert run("restor").code == 2


def test_errors_as_json(run: Run, archive: Archive) -> None:
    ended = run("restore", "--archive", archive.url, "--to-brokers", "x:1", "--dry-run", "--topics", "none", "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["exit_code"]) == (2, 2)
    assert document["error"] and document["hint"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "is not a TOML file"),
        ("nonsense = 1", "no verb knows: nonsense"),
        ('all = "perhaps"', "--all"),
        ("topics = 5", "--topics"),
        ('topics = ["a("]', "not a regular expression"),
        ("\udcff", "is not a TOML file"),
    ],
)
def test_a_config_file_that_is_wrong(run: Run, archive: Archive, tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "c.toml"
    config.write_bytes(text.encode(errors="surrogateescape"))
    flags = ["--archive", archive.url, "--to-brokers", "x:1", "--dry-run", "--config", str(config)]
    refused(run("restore", *flags), 2, said)
    assert archive.content() == archive.before


@pytest.mark.parametrize("verb", ["restore", "info"])
def test_archives_that_are_none(
    run: Run,
    tmp_path: Path,
    aws: LocalAws,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    for name, value in aws.settings().items():
        monkeypatch.setenv(name, value)
    more = ["--to-brokers", "x:1", "--all", "--dry-run"] if verb == "restore" else []
    refused(run(verb, "--archive", "s3://there-is-no-such-bucket/x", *more), 2, "there-is-no-such-bucket")
    refused(run(verb, "--archive", f"s3://{bucket}/nothing/here", *more), 2, "there is no archive", "nothing/here")
    refused(run(verb, "--archive", f"s3://{bucket}", *more), 2, "there is no archive")
    refused(run(verb, "--archive", (tmp_path / "none").as_uri(), *more), 2, str(tmp_path / "none"))
    refused(run(verb, "--archive", "s3://", *more), 2, "bucket")
    refused(run(verb, "--archive", "http://x/y", *more), 2, "neither")
    assert not (tmp_path / "none").exists()
    assert "Contents" not in aws.client("s3").list_objects_v2(Bucket=bucket)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(run(verb, "--archive", empty.as_uri(), *more), 2, "there is no archive")
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("identity", "code", "said"),
    [
        ("{", 3, "is not JSON"),
        ("[]", 3, "not a JSON object"),
        ("{}", 3, "no archive format"),
        ('{"format": 1}', 3, "a name is missing"),
        ('{"format": 2, "archive_id": "x", "cluster_id": "c", "created": 1}', 2, "archive format 2"),
    ],
)
@pytest.mark.parametrize("verb", ["restore", "info"])
def test_an_archive_whose_identity_is_wrong(
    run: Run, archive: Archive, verb: str, identity: str, code: int, said: str
) -> None:
    (archive.folder / "archive.json").write_text(identity)
    before = archive.content()
    more = ["--to-brokers", "x:1", "--all", "--dry-run"] if verb == "restore" else []
    ended = run(verb, "--archive", archive.url, *more)
    assert ended.code == code and said in ended.err and "Traceback" not in ended.err
    assert archive.content() == before


def test_info_ends_with_3_where_something_is_missing(run: Run, archive: Archive) -> None:
    assert run("info", "--archive", archive.url).code == 0
    put_rows(FolderStore(archive.folder), make_rows(9, 2), partition=a_partition(archive.topic, 0), layout=Layout(""))
    ended = run("info", "--archive", archive.url)
    assert (ended.code, ended.err) == (3, "")
    assert "MISSING without a reason: partition 0 offsets 5 to 8" in ended.out
    refused(
        run("restore", "--archive", archive.url, "--to-brokers", "x:1", "--topics", archive.topic, "--dry-run"),
        3,
        "5 to 8",
    )
