"""Python's encoder and decoder and the compiled ones: what holds for one holds for the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from millpond.archive import decode, encode
from millpond.archive.compiled import codec

needs_compiled = pytest.mark.skipif(
    codec is None, reason="THE COMPILED ENCODER AND DECODER ARE NOT BUILT, so they are not tested: native/compiling.py"
)
VARIANTS = ["python", pytest.param("compiled", marks=needs_compiled)]


@contextmanager
def only(variant: str) -> Iterator[None]:
    """Inside the block the product encodes and decodes with this one."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (encode, decode):
            patch.setattr(module, "codec", codec if variant == "compiled" else None)
        yield
