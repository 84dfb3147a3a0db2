"""Flag beats environment beats file beats default, for every option; what is wrong is named with a hint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from millpond.cli.main import main
from millpond.errors import EXIT_CODES, WrongUsage
from millpond.settings.backup import BackupSettings
from millpond.settings.base import VerbSettings
from millpond.settings.restore import RestoreSettings

# For each option three values as text: of the file, of the environment, of the flag.
NUMBERS = ("11", "22", "33")
VALUES = {
    "archive": ("file:///file", "file:///environment", "file:///flag"),
    "log_level": ("DEBUG", "INFO", "ERROR"),
    "log_format": ("json", "text", "json"),
    "max_age": NUMBERS,
    "max_records": NUMBERS,
    "large_topics_last": NUMBERS,
    "metrics_port": NUMBERS,
    "settle": NUMBERS,
    "snapshot_every": NUMBERS,
    "spool_bytes": NUMBERS,
    "workers": NUMBERS,
    "max_bytes": ("1100", "2200", "3300"),
    "codec": ("null", "deflate", "zstandard"),
    "kafka": ({"a": "file"}, {"a": "environment"}, {"a": "flag"}),
    "security": ("tls", "scram", "mtls"),
    "to_security": ("tls", "scram", "mtls"),
    "to_kafka": ({"a": "file"}, {"a": "environment"}, {"a": "flag"}),
    "incarnation": ("a=1", "b=2", "c=3"),
    "rename": ("a=1", "b=2", "c=3"),
    "repartition_to": NUMBERS,
    "replication": NUMBERS,
    "throttle": NUMBERS,
    "compare": ("none", "whole", "sampled"),
}
NEEDED = {
    BackupSettings: {"archive": "file:///x", "brokers": "b:1", "topics": "t"},
    RestoreSettings: {"archive": "file:///x", "to_brokers": "b:1"},
}
OPTIONS = [(cls, name) for cls in NEEDED for name in cls.model_fields if name != "config"]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in NEEDED:
        for name in cls.model_fields:
            monkeypatch.delenv(f"MILLPOND_{name.upper()}", raising=False)


def values_of(cls: type[VerbSettings], name: str) -> tuple[Any, Any, Any]:
    if cls.model_fields[name].annotation is bool:
        return True, False, True
    return VALUES.get(name, (f"{name}-of-file", f"{name}-of-environment", f"{name}-of-flag"))  # type: ignore[return-value]


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}" = "{text}"' for name, text in value.items()) + "}"
    return json.dumps(value)


def as_flags(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, dict):
        return [word for key, text in value.items() for word in (flag, f"{key}={text}")]
    if isinstance(value, bool):
        return [flag if value else "--no-" + flag[2:]]
    return [flag, value]


def as_environment(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else value


def found(cls: type[VerbSettings], name: str, flags: list[str]) -> Any:
    needed = [word for other, text in NEEDED[cls].items() if other != name for word in as_flags(other, text)]
    value = getattr(cls.from_flags(needed + flags), name)
    return value if isinstance(value, dict | bool) else str(value).removesuffix(".0")


@pytest.mark.parametrize(("cls", "name"), OPTIONS, ids=[f"{cls.verb} {name}" for cls, name in OPTIONS])
def test_flag_beats_environment_beats_file_beats_default(
    cls: type[VerbSettings], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file, in_environment, in_flag = values_of(cls, name)
    file = tmp_path / "settings.toml"
    file.write_text(f"{name} = {as_toml(in_file)}\n")
    config = ["--config", str(file)]
    if name not in NEEDED[cls]:
        default = cls.model_fields[name].get_default(call_default_factory=True)
        assert found(cls, name, []) in (default, str(default).removesuffix(".0"))
    assert found(cls, name, config) == in_file
    monkeypatch.setenv(f"MILLPOND_{name.upper()}", as_environment(in_environment))
    assert found(cls, name, config) == in_environment
    assert found(cls, name, [*config, *as_flags(name, in_flag)]) == in_flag


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help says MILLPOND_CONFIG; it was accepted and the file never read."""
    file = tmp_path / "settings.toml"
    file.write_text('archive = "file:///x"\nbrokers = "b:1"\ntopics = ["a", "b"]\n')
    monkeypatch.setenv("MILLPOND_CONFIG", str(file))
    assert BackupSettings.from_flags([]).topics == "a,b"
    assert BackupSettings.from_environment().topics == "a,b"


