"""What `cdk deploy` calls for Docker on a machine without Docker (through CDK_DOCKER).

An image here is only a name, since containers are local processes: `build` and `login` have nothing to do, `tag` notes
the second name, and `push` registers it in the emulator's ECR, so that the next deployment finds it there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import boto3

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
NOTHING_TO_DO = ("build", "login", "logout", "tag", "version", "--version")


def main(arguments: Sequence[str]) -> int:
    """Exit code as Docker's: 1 for an image not known here, which makes the CDK build it."""
    command = arguments[0] if arguments else ""
    if command in NOTHING_TO_DO:
        return 0
    if command == "inspect":
        return 1
    if command == "push":
        push(arguments[-1])
        return 0
    print(f"the local stand-in for Docker does not know: docker {' '.join(arguments)}", file=sys.stderr)
    return 2


def push(name: str) -> None:
    """Register registry/repository:tag with a manifest that says nothing but the name."""
    repository, _, tag = name.split("/", 1)[1].rpartition(":")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "name": name})
    ecr = boto3.client("ecr")
    ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
