"""The provider's operators for pods, hardened: a pod that did not do its work never counts as success."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from kubernetes.client import models as k8s
from kubernetes.config import ConfigException

from pipeline import reports
from pipeline.runners import environment
from pipeline.runners.logs import START, Position
from pipeline.runners.outcome import Outcome
from pipeline.runners.pods import diagnosis, spec
from pipeline.runners.pods.cluster import Cluster, QuotaError, UnreachableError
from pipeline.runners.pods.diagnosis import State
from pipeline.runners.pods.spec import Pod
from pipeline.runners.pods.trigger import PodTrigger
from pipeline.runners.pods.watch import Watch
from pipeline.runners.waiting import Waiting
from pipeline.settings import Runner, Settings

if TYPE_CHECKING:
    from pipeline.runners.operator import CommandOperator

# The time limit of a task without an execution_timeout.
UNLIMITED = timedelta(days=7)
# Seconds that the kubelet gives a pod beyond the task's own limit, for the case that nobody else ends it.
MARGIN = 600
# Seconds that a sleeping task waits longer than its trigger, which may be in a triggerer that is starting again.
GRACE = 600
# Seconds during which the API server is asked again to delete a pod.
DELETE = 120
# Seconds between two tries of a request.
PAUSE = 1.0


class PodOperator(KubernetesPodOperator):
    """Run a command in a pod and return the JSON object that it writes to `--result`.

    The provider's operator builds the pod and connects to the cluster. The methods that wait for the pod are our own,
    since the provider's take a pod that was deleted or has no result for a success, do finished work again, and give up
    when the API server is away (docs/runners.md).
    """

    # Not what the client's types say, by which each part of a pod may be missing.
    pod: Pod | None

    def __init__(self, *, runner: Runner, command: list[str], **kwargs: Any):
        super().__init__(**kwargs)
        self.runner = runner
        self.command = command

    # pyrefly: ignore[bad-override]
    def execute_sync(self, context: Any) -> dict[str, Any]:
        """Run the pod, or take up the one that an earlier try has left, and wait for its end."""
        with reports.pushed(context) as report:
            deadline = time.time() + self._limit.total_seconds()
            try:
                pod, facts = self._begin(context, report, deadline)
                return facts if pod is None else self._end(pod, self._watch(pod, deadline), report)
            finally:
                self._delete()

    # pyrefly: ignore[bad-override]
    def execute_async(self, context: Any) -> dict[str, Any]:
        """Start the pod, or take up the one that an earlier try has left, and sleep until its end."""
        with reports.pushed(context) as report:
            deadline = time.time() + self._limit.total_seconds()
            try:
                pod, facts = self._begin(context, report, deadline)
            except BaseException:
                self._delete()
                raise
            if pod is None:
                self._delete()
                return facts
            self.defer(
                trigger=PodTrigger(self.task_id, pod, self.runner.start_timeout, deadline, list(START)),
                method_name=self.trigger_reentry.__name__,
                timeout=timedelta(seconds=max(deadline - time.time(), 0) + GRACE),
            )

    def trigger_reentry(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after the trigger, with a pod that has ended or must end."""
        with reports.pushed(context) as report:
            self.pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name=event["pod"], namespace=self.namespace))
            try:
                watch = self._watch(event["pod"], event["deadline"], tuple(event["position"]))
                return self._end(event["pod"], watch, report, State.of(event["state"]))
            finally:
                self._delete()

    def on_kill(self) -> None:
        """Delete the pod."""
        self._delete(seconds=10)

    def build_pod_request_obj(self, context: Any = None) -> Pod:
        """The provider's pod with our sidecar."""
        return spec.complete(super().build_pod_request_obj(context))

    def offline_pod(self) -> Pod:
        """The pod as it would be requested, without the labels of a run; no cluster is asked."""
        self.__dict__["hook"] = _NoHook()
        return self.build_pod_request_obj()

    def watch(self, pod: str, deadline: float, position: Position, log: Any) -> Watch:
        """A watch over a pod of this task."""
        return Watch(
            self._cluster,
            pod,
            task_id=self.task_id,
            start_timeout=self.runner.start_timeout,
            deadline=deadline,
            log=log,
            position=position,
        )

    @property
    def _cluster(self) -> Cluster:
        try:
            return Cluster(self.client, self.namespace or "default")
        except ConfigException as error:
            remedy = "set KUBECONFIG, or runner.kubernetes.kubeconfig and .context"
            raise AirflowFailException(f"there is no cluster to run pods on: {error}: {remedy}") from None

    @property
    def _limit(self) -> timedelta:
        return self.execution_timeout or UNLIMITED

    def _watch(self, pod: str, deadline: float, position: Position = START) -> Watch:
        return self.watch(pod, deadline, position, self.log)

    def _begin(self, context: Any, report: reports.Report, deadline: float) -> tuple[str | None, dict[str, Any]]:
        """The name of the pod to wait for, or None and the facts of one that has ended already."""
        request = self.build_pod_request_obj(context)
        selector = self._build_find_pod_label_selector(context, exclude_checked=False)
        left = self._patiently(lambda: self._cluster.find(selector), deadline)
        running = None
        for pod in left:
            self.pod = pod
            ended = diagnosis.state(pod, self.task_id)
            if ended.phase == "ended":
                self.log.info("Taking up the pod %s of an earlier try, which has ended", pod.metadata.name)
                try:
                    return None, self._end(pod.metadata.name, self._watch(pod.metadata.name, deadline), report, ended)
                except AirflowFailException:
                    raise
                except AirflowException as error:
                    self.log.warning("It had failed, so a new one is started: %s", error)
                self._delete()
            elif running:
                self._delete()
            else:
                running = pod
        if running:
            self.pod = running
            self.log.info("Taking up the pod %s of an earlier try, which has not ended", running.metadata.name)
            labels = {"try_number": str(context["ti"].try_number)}
            self._patiently(lambda: self._cluster.label(running.metadata.name, labels), deadline)
        else:
            # Before it exists, so that a kill in between deletes it.
            self.pod = request
            self._patiently(lambda: self._cluster.create(request), deadline)
            self.log.info("Started the pod %s in the namespace %s", request.metadata.name, request.metadata.namespace)
        return self.pod.metadata.name, {}

    def _end(self, pod: str, watch: Watch, report: reports.Report, ended: State | None = None) -> dict[str, Any]:
        """Wait for the end of the command, unless it has `ended`, and return its facts."""
        while ended is None:
            ended = watch.look()
            if ended is None:
                time.sleep(watch.pause)
        result = None
        if ended.status is not None:
            deadline = time.time() + self.runner.start_timeout
            result = self._patiently(lambda: self._cluster.result(pod), deadline)
            watch.read_to_the_end()
        return Outcome(self.command, ended.status, result, ended.reason, ended.helpless).facts(report)

    def _patiently(self, request: Callable[[], Any], deadline: float) -> Any:
        """Try a request until it is answered, at most for `runner.start_timeout` and not beyond the deadline."""
        waiting = Waiting(self.runner.start_timeout, self.log)
        while True:
            try:
                return request()
            except UnreachableError as error:
                reason = f"the API server does not answer: {error}"
            except QuotaError as error:
                reason = f"a quota leaves no room for the pod: {error}"
            if time.time() >= deadline:
                raise AirflowException(f"Timeout: the task's execution_timeout is over: {reason}")
            waiting.because(reason)
            time.sleep(PAUSE)

    def _delete(self, seconds: float = DELETE) -> None:
        """Delete the pod, if there is one; its end is known, so a failure is only told."""
        if self.pod is None:
            return
        name, end = self.pod.metadata.name, time.monotonic() + seconds
        while True:
            try:
                self._cluster.delete(name)
                self.pod = None
                return
            except (UnreachableError, AirflowFailException) as error:
                if time.monotonic() >= end or isinstance(error, AirflowFailException):
                    self.log.warning("The pod %s could not be deleted: %s", name, error)
                    return
            time.sleep(PAUSE)


