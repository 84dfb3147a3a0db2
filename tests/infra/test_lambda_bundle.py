"""The Lambda bundle and the image's context: complete, small, and the same when nothing changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import bundle
from infra.bundle import BundleError, fingerprint
from tests.infra.conftest import REPOSITORY, Assembly

LAMBDA_LIMIT = 250 * 1024 * 1024
TARGET = {"python": "3.12", "platform": "x86_64-manylinux_2_28"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in bundle.LOCK:
        (tmp_path / name).write_text(name)
    for name in bundle.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    return tmp_path


def test_the_bundle_holds_the_product_its_dependencies_and_no_litter(assembly: Assembly) -> None:
    names = {path.name for path in assembly.lambda_bundle.iterdir()}
    assert {"millpond", "functions", "boto3", "pydantic", "confluent_kafka", "aws_lambda_powertools"} <= names
    assert not {"infra", "tests", "bin", "aws_cdk", "pytest"} & names
    assert not list(assembly.lambda_bundle.rglob("__pycache__"))


def test_the_bundle_fits_into_a_function(assembly: Assembly) -> None:
    size = sum(path.stat().st_size for path in assembly.lambda_bundle.rglob("*") if path.is_file())
    assert size < LAMBDA_LIMIT / 2


def test_the_bundles_binaries_are_for_the_functions_python(assembly: Assembly) -> None:
    binaries = list(assembly.lambda_bundle.glob("confluent_kafka/*.so"))
    assert binaries and all("cpython-312-x86_64-linux-gnu" in path.name for path in binaries)


def test_the_compiled_module_of_this_machine_stays_here(assembly: Assembly) -> None:
    """It may be for another processor than the functions', or for a newer C library."""
    assert not list((assembly.lambda_bundle / "millpond").rglob("*.so"))
    assert not list(assembly.image_context.rglob("*.so"))


def test_handlers_of_this_python_import_from_the_bundle_alone(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    bundle.bundle(tmp_path / "code", python=version, platform="x86_64-manylinux_2_28")
    handlers = sorted(path.parent.name for path in (REPOSITORY / "functions").glob("*/handler.py"))
    modules = ["millpond", "functions", "confluent_kafka", *(f"functions.{name}.handler" for name in handlers)]
    script = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append('.')\n{script}", *modules],
        cwd=tmp_path / "code",
        env={"AWS_DEFAULT_REGION": "us-east-1", "MILLPOND_ARCHIVE": "s3://bucket/archive"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_nothing_changed_nothing_new(checkout: Path) -> None:
    before = fingerprint(**TARGET, root=checkout)
    (checkout / "millpond" / "__pycache__").mkdir()
    (checkout / "millpond" / "__pycache__" / "x.pyc").write_text("x")
    (checkout / "README.md").write_text("x")
    (checkout / "millpond" / "_codec.cpython-312-x86_64-linux-gnu.so").write_text("x")
    assert fingerprint(**TARGET, root=checkout) == before


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml", "millpond/__init__.py", "functions/new.py"])
def test_a_change_of_lock_or_sources_makes_a_new_bundle(checkout: Path, name: str) -> None:
    before = fingerprint(**TARGET, root=checkout)
    (checkout / name).write_text("changed")
    assert fingerprint(**TARGET, root=checkout) != before


def test_another_python_or_platform_makes_another_bundle(checkout: Path) -> None:
    prints = {
        fingerprint(python=python, platform=platform, root=checkout)
        for python in ("3.12", "3.13")
        for platform in ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
    }
    assert len(prints) == 4


def test_what_uv_refuses_is_told_in_its_words(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="uv export failed"):
        bundle.bundle(tmp_path / "code", **TARGET, root=checkout)


def test_without_uv_there_is_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BundleError, match="hint: pip install uv"):
        bundle.find_uv()


def test_the_image_is_made_of_the_product_alone(assembly: Assembly) -> None:
    names = {path.name for path in assembly.image_context.iterdir()}
    assert names == {
        *("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock"),
        *("millpond", "backup_consumer", "batch_jobs", "native"),
    }
    assert not list(assembly.image_context.rglob("__pycache__"))
