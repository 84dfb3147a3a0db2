"""Only reads: BOOTSTRAP TOPIC. What no backup can go below."""

from __future__ import annotations

import sys

from tests.bench.programs.clients import batches, tell

if __name__ == "__main__":
    tell(records=sum(map(len, batches(sys.argv[1], sys.argv[2]))))