class _NoHook:
    """Stands for the provider's hook where a pod is only drawn up."""

    is_in_cluster = False


def make(task: "CommandOperator") -> PodOperator:
    """The provider's operator of a task."""
    program = environment.program(task.environment, task.command)
    return _operator(task.task_id, task.runner, task.command, program, task.execution_timeout)


def watch(trigger: Any) -> Watch:
    """The watch of a sleeping task, whose PodTrigger has the pod's name and the bounds."""
    seen, count = trigger.position
    return _sleeping(trigger).watch(trigger.pod, trigger.deadline, (seen, count), trigger.log)


def delete(trigger: Any) -> None:
    """Delete the pod of a sleeping task that was ended."""
    operator = _sleeping(trigger)
    operator.pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name=trigger.pod))
    operator.on_kill()


def _sleeping(trigger: Any) -> PodOperator:
    runner = Settings().runner.of(trigger.task_id).model_copy(update={"start_timeout": trigger.start_timeout})
    return _operator(trigger.task_id, runner, [], [], None)


def _operator(task_id: str, runner: Runner, command: list[str], program: list[str], limit: timedelta | None) -> Any:
    seconds = (limit or UNLIMITED).total_seconds() + MARGIN
    arguments: dict[str, Any] = {
        "task_id": task_id,
        "execution_timeout": limit,
        **spec.arguments(runner, program, seconds),
    }
    if runner.type == "gke":
        from pipeline.runners.pods.gke import GkePodOperator

        assert runner.gke is not None
        own: dict[str, Any] = {
            "project_id": runner.gke.project,
            "location": runner.gke.location,
            "cluster_name": runner.gke.cluster,
        }
        return GkePodOperator(runner=runner, command=command, **own, **arguments)
    where = {"config_file": runner.kubernetes.kubeconfig, "cluster_context": runner.kubernetes.context}
    return PodOperator(runner=runner, command=command, **where, **arguments)
