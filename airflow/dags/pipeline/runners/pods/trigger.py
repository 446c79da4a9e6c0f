"""Watches a pod while its task sleeps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from pipeline.runners.pods.diagnosis import State


class PodTrigger(BaseTrigger):
    """Waits until the pod of a command has ended, and passes on its log meanwhile.

    Which cluster that is, say the settings of the running triggerer.
    """

    def __init__(self, task_id: str, pod: str, start_timeout: float, deadline: float, position: list[Any]):
        """`start_timeout`: seconds; `deadline`: seconds since 1970; `position`: of the log."""
        super().__init__()
        self.task_id = task_id
        self.pod = pod
        self.start_timeout = start_timeout
        self.deadline = deadline
        self.position = position
        self._fired = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and arguments from which Airflow recreates the trigger."""
        names = ("task_id", "pod", "start_timeout", "deadline", "position")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the pod's end once, as `PodOperator.trigger_reentry` takes it."""
        from pipeline.runners.pods import operators

        # In threads, so that a slow API server does not block the other triggers.
        watch = await asyncio.to_thread(operators.watch, self)
        ended, error = None, ""
        while ended is None and not error:
            try:
                ended = await asyncio.to_thread(watch.look)
            except AirflowException as given_up:
                error = str(given_up)
            if ended is None and not error:
                await asyncio.sleep(watch.pause)
        self._fired = True
        yield TriggerEvent(
            {
                "pod": self.pod,
                "deadline": self.deadline,
                "position": list(watch.log.position),
                "state": (ended or State("ended", error)).plain(),
            }
        )

    async def cleanup(self) -> None:
        """Delete the pod if somebody has ended the sleeping task; not if the triggerer ends or hands the task over."""
        if self._fired or await asyncio.to_thread(self._sleeps):
            return
        from pipeline.runners.pods import operators

        self.log.info("The task was ended while its pod ran: deleting the pod %s", self.pod)
        await asyncio.to_thread(operators.delete, self)

    def _sleeps(self) -> bool:
        """Whether the task still waits for this trigger, or nobody can say so."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        task = self.task_instance
        if task is None:
            return True
        try:
            states = RuntimeTaskInstance.get_task_states(
                dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
            )
        # Each version has its own errors; the kubelet ends the pod in the end.
        except Exception as error:
            self.log.warning("The state of the task is not known, so its pod stays: %s", error)
            return True
        found = [state for tasks in states.values() for state in tasks.values()]
        return not found or "deferred" in found
