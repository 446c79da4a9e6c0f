"""What a pod's status says, in words: whether it waits, works or has ended, why, and what to do."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from kubernetes.client import models as k8s

from pipeline.runners import images
from pipeline.runners.outcome import EXCEEDED, NO_PROGRAM, exceeded
from pipeline.runners.pods.spec import BASE, Pod

_NO_PROGRAM = re.compile(r"executable file not found|no such file or directory|permission denied", re.IGNORECASE)
_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")


@dataclass(frozen=True)
class State:
    """Where a pod stands.

    Attributes:
        phase: `waiting` for its start, `running`, or `ended`.
        reason: why it waits, or how it ended; empty if there is nothing to say.
        status: exit status of the command, None if unknown.
        helpless: whether nothing changes by waiting or by another try.
    """

    phase: Literal["waiting", "running", "ended"]
    reason: str = ""
    status: int | None = None
    helpless: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it, for `of`."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Self:
        """Reverse of `plain`."""
        return cls(**plain)


def state(pod: Pod, task_id: str, pull_error: str = "") -> State:
    """Where a pod stands; `pull_error` is what is known about why its image is not pulled."""
    containers = {each.name: each for each in pod.status.container_statuses or []}
    base = containers.get(BASE)
    if base and base.state and base.state.terminated:
        return _terminated(pod, base.state.terminated, task_id)
    if pod.status.phase in ("Failed", "Succeeded"):
        return State("ended", _pod_reason(pod, task_id) or f"the pod is {pod.status.phase} without the command's end")
    if base and base.state and base.state.running:
        return State("running", _pod_reason(pod, task_id))
    for each in containers.values():
        if each.state and each.state.waiting and (found := _waiting(each, each.state.waiting, pull_error)):
            return found
    return _unscheduled(pod) or State("waiting", "its containers are being created")


def limit(pod: Pod, resource: str) -> str | None:
    """What the command may use of a resource; None: no limit."""
    base = next(each for each in pod.spec.containers if each.name == BASE)
    return ((base.resources and base.resources.limits) or {}).get(resource)


def _terminated(pod: Pod, ended: k8s.V1ContainerStateTerminated, task_id: str) -> State:
    said = _last_line(ended.message)
    told = [_pod_reason(pod, task_id)]
    unknown = False
    if ended.reason == "OOMKilled" or EXCEEDED in said:
        told.append(f"OOMKilled: {exceeded(task_id, limit(pod, 'memory'))}")
    elif ended.reason in ("ContainerCannotRun", "StartError") or (ended.exit_code in NO_PROGRAM and not told[0]):
        unknown = bool(_NO_PROGRAM.search(said)) or ended.exit_code in NO_PROGRAM
        told.append(f"{ended.reason}: the command cannot be started: {said}")
        if unknown:
            told.append("the image has no such program: check runner.image and the task's command")
    else:
        if ended.reason not in ("Error", "Completed"):
            told.append(str(ended.reason))
        if ended.exit_code:
            told.append(said)
    return State("ended", "; ".join(filter(None, told)), ended.exit_code, unknown)


def _pod_reason(pod: Pod, task_id: str) -> str:
    """Why Kubernetes ends, or has ended, a pod."""
    reason, message = pod.status.reason, " ".join((pod.status.message or "").split())
    told = []
    if reason == "DeadlineExceeded":
        told.append(f"DeadlineExceeded: the pod ran longer than {pod.spec.active_deadline_seconds} s")
    elif reason == "Evicted":
        resource = "memory" if "memory" in message else "ephemeral storage" if "storage" in message else "its resources"
        advice = f"raise runner.tasks.{task_id}.memory" if resource == "memory" else f"let the task use less {resource}"
        told.append(f"Evicted: {message}: {advice}")
    elif reason:
        told.append(f"{reason}: {message}" if message else reason)
    for each in pod.status.conditions or []:
        if each.type == "DisruptionTarget" and each.status == "True":
            told.append(f"{each.reason}: {each.message}")
    if pod.metadata.deletion_timestamp:
        told.append(f"the pod was deleted, at {pod.metadata.deletion_timestamp:%H:%M:%S}")
    return "; ".join(told)


def _waiting(container: k8s.V1ContainerStatus, waiting: k8s.V1ContainerStateWaiting, pull_error: str) -> State | None:
    """What a container waits for; None: nothing out of the ordinary."""
    reason, message = waiting.reason or "", " ".join((waiting.message or "").split())
    if reason in _PULL:
        known = message if reason != "ImagePullBackOff" else pull_error or message
        text = f"{reason}: the image {container.image} cannot be pulled: {known}"
        if images.is_missing(f"{reason} {known}"):
            return State("ended", f"{text}: {images.REMEDY}", helpless=True)
        return State("waiting", text)
    if reason == "CreateContainerConfigError":
        return State("ended", f"{reason}: {message}: check runner.kubernetes.secret and runner.image", helpless=True)
    if reason in ("CreateContainerError", "RunContainerError"):
        text = f"{reason}: {message}"
        return State("ended", text, helpless=True) if _NO_PROGRAM.search(message) else State("waiting", text)
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return None
    return State("waiting", f"{reason}: {message}")


def _unscheduled(pod: Pod) -> State | None:
    for each in pod.status.conditions or []:
        if each.type == "PodScheduled" and each.status == "False":
            message = " ".join((each.message or "").split())
            missing = re.search(r'persistentvolumeclaim "[^"]*" not found', message)
            if missing:
                return State("ended", f"{missing[0]}: set runner.kubernetes.claim to one that exists", helpless=True)
            return State("waiting", f"{each.reason}: {message}")
    return None if pod.spec.node_name else State("waiting", "no node has been chosen yet")


def _last_line(message: str | None) -> str:
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""
