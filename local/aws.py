"""A local AWS: the MiniStack emulator with our adapter in a child process, and the CDK command line that deploys to it.

    with LocalAws() as aws:
        aws.cdk("bootstrap")
        aws.cdk("deploy", "--all", "--require-approval", "never")
        aws.client("s3").list_buckets()

It emulates: a pass here is no proof for the real cloud. Batch jobs and ECS tasks run as processes on this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3

from local.cdk import run_cdk
from local.ministack.settings import REPOSITORY, VARIABLE, Image, Settings
from local.node import with_node
from local.processes import HOST, Child, free_ports, wait_until
from millpond.errors import MillpondError

ACCOUNT, REGION = "123456789012", "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# Of a person's own account: they must not win over ours.
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
JOB_OVER = ("SUCCEEDED", "FAILED")


class LocalAws:
    """Start with `with`, or with start() and stop()."""

    def __init__(
        self,
        *,
        images: Sequence[Image] = (Image(),),
        directory: str | Path | None = None,
        parallel_jobs: int = 4,
        lambda_python: str = sys.executable,
    ) -> None:
        """images: what a container is here; by default any image is this repository, and commands are complete.

        directory: logs of the emulator, its tasks and jobs; the default is a temporary one. parallel_jobs: Batch jobs
        that run at once. lambda_python: the interpreter of every Python function.
        """
        self._temporary = directory is None
        self.directory = Path(directory) if directory else Path(tempfile.mkdtemp(prefix="millpond-aws-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._settings = Settings(
            port=free_ports(1)[0],
            logs=str(self.directory / "containers"),
            images=tuple(images),
            parallel_jobs=parallel_jobs,
            lambda_python=lambda_python,
        )
        self.url = self._settings.url
        self.log = self.directory / "emulator.log"
        self.process: Child | None = None

    # What others need to talk to it

    def env(self) -> dict[str, str]:
        """The environment of anything that shall talk to this AWS and to no other."""
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return {**kept, **self.settings()}

    def settings(self) -> dict[str, str]:
        """Only what `env` adds to the environment of this process."""
        return {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CDK_DEFAULT_ACCOUNT": ACCOUNT,
            "CDK_DEFAULT_REGION": REGION,
            "CDK_DISABLE_CLI_TELEMETRY": "true",
        }

    def client(self, service: str, **more: Any) -> Any:
        """A boto3 client of this AWS; `more` goes to boto3 (config=...)."""
        session = boto3.Session(
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )
        make: Any = session.client
        return make(service, endpoint_url=self.url, **more)

    # Life

    def start(self, timeout_s: float = 60) -> LocalAws:
        env = {
            **self.env(),
            VARIABLE: self._settings.dump(),
            "GATEWAY_PORT": str(self._settings.port),
            "BIND_HOST": HOST,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "IOT_MTLS_ENABLED": "0",
            "TMPDIR": str(self.directory),  # its code folders and pid file
            "PYTHONPATH": str(REPOSITORY),
            "PATH": with_node(os.environ.get("PATH")),  # for the functions of the CDK's own custom resources
        }
        self.process = Child([sys.executable, "-m", "local.ministack"], output=self.log, env=env, cwd=self.directory)
        try:
            wait_until(self._answers, f"the local AWS answers (log: {self.log})", timeout_s=timeout_s)
        except BaseException:
            self._temporary = False  # keep the log
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the emulator with all its tasks, jobs and functions."""
        if self.process:
            self.process.stop(timeout_s=10)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> LocalAws:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # Deployments

    def cdk(self, command: str, *arguments: str, cwd: str | Path = REPOSITORY, quiet: bool = True) -> str:
        """Run the CDK in the folder of cdk.json. Image assets need no Docker (see `local.docker_stand_in`)."""
        if command == "bootstrap":
            arguments = (f"aws://{ACCOUNT}/{REGION}", *arguments)
            cwd = self.directory  # it needs no app, and would synthesize one for nothing
        return run_cdk(command, *arguments, cwd=Path(cwd), env=self.env(), scratch=self.directory, quiet=quiet)

    def outputs(self, stack: str) -> dict[str, str]:
        """The CfnOutputs of a stack."""
        found = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    # Waiting

    def wait_for_execution(self, arn: str, timeout_s: float = 120) -> dict[str, Any]:
        """DescribeExecution of a Step Functions execution that is over, however it ended."""
        states = self.client("stepfunctions")

        def over() -> dict[str, Any] | None:
            seen: dict[str, Any] = states.describe_execution(executionArn=arn)
            return seen if seen["status"] != "RUNNING" else None

        return wait_until(over, f"execution {arn} ends", timeout_s=timeout_s, pause_s=0.1)

    def wait_for_job(self, job_id: str, *statuses: str, timeout_s: float = 120) -> dict[str, Any]:
        """DescribeJobs of one Batch job once it has one of these statuses, or is over."""
        batch = self.client("batch")

        def reached() -> dict[str, Any] | None:
            seen: dict[str, Any] = batch.describe_jobs(jobs=[job_id])["jobs"][0]
            return seen if seen["status"] in (*statuses, *JOB_OVER) else None

        return wait_until(reached, f"Batch job {job_id} ends", timeout_s=timeout_s, pause_s=0.1)

    def wait_for_tasks(self, cluster: str, service: str, count: int, timeout_s: float = 60) -> list[dict[str, Any]]:
        """DescribeTasks of a service once exactly `count` of its tasks run."""
        ecs = self.client("ecs")

        def running() -> tuple[list[dict[str, Any]]] | None:
            arns = ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"]
            tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
            up = [task for task in tasks if task["lastStatus"] == "RUNNING"]
            return (up,) if len(up) == count else None  # in a tuple, because no tasks are an answer too

        return wait_until(running, f"{count} tasks of {service} run", timeout_s=timeout_s, pause_s=0.1)[0]

    # Faults

    def kill_task(self, task_arn: str) -> None:
        """kill -9 the processes of an ECS task, as a dying host would."""
        self._kill(f"ministack-ecs-{task_arn.rsplit('/', 1)[-1][:8]}-*.pid")

    def kill_job(self, job_id: str) -> None:
        """kill -9 the process of a Batch job (of one child: `id:index`). Its retry strategy decides what comes next."""
        self._kill(f"batch-{job_id.replace(':', '-')}-*.pid")

    def _kill(self, pattern: str) -> None:
        for file in Path(self._settings.logs).glob(pattern):
            with contextlib.suppress(ProcessLookupError):  # an earlier attempt
                os.killpg(int(file.read_text()), signal.SIGKILL)

    def _answers(self) -> bool:
        assert self.process is not None
        if not self.process.running:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise MillpondError(f"the local AWS ended with {self.process.exit_code}:\n{tail}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2):
            return True
        return False
