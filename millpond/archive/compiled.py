"""The compiled encoder and decoder, where they are built: `codec` is the module, or None.

They are a matter of speed alone. `encode` and `decode` hold the same in Python; MILLPOND_PURE=1 leaves it at that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__all__ = ["codec"]

if TYPE_CHECKING or os.environ.get("MILLPOND_PURE") != "1":
    try:
        import millpond.archive._codec as codec
    except ModuleNotFoundError:  # not built here; one that was built and does not load is an error
        codec = None  # type: ignore[assignment]
else:
    codec = None
