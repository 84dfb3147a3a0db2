"""A process that asks about groups on several threads until it is told to end: `python -m ... <bootstrap>`.

Prints how many answers it got. The client's library used to end such a process while brokers restarted.
"""

from __future__ import annotations

import sys
import threading

from millpond.errors import MillpondError, TryAgain
from millpond.kafka.admin import Cluster
from millpond.kafka.members import members_of
from millpond.kafka.settings import ClusterAddress
from tests import oracle


def main(bootstrap: str) -> None:
    over, lock, answers = threading.Event(), threading.Lock(), [0, 0]
    cluster = Cluster(ClusterAddress(bootstrap, {name: str(told) for name, told in oracle.QUICK.items()}))

    def ask(first: int) -> None:
        number = first
        while not over.is_set():
            number += 1
            try:
                members_of(cluster, f"group-{number % 8}")
            except TryAgain:
                with lock:
                    answers[1] += 1
            else:
                with lock:
                    answers[0] += 1

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    if not answers[0]:
        raise MillpondError("nothing was answered")
    print(*answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
