"""The Lambda bundle: the product's packages and its locked dependencies, made by uv on this machine, without Docker."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("millpond", "functions")
LOCK = ("uv.lock", "pyproject.toml")
# The compiled module of this checkout is for this machine. Functions carry no data: Python's own code is fast enough.
LEFT_OUT = ("__pycache__", "_codec.*.so")
EXPORT = "export --frozen --no-emit-project --no-default-groups --extra functions --no-annotate --no-header"


class BundleError(Exception):
    """uv is missing or refused; the message has its words."""


def product_code(*, python: str, platform: str, root: Path = ROOT) -> lambda_.Code:
    """The code of every controller. Made anew only if the lock, the sources, the Python or the platform changed: the
    hash of these names the asset, and CDK skips a bundle that it has."""
    find_uv()  # said here, because errors from within CDK's callback arrive wrapped in its stack traces
    return lambda_.Code.from_asset(
        str(root),
        asset_hash=fingerprint(python=python, platform=platform, root=root),
        asset_hash_type=cdk.AssetHashType.CUSTOM,
        bundling=cdk.BundlingOptions(
            # Never started: the local bundling below either succeeds or raises. CDK wants one named.
            image=cdk.DockerImage.from_registry("public.ecr.aws/docker/library/python:" + python),
            # jsii calls back with the options as one value; its stubs say keywords.
            local=cast(cdk.ILocalBundling, UvBundling(python=python, platform=platform, root=root)),
        ),
    )


@jsii.implements(cdk.ILocalBundling)
class UvBundling:
    """CDK's hook for making an asset without Docker."""

    def __init__(self, *, python: str, platform: str, root: Path) -> None:
        self._python, self._platform, self._root = python, platform, root

    def try_bundle(self, output_dir: str, options: cdk.BundlingOptions) -> bool:
        """Fill `output_dir`. True is the only answer: CDK takes False for "use Docker"."""
        bundle(Path(output_dir), python=self._python, platform=self._platform, root=self._root)
        return True


def bundle(target: Path, *, python: str, platform: str, root: Path = ROOT) -> None:
    """Install the locked dependencies for that Python and platform into `target`, and copy the packages."""
    requirements = _uv(EXPORT.split(), root=root)
    _uv(
        [
            *("pip", "install", "--requirements", "-", "--require-hashes", "--only-binary", ":all:"),
            *("--python-version", python, "--python-platform", platform),
            *("--target", str(target), "--link-mode", "copy", "--quiet"),  # never hard links into uv's cache
        ],
        root=root,
        stdin=requirements,
    )
    shutil.rmtree(target / "bin", ignore_errors=True)  # scripts that name this machine's Python
    for package in PACKAGES:
        shutil.copytree(root / package, target / package, ignore=shutil.ignore_patterns(*LEFT_OUT))


def fingerprint(*, python: str, platform: str, root: Path = ROOT) -> str:
    """A hash over all that decides the bundle's content."""
    digest = hashlib.sha256(f"{python} {platform}\n".encode())
    for path in _sources(root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    yield from (root / name for name in LOCK)
    for package in PACKAGES:
        files = (path for path in sorted((root / package).rglob("*")) if path.is_file())
        yield from (path for path in files if not any(map(_is_left_out, path.relative_to(root).parts)))


def _is_left_out(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in LEFT_OUT)


def _uv(arguments: list[str], *, root: Path, stdin: str = "") -> str:
    done = subprocess.run([find_uv(), *arguments], cwd=root, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"uv {arguments[0]} failed while making the Lambda bundle\n{done.stderr.strip()}")
    return done.stdout


def find_uv() -> str:
    """The uv of the running environment, else the one on PATH."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise BundleError("uv is needed to make the Lambda bundle\nhint: pip install uv, or put it on PATH")
    return found
