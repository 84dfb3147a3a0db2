"""`python -m local prepare` fetches what is needed once; `run` keeps Kafka and an AWS up; `cdk` is the CDK itself."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from local.aws import LocalAws
from local.cdk import run_cdk
from local.jars import lock_line
from local.kafka import KafkaCluster
from local.ministack.settings import REPOSITORY
from local.prepare import prepare
from local.processes import sigterm_as_exit
from millpond.errors import MillpondError


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["cdk"]:
        return _cdk(words[1:])
    options = _parser().parse_args(words)
    try:
        with sigterm_as_exit():
            _do(options)
    except KeyboardInterrupt:
        return 130
    except MillpondError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _cdk(words: Sequence[str]) -> int:
    """The CDK command line on the wheel's Node.js, with this shell's AWS account and Docker."""
    try:
        run_cdk(*words, cwd=REPOSITORY, env=os.environ, scratch=None, quiet=False)
    except MillpondError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _do(options: argparse.Namespace) -> None:
    if options.command == "prepare":
        prepare()
    elif options.command == "lock":
        for coordinate in options.coordinates:
            print(lock_line(coordinate))
    else:
        run(nodes=options.nodes, tls=options.tls, acls=options.acls)


def run(*, nodes: int, tls: bool, acls: bool) -> None:
    """Until interrupted. Prints what a client needs, as lines that a shell can read."""
    prepare()
    with contextlib.ExitStack() as up:
        kafka = up.enter_context(KafkaCluster(nodes, tls=tls, acls=acls))
        aws = up.enter_context(LocalAws())
        for listener in kafka.listeners:
            print(f"KAFKA_{listener}={kafka.bootstrap(listener)}")
        if kafka.authority:
            print(f"KAFKA_CA={kafka.authority.ca}")
        for name, value in aws.settings().items():
            print(f"{name}={value}")
        print("# running until interrupted (Ctrl-C)", flush=True)
        signal.pause()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Real Kafka and a local AWS on this machine")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="fetch the jars and the CDK, make the JVM's ahead-of-time cache; once")
    commands.add_parser("cdk", help="the CDK command line, for a real account: `python -m local cdk deploy --all`")
    lock = commands.add_parser("lock", help="print lines for kafka-jars.lock")
    lock.add_argument("coordinates", nargs="+", metavar="group:artifact:version")
    run_parser = commands.add_parser("run", help="keep a Kafka cluster and an AWS up until interrupted")
    run_parser.add_argument("--nodes", type=int, choices=(1, 3), default=1)
    run_parser.add_argument("--tls", action="store_true", help="SASL_SSL and SSL listeners too")
    run_parser.add_argument("--acls", action="store_true", help="nothing is allowed but by ACL, except on PLAINTEXT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
