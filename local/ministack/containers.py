"""A container is a local process: its image says which program, its environment is what AWS would give it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.ministack.emulator import cloudwatch_logs, responses
from local.ministack.settings import Image, Settings, first_on_path
from local.processes import Child

# Of this process's own environment a container sees only these.
PASSED = ("HOME", "LANG", "TMPDIR", "AWS_CA_BUNDLE", "SSL_CERT_FILE")


def start_container(settings: Settings, image: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
    """Run the command of a container. LookupError when nothing stands for the image, OSError when it cannot start."""
    chosen = settings.image(image)
    whole = {**_surroundings(settings), **chosen.env, **_mounted(env, chosen, log.with_suffix(".volume"))}
    process = Child([*chosen.entrypoint, *command], output=log, env=whole, cwd=chosen.cwd)
    log.with_suffix(".pid").write_text(str(process.pid))  # for tests that kill it
    return process


def _mounted(env: Mapping[str, str], image: Image, folder: Path) -> dict[str, str]:
    """The environment with mount paths turned into folders below `folder`."""
    return {name: str(folder / value.lstrip("/")) if value in image.volumes else value for name, value in env.items()}


def write_log(group: str, stream: str, text: str) -> None:
    """Put lines into CloudWatch Logs, making group and stream when missing."""
    if group not in cloudwatch_logs._log_groups:
        cloudwatch_logs._create_log_group({"logGroupName": group})
    where = {"logGroupName": group, "logStreamName": stream}
    cloudwatch_logs._create_log_stream(where)
    now = int(time.time() * 1000)
    if events := [{"timestamp": now, "message": line} for line in text.splitlines() if line]:
        cloudwatch_logs._put_log_events({**where, "logEvents": events})


def _surroundings(settings: Settings) -> dict[str, str]:
    region = responses.get_region()
    return {
        **{name: os.environ[name] for name in PASSED if name in os.environ},
        "PATH": first_on_path(sys.executable, os.environ.get("PATH")),
        "PYTHONUNBUFFERED": "1",
        "MILLPOND_METRICS_PORT": "0",  # all containers share one network here, so none may have a port for itself
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": settings.url,
        # The emulator takes a 12-digit access key for the account.
        "AWS_ACCESS_KEY_ID": responses.get_account_id(),
        "AWS_SECRET_ACCESS_KEY": "test",
    }
