"""Standard output for verbs that write as they go. A reader that has seen enough (`| head`) ends them quietly."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable


def write_out(pieces: Iterable[bytes]) -> bool:
    """Writes the pieces as they come; False where nobody reads any more, and then nothing else is to be written."""
    out = sys.stdout.buffer
    try:
        for piece in pieces:
            out.write(piece)
        out.flush()
    except BrokenPipeError:
        # The interpreter flushes standard output when it ends, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
