"""Follows a pod until its command has ended, whatever happens to the API server, the kubelet and the node."""

import time
from collections.abc import Iterable
from typing import Any

from pipeline.runners.logs import START, Log, Position
from pipeline.runners.outcome import TIMED_OUT
from pipeline.runners.pods import diagnosis
from pipeline.runners.pods.cluster import Cluster, UnreachableError
from pipeline.runners.pods.diagnosis import State
from pipeline.runners.pods.spec import BASE, Pod
from pipeline.runners.waiting import Waiting

# Seconds between two looks while a pod is young, and later.
SHORT, LONG = 0.3, 1.0
YOUNG = 30
# Seconds of the log that are read again at each look, for lines that came late.
OVERLAP = 5
# Seconds during which the end of a log is asked for.
LAST_WORDS = 20
# Seconds that a deleted pod may stay longer than its grace period; then its node is lost.
LOST = 30


class Watch:
    """One pod, looked at again and again.

    It is used in the task's process and, while the task sleeps, in the triggerer.

    Args:
        cluster: where the pod is.
        name: the pod's name.
        task_id: for advice in messages.
        start_timeout: seconds that the pod may wait for its start, and the API server may be away.
        deadline: seconds since 1970 at which the task's time is up.
        log: the task's log.
        position: where another watch has stopped reading the pod's log.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        *,
        task_id: str,
        start_timeout: float,
        deadline: float,
        log: Any,
        position: Position = START,
    ):
        self.log = Log(self._read_log, log, position)
        self._cluster = cluster
        self._name = name
        self._task_id = task_id
        self._task_log = log
        self._deadline = deadline
        self._start = Waiting(start_timeout, log)
        self._outage = Waiting(start_timeout, log)
        self._began = time.monotonic()
        self._pull_error = ""
        self._last: State | None = None
        # When the log was last read, on this machine's clock: only differences count.
        self._read: float | None = None
        # When the pod was first seen being deleted.
        self._deleted: float | None = None

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return SHORT if time.monotonic() - self._began < YOUNG else LONG

    def look(self) -> State | None:
        """Pass on the log, and look at the pod; its end, or None as long as it goes on.

        Raises:
            AirflowException: it could not start in time, the API server stayed away too long.
        """
        if time.time() >= self._deadline:
            return State("ended", TIMED_OUT)
        try:
            pod = self._cluster.read(self._name)
        except UnreachableError as error:
            self._outage.because(f"the API server does not answer: {error}")
            return None
        self._outage.over()
        if pod is None:
            return self._gone()
        state = diagnosis.state(pod, self._task_id, self._pull_error)
        self._last = state
        if state.phase == "ended":
            return state
        if state.phase == "running":
            self._start.over()
            self.log.pass_on()
        else:
            self._remember_pull_error(pod, state)
            self._start.because(state.reason)
        return self._lost(pod)

    def read_to_the_end(self) -> None:
        """Pass on the rest of the log of a command that has ended; a kubelet that starts again is waited for."""
        end = time.monotonic() + LAST_WORDS
        while not self.log.pass_on(is_complete=True):
            if time.monotonic() >= end:
                self._task_log.warning("The end of the command's log cannot be read")
                return
            time.sleep(LONG)

    def _read_log(self, position: Position) -> Iterable[bytes] | None:
        began = time.monotonic()
        seconds = None if self._read is None else int(began - self._read) + OVERLAP
        parts = self._cluster.log(self._name, BASE, seconds)
        if parts is not None:
            self._read = began
        return parts

    def _gone(self) -> State:
        reason = self._last.reason if self._last and self._last.phase == "running" else ""
        told = reason or "the pod was deleted by force, or by somebody while nobody looked"
        return State("ended", f"{told}; the pod is gone, with its result")

    def _lost(self, pod: Pod) -> State | None:
        """A pod that is being deleted and does not end: its node does not answer."""
        if not pod.metadata.deletion_timestamp:
            return None
        now = time.monotonic()
        self._deleted = self._deleted or now
        if now - self._deleted < (pod.metadata.deletion_grace_period_seconds or 0) + LOST:
            return None
        return State(
            "ended", f"{self._last.reason if self._last else ''}; its node {pod.spec.node_name} does not answer"
        )

    def _remember_pull_error(self, pod: Pod, state: State) -> None:
        """The reason of a failed pull is in the status for a moment only, and in the events."""
        if state.reason.startswith("ErrImagePull"):
            self._pull_error = state.reason.partition("cannot be pulled: ")[2]
        elif state.reason.startswith("ImagePullBackOff") and not self._pull_error:
            failed = [each.message or "" for each in self._cluster.events(pod.metadata.uid) if each.reason == "Failed"]
            self._pull_error = next((each for each in failed if "Failed to pull" in each), "")
