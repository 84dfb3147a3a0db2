"""The `millpond` command: finds the verb, reads its settings, runs it, shows the outcome or the error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from millpond.cli.outcome import show, show_error
from millpond.errors import EXIT_CODES, MillpondError
from millpond.telemetry.logs import start_logging

VERBS = {
    "backup": ("millpond.cli.backup", "topics to the archive, until stopped or once"),
    "info": ("millpond.cli.info", "what is in the archive, and what is missing"),
    "ls": ("millpond.cli.ls", "the objects of the archive, and what each counts for"),
    "cat": ("millpond.cli.cat", "records of an object or of a range of offsets"),
    "check": ("millpond.cli.check", "whether a backup with these settings would work"),
    "compare": ("millpond.cli.compare", "the archive or a restore against what topics hold now"),
    "restore": ("millpond.cli.restore", "the archive to topics, with proof"),
    "groups snapshot": ("millpond.cli.groups_snapshot", "where consumer groups stand, to the archive"),
    "groups list": ("millpond.cli.groups_list", "the snapshots of groups in the archive"),
    "groups show": ("millpond.cli.groups_show", "where the groups stood, now or then"),
    "groups apply": ("millpond.cli.groups_apply", "where the groups stood, to restored topics"),
    "cut": ("millpond.cli.cut", "ends of topics and offsets of groups, as one named state"),
    "cluster snapshot": ("millpond.cli.cluster_snapshot", "topics, settings and access control, to the archive"),
    "cluster diff": ("millpond.cli.cluster_diff", "how a cluster differs from the archive's snapshot"),
    "cluster apply": ("millpond.cli.cluster_apply", "missing topics, settings and access control, to a cluster"),
    "runs list": ("millpond.cli.runs_list", "restores, redactions and reports of the archive"),
    "runs show": ("millpond.cli.runs_show", "how far a run is, and what failed"),
    "erase run": ("millpond.cli.erase_run", "remove a person's records from the archive"),
    "erase secret": ("millpond.cli.erase_secret", "make the secret file that erasure needs"),
    "import": ("millpond.cli.import_backup", "another tool's backup, to the archive"),
    "demo": ("millpond.cli.demo", "the whole story on this machine"),
}
_SETTINGS_MODULES = (
    "backup",
    "cat",
    "check",
    "cluster",
    "compare",
    "cut",
    "erase",
    "groups",
    "groups_apply",
    "imports",
    "info",
    "ls",
    "restore",
    "runs",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return 0
    verb, flags = _split(words)
    if verb not in VERBS:
        sys.stderr.write(f"millpond: there is no verb {verb}\nhint: `millpond --help` lists them\n")
        return 2
    return _run(verb, flags)


def _run(verb: str, flags: list[str]) -> int:
    as_json = "--json" in flags
    try:
        for name in _SETTINGS_MODULES:
            import_module(f"millpond.settings.{name}")
        module: Any = import_module(VERBS[verb][0])
        settings = module.Settings.from_flags(flags)
        as_json = settings.json_output
        start_logging(settings.log_level, settings.log_format)
        return show(module.run(settings), as_json=as_json)
    except MillpondError as error:
        return show_error(error, verb, as_json=as_json)
    except KeyboardInterrupt:
        sys.stderr.write(f"millpond {verb}: interrupted\n")
        return 130


def _split(words: list[str]) -> tuple[str, list[str]]:
    """The verb, one word or two, and what follows."""
    two = " ".join(words[:2])
    return (two, words[2:]) if two in VERBS else (words[0], words[1:])


def usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {told}" for verb, (_, told) in VERBS.items())
    codes = "\n".join(f"  {code:>3}  {told}" for code, told in EXIT_CODES.items())
    return (
        "usage: millpond VERB [--flag ...]\n\nverbs:\n" + verbs + "\n\n`millpond VERB --help` shows a verb's flags."
        " Flag beats MILLPOND_FLAG beats --config FILE beats default.\n\nexit codes:\n" + codes + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