def test_a_file_serves_several_verbs_and_may_use_dashes(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('archive = "file:///x"\nbrokers = "b:1"\ntopics = "t"\nto-brokers = "c:1"\nmax-age = 7\n')
    assert BackupSettings.from_flags(["--config", str(file)]).max_age == 7
    assert RestoreSettings.from_flags([f"--config={file}"]).to_brokers == "c:1"


def test_one_verb_does_not_see_the_file_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('brokers = "of-the-file:1"\n')
    needed = ["--archive", "file:///x", "--topics", "t"]
    BackupSettings.from_flags([*needed, "--config", str(file)])
    with pytest.raises(WrongUsage, match="--brokers: is missing"):
        BackupSettings.from_flags(needed)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("archive = ", "is not a TOML file"),
        (b"\xff\xfe", "is not a TOML file"),
        ('nonsense = 1\narchive = "file:///x"', "settings that no verb knows: nonsense"),
        ("max_age = 'soon'", "--max-age: "),
        ("max_age = 0", "--max-age: "),
        ("max_bytes = 1", "--max-bytes: "),
        ("log_level = 'LOUD'", "--log-level: "),
        ("kafka = 'a=b'", "--kafka: "),
        (None, "cannot read "),
    ],
)
def test_a_file_that_is_wrong_is_told_once_with_a_hint(content: str | bytes | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WrongUsage) as caught:
        BackupSettings.from_flags(["--archive", "file:///x", "--brokers", "b", "--topics", "t", "--config", str(file)])
    assert told in caught.value.args[0]
    assert caught.value.hint


def test_a_password_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLPOND_KAFKA", '{"sasl.password": "SECRET", "x": }')
    monkeypatch.setenv("MILLPOND_MAX_AGE", "SECRET")
    for settings in (BackupSettings.from_environment, lambda: BackupSettings.from_flags(["--topics", "t"])):
        with pytest.raises(WrongUsage) as caught:
            settings()
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["backup"], "--brokers: is missing; --archive: is missing"),
        (["backup", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["backup", "--max-age"], "argument --max-age: expected one argument"),
        (["backup", "--archive", "ftp://x", "--brokers", "b", "--topics", "t"], "neither s3:// nor file://"),
        (["backup", "--archive", "s3://u:p@b", "--brokers", "b", "--topics", "t"], "holds credentials"),
        (["backup", "--archive", "file:///x", "--brokers", "b", "--topics", "["], "not a regular expression"),
        (["backup", "--archive", "file:///x", "--brokers", "b", "--topics", "t", "--codec", "lzma"], "lzma"),
        (["nonsense"], "there is no verb nonsense"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_wrong_command_line_ends_with_2_one_message_and_a_hint(
    words: list[str], told: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words + ["--json"] * as_json) == 2
    out, err = capsys.readouterr()
    lines = err.rstrip("\n").split("\n")
    assert told in lines[0] and lines[1].startswith("hint: ") and len(lines) == 2
    if as_json and words != ["nonsense"]:
        document = json.loads(out)
        assert (document["exit_code"], told in document["error"], bool(document["hint"])) == (2, True, True)
    else:
        assert out == ""


def test_help_names_every_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"{code}  {told}" in out for code, told in EXIT_CODES.items())


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_the_help_of_a_verb_ends_with_0(verb: str) -> None:
    command = [sys.executable, "-m", "millpond.cli.main", verb, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "MILLPOND_ARCHIVE" in done.stdout, done.stderr) == (0, True, "")


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        (["--topics", "a.b"], ["a.b", "axb"]),
        (["--topic-names", "a.b"], ["a.b"]),
        (["--topic-names", "a.b, other", "--topics", "ax.*"], ["axb", "a.b", "other"]),
        (["--topic-names", "a.b,other", "--exclude-topics", "o.*"], ["a.b"]),
    ],
    ids=["expressions", "names", "both", "names but for"],
)
def test_topics_are_chosen_by_expressions_and_by_names(flags: list[str], chosen: list[str]) -> None:
    settings = BackupSettings.from_flags(["--archive", "file:///x", "--brokers", "b:1", *flags])
    assert settings.selection().match(["a.b", "axb", "other", "more"]) == chosen


def test_no_topics_are_no_choice() -> None:
    with pytest.raises(WrongUsage, match="no topic is chosen"):
        BackupSettings.from_flags(["--archive", "file:///x", "--brokers", "b:1"]).selection()
