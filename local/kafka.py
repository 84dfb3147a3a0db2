"""A real Apache Kafka cluster: 1 or 3 KRaft nodes, each broker and controller in one process.

    with KafkaCluster(nodes=3, tls=True, acls=True) as kafka:
        kafka.create_user("alice", "secret")
        Producer(kafka.client("SASL_SSL", user="alice", password="secret"))
        kafka.kill(1)
        kafka.start_node(1)

PLAINTEXT is always there; its principal User:ANONYMOUS is a super user. With tls=True there are also SASL_SSL
(SCRAM-SHA-512), SSL (mutual TLS) and TLS (only the brokers show a certificate; its principal is User:ANONYMOUS too),
signed by a throw-away authority.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclBinding, AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from local.certificates import Authority
from local.jars import kafka_jars
from local.java import FAST_JVM, java_command
from local.kafka_settings import (
    CONTROLLER,
    OFFSETS_PARTITIONS,
    PLAINTEXT,
    Address,
    Settings,
    acl_properties,
    addresses,
    client_settings,
    secure_client_settings,
    server_properties,
    tls_properties,
)
from local.processes import HOST, Child, wait_until
from millpond.errors import MillpondError, WrongUsage
from millpond.kafka.coordinators import Coordinators
from millpond.kafka.failures import passes_by_itself
from millpond.kafka.metadata import EVERY_ACL


class Node:
    """One broker with its folder. Its process comes and goes."""

    def __init__(self, address: Address, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.process: Child | None = None
        self.properties, self.data, self.log = folder / "server.properties", folder / "data", folder / "server.log"

    @property
    def id(self) -> int:
        return self.address.id

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def check_alive(self) -> None:
        """Raise what its log says when it ended by itself."""
        if self.process and not self.process.running:
            raise MillpondError(f"Kafka node {self.id} ended with {self.process.exit_code}:\n{_last_words(self.log)}")

    def listens(self) -> bool:
        self.check_alive()
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.address.ports[PLAINTEXT]), 1):
            return True
        return False


def _last_words(log: Path) -> str:
    """The errors that a broker's log ends with; its last lines when it tells of none."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if " INFO " not in line and (" ERROR " in line or "Exception: " in line)]
    return "\n".join((errors or lines)[-10:])


