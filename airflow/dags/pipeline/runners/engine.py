"""A command in a container of its own, on the engine that DOCKER_HOST names."""

import io
import signal
import tarfile
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import DeviceRequest, LogConfig

import docker
from pipeline import reports
from pipeline.runners import environment, images
from pipeline.runners.logs import START, Log, Position
from pipeline.runners.outcome import EXCEEDED, NO_PROGRAM, TIMED_OUT, Outcome, exceeded
from pipeline.runners.surroundings import Surroundings, look
from pipeline.runners.waiting import Waiting
from pipeline.settings import GPU

if TYPE_CHECKING:
    from pipeline.runners.operator import CommandOperator

# The volume of a container, the folder that everybody may write in it, and the result.
VOLUME, FOLDER = "/airflow", "xcom"
RESULT = f"{VOLUME}/{FOLDER}/return.json"
# Seconds for an answer of the engine, between two looks, and that a command has to end after TERM.
TIMEOUT = 30
PAUSE = 0.3
GRACE = 10
# Processes and threads of a container, and its log on the engine's disk, which the task's log repeats.
PIDS = 500
LOG = LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"})
# Seconds until a request is tried again.
RETRY = 3
# Where an engine says that it does not answer; an APIError is an answer.
SILENCE = (requests.exceptions.ConnectionError, requests.exceptions.Timeout)
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Run:
    """One run of a task's command in a container."""

    def __init__(self, task: "CommandOperator", instance: Any):
        """`instance`: the task instance; its ids find a container that an earlier try has left."""
        self._task = task
        self._runner = task.runner
        self.log = task.log
        index = instance.map_index
        self._labels = {
            "app": "mlops",
            "mlops.dag_id": instance.dag_id,
            "mlops.task_id": instance.task_id,
            "mlops.run_id": instance.run_id,
            "mlops.map_index": str(-1 if index is None else index),
            **({"mlops.instance": self._runner.instance} if self._runner.instance else {}),
        }
        limit = task.execution_timeout
        self._deadline = time.time() + limit.total_seconds() if limit else float("inf")
        self._container: Container | None = None
        self._client: docker.DockerClient | None = None

    def facts(self, report: reports.Report) -> dict[str, Any]:
        """Run the command to its end and return its facts; the container is removed in all cases."""
        try:
            for left in self._patiently(self._left):
                self._container = left
                if left.status not in ("exited", "dead"):
                    self.log.info("Taking up the container %s of an earlier try, which has not ended", left.short_id)
                    return self._end(report)
                self.log.info("Taking up the container %s of an earlier try, which has ended", left.short_id)
                try:
                    return self._end(report)
                except AirflowFailException:
                    raise
                except AirflowException as error:
                    self.log.warning("It had failed, so a new one is started: %s", error)
                self.remove()
            self._start()
            return self._end(report)
        finally:
            self.remove()

    def remove(self) -> None:
        """Stop the container, if there is one, and remove it with its result."""
        container = self._container
        if not container:
            return
        try:
            container.stop(timeout=GRACE)
            container.remove(v=True, force=True)
        except NotFound:
            pass
        except (DockerException, requests.exceptions.RequestException) as error:
            self.log.warning("The container %s could not be removed: %s", container.short_id, error)
            return
        self._container = None

    def _start(self) -> None:
        self._patiently(self._have_image)
        self._container = self._patiently(self._create)
        self._put_folder()
        try:
            # A container is created with one network; older engines take no more.
            for network in self._networks[1:]:
                self._patiently(lambda name=network: self._engine().networks.get(name).connect(self._container))
            self._patiently(self._container.start)
        except APIError as error:
            raise AirflowFailException(
                f"the container cannot be started: {error.explanation}: check runner.image and runner.docker"
            ) from None
        self.log.info("Started the container %s", self._container.short_id)

    def _create(self) -> Container:
        runner, memory = self._runner, self._bytes()
        program = environment.program(self._task.environment, self._task.command)
        plain, secret = environment.variables()
        gpus = runner.accelerators.get(GPU, 0)
        try:
            return self._engine().containers.create(
                runner.image or "",
                entrypoint=program[:1],
                command=[*program[1:], "--result", RESULT],
                environment=plain | secret | self._surroundings.variables,
                labels=self._labels | self._surroundings.labels,
                network=next(iter(self._networks), None),
                # The result must outlive the container's end, which a tmpfs does not: it is in an anonymous volume.
                volumes=[*runner.docker.volumes, *self._surroundings.volumes, VOLUME],
                mem_limit=memory,
                # Without swap.
                memswap_limit=memory,
                nano_cpus=_nano(runner.cpu),
                device_requests=[DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus else None,
                read_only=True,
                tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - in the container
                cap_drop=["ALL"],
                security_opt=["no-new-privileges:true"],
                init=True,
                pids_limit=PIDS,
                log_config=LOG,
            )
        except APIError as error:
            raise AirflowFailException(f"Docker refuses the container: {error.explanation}") from None

    def _put_folder(self) -> None:
        """Let the image's user write the result: the engine makes the volume for root."""
        folder = tarfile.TarInfo(FOLDER)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(folder)
        assert self._container is not None
        self._container.put_archive(VOLUME, content.getvalue())

    def _have_image(self) -> None:
        """Pull the image unless the engine has it."""
        image, engine = self._runner.image or "", self._engine()
        try:
            engine.images.get(image)
            return
        except ImageNotFound:
            pass
        try:
            engine.images.pull(image)
        except APIError as error:
            message = str(error.explanation or error)
            if isinstance(error, NotFound) or images.is_missing(message):
                raise AirflowFailException(f"the image {image} cannot be pulled: {message}: {images.REMEDY}") from None
            raise _WaitError(f"the image {image} cannot be pulled: {message}") from None

    def _left(self) -> list[Container]:
        """Containers of earlier tries, the newest first."""
        labels = [f"{name}={value}" for name, value in (self._labels | self._surroundings.labels).items()]
        found = self._engine().containers.list(all=True, ignore_removed=True, filters={"label": labels})
        for each in found:
            if each.status == "created":
                # The task was killed before it started its container.
                each.remove(v=True, force=True)
        return [each for each in found if each.status != "created"]

    def _end(self, report: reports.Report) -> dict[str, Any]:
        """Wait for the end of the command, and return its facts."""
        assert self._container is not None
        container, log = self._container, Log(self._read_log, self.log)
        while True:
            try:
                self._patiently(container.reload)
            except NotFound:
                raise AirflowException("the container was removed while it ran, with its result") from None
            if ended := container.status in ("exited", "dead"):
                break
            if time.time() >= self._deadline:
                break
            log.pass_on()
            time.sleep(PAUSE)
        log.pass_on(is_complete=True)
        command = self._task.command
        if not ended:
            return Outcome(command, None, None, TIMED_OUT).facts(report)
        state, result = container.attrs["State"], self._patiently(self._result)
        reason = self._reason(state, log.last)
        return Outcome(command, state["ExitCode"], result, reason, state["ExitCode"] in NO_PROGRAM).facts(report)

    def _read_log(self, position: Position) -> Iterable[bytes] | None:
        assert self._container is not None
        seconds = position[0].partition(".")[0]
        since = None if position == START else datetime.fromisoformat(f"{seconds}+00:00").timestamp()
        try:
            return [self._container.logs(timestamps=True, since=since)]
        except (DockerException, requests.exceptions.RequestException):
            return None

    def _result(self) -> str | None:
        assert self._container is not None
        try:
            parts, _ = self._container.get_archive(RESULT)
        except NotFound:
            return None
        except APIError as error:
            # Such as one that somebody removes at the moment.
            raise AirflowException(f"the result of the container cannot be read: {error}") from error
        with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            assert file is not None
            return file.read().decode("utf-8", "replace")

    def _reason(self, state: dict[str, Any], last: str) -> str:
        if state["OOMKilled"] or EXCEEDED in last:
            return exceeded(self._task.task_id, self._runner.memory)
        if not state["ExitCode"]:
            return ""
        killed = "it was killed, perhaps by `docker stop`" if state["ExitCode"] == 128 + signal.SIGKILL else ""
        return "; ".join(filter(None, [state["Error"], killed, last]))

    def _bytes(self) -> int | None:
        if not self._runner.memory:
            return None
        number = self._runner.memory.rstrip("kMGTi")
        return int(float(number) * _BYTES[self._runner.memory.removeprefix(number)])

    @cached_property
    def _surroundings(self) -> Surroundings:
        return look(self._engine(), self._runner.docker.inherit)

    @property
    def _networks(self) -> list[str]:
        own = self._runner.docker.network
        return [*([own] if own else []), *self._surroundings.networks]

    def _engine(self) -> docker.DockerClient:
        if not self._client:
            self._client = docker.from_env(timeout=TIMEOUT)
        return self._client

    def _patiently(self, request: Callable[[], Any]) -> Any:
        """Try a request until it is answered, at most for `runner.start_timeout` and not beyond the deadline."""
        waiting = Waiting(self._runner.start_timeout, self.log)
        while True:
            try:
                return request()
            except _WaitError as error:
                reason = str(error)
            except SILENCE as error:
                reason = f"Docker does not answer: {error}"
            except APIError:
                raise
            except DockerException as error:
                reason = f"Docker does not answer: {error}"
            if time.time() >= self._deadline:
                raise AirflowException(f"Timeout: the task's execution_timeout is over: {reason}")
            waiting.because(reason)
            time.sleep(RETRY)


class _WaitError(Exception):
    """What can pass by itself."""


def _nano(cpu: str | None) -> int | None:
    """Thousand-millionths of a CPU."""
    if not cpu:
        return None
    return int(float(cpu.removesuffix("m")) * (10**6 if cpu.endswith("m") else 10**9))
