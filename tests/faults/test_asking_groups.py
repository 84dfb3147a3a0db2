"""Questions about groups while the brokers that know the answers go and come back."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from local.kafka import KafkaCluster
from tests.faults.backup_process import ROUNDS

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_process_that_asks_while_coordinators_die_lives_and_gets_its_answers(
    kafka3: KafkaCluster, tmp_path: Path
) -> None:
    """librdkafka's clients abort the process when they ask a coordinator again that they have lost."""
    chance, log = random.Random(), tmp_path / "log"
    command = [sys.executable, "-m", "tests.faults.asking_groups", kafka3.bootstrap()]
    pipe = subprocess.PIPE
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, stderr=said, text=True)
    try:
        for _ in range(max(6, ROUNDS)):
            node = chance.choice((1, 2, 3))
            (kafka3.kill if chance.random() < 0.5 else kafka3.stop_node)(node)
            time.sleep(chance.uniform(0, 2))
            kafka3.start_node(node)
            time.sleep(chance.uniform(0, 1))
        answered, _ = process.communicate("", timeout=180)
    finally:
        process.kill()
    assert process.returncode == 0, log.read_text()[-3000:]
    assert int(answered.split()[0]) > 100