def _new_cluster_id() -> str:
    """16 bytes as Kafka prints them. Its tools would take an id with a dash in front for an option."""
    while (found := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return found


class KafkaCluster:
    """Start with `with`, or with start() and stop(). Node ids are 1..nodes."""

    def __init__(
        self,
        nodes: int = 1,
        *,
        tls: bool = False,
        acls: bool = False,
        heap: str = "256m",
        config: Mapping[str, str | int | float | bool] | None = None,
        directory: str | Path | None = None,
        jvm: Sequence[str] = FAST_JVM,
    ) -> None:
        """config: more broker settings. directory: kept, and used again; the default is a temporary one."""
        if nodes not in (1, 3):
            raise WrongUsage(f"a local Kafka cluster has 1 or 3 nodes, not {nodes}")
        self.heap, self.jvm = heap, tuple(jvm)
        self.jars = kafka_jars()
        self._temporary = directory is None
        self.directory = Path(directory) if directory else Path(tempfile.mkdtemp(prefix="millpond-kafka-"))
        self.authority = Authority(self.directory / "tls") if tls else None
        cluster = addresses(nodes, tls=tls)
        self.nodes = [Node(address, self.directory / f"node{address.id}") for address in cluster]
        self._more = {**(acl_properties() if acls else {}), **(config or {})}

    # Addresses and settings

    def bootstrap(self, listener: str = PLAINTEXT) -> str:
        """bootstrap.servers of this listener: PLAINTEXT, SASL_SSL, SSL or TLS."""
        return ",".join(node.address.at(listener) for node in self.nodes)

    @property
    def listeners(self) -> list[str]:
        """The listeners for clients that this cluster has."""
        return [name for name in self.nodes[0].address.ports if name != CONTROLLER]

    def client(
        self,
        listener: str = PLAINTEXT,
        *,
        user: str = "",
        password: str = "",
        name: str = "client",
        **more: str | int | float | bool,
    ) -> Settings:
        """Settings for confluent-kafka; more of them as keywords, with _ for the dot (group_id="g").

        SASL_SSL wants user and password, SSL the common name of the certificate.
        """
        settings = client_settings(self.bootstrap(listener), listener)
        if listener != PLAINTEXT:
            if not self.authority:
                raise WrongUsage(f"listener {listener} needs KafkaCluster(tls=True)")
            settings |= secure_client_settings(self.authority, listener, user=user, password=password, name=name)
        return settings | {key.replace("_", "."): value for key, value in more.items()}

    def create_user(self, user: str, password: str) -> None:
        """A SCRAM-SHA-512 user; a broker knows it when this returns."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        admin: Any = AdminClient(self.client())  # its futures end with it
        for done in admin.alter_user_scram_credentials([change]).values():
            done.result(30)
        wait_until(lambda: user in admin.describe_user_scram_credentials().result(60), f"user {user} is known")

    def allow(self, acls: Sequence[AclBinding]) -> None:
        """Adds these rights; the brokers go by them when this returns."""
        admin: Any = AdminClient(self.client())  # its futures end with it
        for done in admin.create_acls(list(acls)).values() if acls else ():
            done.result(60)
        wait_until(lambda: set(admin.describe_acls(EVERY_ACL).result(60)) >= set(acls), "the brokers know these rights")

    # Life of the cluster

    def start(self, timeout_s: float = 180) -> KafkaCluster:
        """Format what is not formatted, start every node and wait until the cluster answers."""
        self.format()
        for node in self.nodes:
            if not node.running:
                self._launch(node)
        self.wait_ready(timeout_s)
        return self

    def stop(self, *, clean: bool | None = None) -> None:
        """End all nodes. clean=None: SIGKILL when the directory is temporary, else SIGTERM.

        A clean stop of 3 nodes takes 5 s: the last one has no quorum to say goodbye to.
        """
        processes = [node.process for node in self.nodes if node.process]
        wants_clean = not self._temporary if clean is None else clean
        for process in processes:
            process.send(signal.SIGTERM if wants_clean else signal.SIGKILL)
        for process in processes:
            process.stop(timeout_s=10)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def format(self) -> None:
        """Write the settings and format the storage of every node that has none yet."""
        cluster_id = _new_cluster_id()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            for done in [pool.submit(self._format_node, node, cluster_id) for node in self.nodes]:
                done.result()

    def wait_ready(self, timeout_s: float = 180) -> None:
        """Until every node that runs is known to all of them and there is a controller."""
        deadline = time.monotonic() + timeout_s
        up = [node for node in self.nodes if node.running]
        for node in up:  # cheap first: librdkafka backs off after a refused connection
            wait_until(node.listens, f"Kafka node {node.id} listens (log: {node.log})", timeout_s=timeout_s)
        servers = ",".join(node.address.at(PLAINTEXT) for node in up)
        admin = AdminClient({**self.client(), "bootstrap.servers": servers, "log_level": 2})
        left = max(30.0, deadline - time.monotonic())
        wait_until(lambda: _is_complete(admin, up), f"{len(up)} Kafka nodes are one cluster", timeout_s=left)

    def wait_for_groups(self) -> KafkaCluster:
        """Until every group has a coordinator that answers. A cluster gets its first ones when it is asked for one, and
        refuses commits meanwhile."""
        coordinators = Coordinators(lambda: AdminClient({**self.client(), "log_level": 2}), timeout_s=60)
        wait_until(lambda: _knows_groups(coordinators), "the coordinators of groups answer")
        return self

    # Life of one node

    def start_node(self, node_id: int, *, wait: bool = True) -> None:
        node = self._node(node_id)
        if node.running:
            raise WrongUsage(f"Kafka node {node_id} runs already")
        self._launch(node)
        if wait:
            self.wait_ready()

    def stop_node(self, node_id: int, timeout_s: float = 30) -> None:
        """Clean shutdown (SIGTERM); SIGKILL after `timeout_s`."""
        if process := self._node(node_id).process:
            process.stop(timeout_s)

    def kill(self, node_id: int) -> None:
        """kill -9: the broker has no chance to say goodbye or to write anything."""
        if process := self._node(node_id).process:
            process.kill()

    def restart(self, node_id: int) -> None:
        self.stop_node(node_id)
        self.start_node(node_id)

    def _node(self, node_id: int) -> Node:
        if not 1 <= node_id <= len(self.nodes):
            raise WrongUsage(f"there is no Kafka node {node_id}: they are 1 to {len(self.nodes)}")
        return self.nodes[node_id - 1]

    def _launch(self, node: Node) -> None:
        command = java_command(
            "kafka.Kafka", node.properties, jars=self.jars, heap=self.heap, log=node.log, options=self.jvm
        )
        node.process = Child(command, output=node.folder / "console.log")

    def _format_node(self, node: Node, cluster_id: str) -> None:
        node.folder.mkdir(parents=True, exist_ok=True)
        settings = server_properties(node.address, [other.address for other in self.nodes], node.data)
        if self.authority:
            settings |= tls_properties(node.address, self.authority)
        lines = [f"{key}={value}\n" for key, value in {**settings, **self._more}.items()]
        node.properties.write_text("".join(lines))
        if (node.data / "meta.properties").exists():
            return
        arguments = ("format", "-t", cluster_id, "-c", node.properties)
        log = node.folder / "format.log"
        command = java_command("kafka.tools.StorageTool", *arguments, jars=self.jars, heap="128m", log=log)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MillpondError(f"cannot format Kafka node {node.id}: {done.stdout}{done.stderr}")

    def __enter__(self) -> KafkaCluster:
        try:
            return self.start()
        except BaseException:
            self._temporary = False  # keep the logs
            self.stop(clean=False)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _knows_groups(coordinators: Coordinators) -> bool:
    one_of_each = [str(number) for number in range(OFFSETS_PARTITIONS)]  # 48, 49, ... to Java, and so to Kafka
    with coordinators.asked() as asked:
        return not any(map(passes_by_itself, asked.describe(one_of_each).values()))


def _is_complete(admin: AdminClient, nodes: Sequence[Node]) -> bool:
    for node in nodes:
        node.check_alive()
    try:
        metadata = admin.list_topics(timeout=2)
    except KafkaException:  # no answer yet: wait_until asks again
        return False
    brokers = set(metadata.brokers)
    return {node.id for node in nodes} <= brokers and metadata.controller_id in brokers
