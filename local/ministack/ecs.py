"""ECS tasks and services as local processes: MiniStack drives Docker, and this looks to it like Docker's client.

StopTask does as ECS does: SIGTERM, wait for the container's stopTimeout (30 s), SIGKILL, then report the real exit
code. MiniStack would mark the task as stopped with exit code 0 first.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from local.ministack.containers import start_container
from local.ministack.emulator import Answer, Json, concurrency, ecs, replace, responses
from local.ministack.settings import Settings
from local.processes import Child

STOP_TIMEOUT_S = 30
LABEL = "com.amazonaws.ecs."


class Container:
    """One process with the attributes and methods of docker-py's Container that MiniStack uses."""

    def __init__(self, name: str, process: Child, log: Path, stop_timeout_s: float) -> None:
        self.id, self.name, self.log = uuid.uuid4().hex * 2, name, log
        self.process, self.stop_timeout_s = process, stop_timeout_s
        self.attrs = {"NetworkSettings": {"Networks": {}, "IPAddress": "127.0.0.1"}, "State": {}}
        self._stopping = threading.Lock()

    @property
    def status(self) -> str:
        return "running" if self.process.running else "exited"

    def reload(self) -> None:
        """Nothing is cached here."""

    def wait(self, **_: object) -> dict[str, int]:
        return {"StatusCode": self.process.wait()}

    def logs(self, stream: bool = False, **_: object) -> bytes | Iterator[bytes]:
        return self._follow() if stream else self.log.read_bytes()

    def stop(self, **_: object) -> None:
        """Start to end it, if that has not begun. The definition's stopTimeout counts, not what MiniStack asks for."""
        if self._stopping.acquire(blocking=False):
            concurrency.spawn_background(self.process.stop, self.stop_timeout_s, thread_name="ecs-stop")

    def kill(self, **_: object) -> None:
        self.process.kill()

    def remove(self, **_: object) -> None:
        """The process may still be ending; its record stays for who asks for its exit code."""

    def _follow(self) -> Iterator[bytes]:
        with self.log.open("rb") as file:
            while True:
                over = not self.process.running  # before reading: what was written last is read still
                if line := file.readline():
                    yield line
                elif over:
                    return
                else:
                    time.sleep(0.1)


class Containers:
    """docker.containers"""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_id: dict[str, Container] = {}

    def run(
        self,
        image: str,
        *,
        command: Sequence[str] | None,
        environment: Mapping[str, str],
        name: str,
        labels: Mapping[str, str],
        **_: object,
    ) -> Container:
        definition = _container_definition(labels)
        log = Path(self._settings.logs) / f"{name}-{uuid.uuid4().hex[:8]}.log"
        whole = [*definition.get("entryPoint", []), *(command or [])]
        process = start_container(self._settings, image, whole, self._environment(environment), log)
        limit = float(definition.get("stopTimeout") or STOP_TIMEOUT_S)
        container = Container(name, process, log, limit)
        self._by_id[container.id] = container
        return container

    def get(self, container_id: str) -> Container:
        return self._by_id[container_id]

    def list(self, **_: object) -> list[Container]:
        return list(self._by_id.values())

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Without the credentials endpoint, which nobody serves here; the emulator's address as seen from a process."""
        kept = {name: str(value) for name, value in given.items() if not name.startswith("AWS_CONTAINER_")}
        return {**kept, "AWS_ENDPOINT_URL": self._settings.url}


class Images:
    """docker.images: an image is there when the settings know a program for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, name: str) -> PulledImage:
        self._settings.image(name)
        return PulledImage(name)

    def pull(self, name: str, **_: object) -> PulledImage:
        return self.get(name)

    def get_registry_data(self, name: str, **_: object) -> PulledImage:
        return self.get(name)


class PulledImage:
    def __init__(self, name: str) -> None:
        self.id = "sha256:" + hashlib.sha256(name.encode()).hexdigest()

    def tag(self, *_: object, **__: object) -> bool:
        return True


class Docker:
    """What MiniStack takes for docker.from_env()."""

    def __init__(self, settings: Settings) -> None:
        self.containers, self.images = Containers(settings), Images(settings)


def install(settings: Settings) -> None:
    docker = Docker(settings)
    ecs._docker = docker

    def stop_task(request: Json) -> Answer:
        task = _running_task(request)
        if task is None:
            answer: Answer = original(request)
            return answer
        if task["lastStatus"] != "STOPPING":
            task["desiredStatus"], task["lastStatus"] = "STOPPED", "STOPPING"
            concurrency.spawn_background(finish, task, request, thread_name="ecs-stop-task")
        described: Answer = responses.json_response({"task": ecs._sanitize(task)})
        return described

    def finish(task: Json, request: Json) -> None:
        """In the background, because the process may call the emulator while it ends."""
        containers = [docker.containers.get(container_id) for container_id in task["_docker_ids"]]
        for container in containers:
            container.stop()
        for container, record in zip(containers, task["containers"], strict=False):
            record["exitCode"] = container.wait()["StatusCode"]
        task["desiredStatus"] = "RUNNING"  # MiniStack stops only what is not yet to be stopped
        task["lastStatus"] = "DEACTIVATING"
        original(request)

    original = replace(ecs, "_stop_task", stop_task)
    for action, handler in list(ecs._ACTION_MAP.items()):
        if handler is original:
            ecs._ACTION_MAP[action] = stop_task


def _running_task(request: Json) -> Json | None:
    """The task, when it has processes to be ended."""
    cluster = ecs._resolve_cluster_name(request.get("cluster", "default"))
    task: Json | None = ecs._resolve_task(request.get("task", ""), cluster) if cluster else None
    return task if task and task["lastStatus"] != "STOPPED" and task.get("_docker_ids") else None


def _container_definition(labels: Mapping[str, str]) -> Json:
    """From the task definition that MiniStack names in a container's labels."""
    family, revision = labels[f"{LABEL}task-definition-family"], labels[f"{LABEL}task-definition-version"]
    task = ecs._task_defs.get(f"{family}:{revision}") or {}
    name = labels[f"{LABEL}container-name"]
    found: Json = next((each for each in task.get("containerDefinitions", []) if each["name"] == name), {})
    return found
