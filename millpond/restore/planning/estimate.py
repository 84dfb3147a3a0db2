"""How long a restore may take and what it may cost: rough figures to plan a day by, not a bill.

Rests on 10 MiB of stored bytes a second for each worker with one vCPU, the proof included, and on the prices of
us-east-1 for S3 requests and Fargate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from millpond.archive.documents import Json

_BYTES_PER_S = 10 << 20
_START_S = 90
_PARTITION_S = 0.1
_USD_PER_GET = 0.0004 / 1000
_USD_PER_PUT = 0.005 / 1000
_USD_PER_WORKER_S = (0.04048 + 2 * 0.004445) / 3600


def estimated(sizes: Sequence[int], objects: int, units: int) -> Json:
    """Seconds until the slowest worker is done if all run at once, and US dollars.

    Args:
        sizes: Stored bytes of each line of the plan; line n goes to worker n modulo `units`.
    """
    if not units:
        return {"seconds": 0, "usd": 0.0}
    of_units = [sizes[unit::units] for unit in range(units)]
    seconds = [_START_S + sum(share) / _BYTES_PER_S + len(share) * _PARTITION_S for share in of_units]
    usd = objects * (_USD_PER_GET + _USD_PER_PUT) + len(sizes) * _USD_PER_PUT + sum(seconds) * _USD_PER_WORKER_S
    return {"seconds": math.ceil(max(seconds)), "usd": math.ceil(usd * 100) / 100}
