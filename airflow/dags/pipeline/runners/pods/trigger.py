"""Watches a pod while its task sleeps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from pipeline.runners.pods.diagnosis import State


class PodTrigger(BaseTrigger):
    """Waits until the pod of a command has ended, and passes on its log meanwhile.

    The settings are those of the running triggerer: a task finds its cluster after a change of the address too.
    """

    def __init__(self, task_id: str, pod: str, deadline: float, position: list[Any]):
        """`deadline`: seconds since 1970; `position`: of the log."""
        super().__init__()
        self.task_id = task_id
        self.pod = pod
        self.deadline = deadline
        self.position = position

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and arguments from which Airflow recreates the trigger."""
        names = ("task_id", "pod", "deadline", "position")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the pod's end once, as `PodOperator.trigger_reentry` takes it."""
        from pipeline.runners.pods import operators

        # In threads, so that a slow API server does not block the other triggers.
        watch = await asyncio.to_thread(operators.watch, self.task_id, self.pod, self.deadline, self.position, self.log)
        ended, error = None, ""
        while ended is None and not error:
            try:
                ended = await asyncio.to_thread(watch.look)
            except AirflowException as given_up:
                error = str(given_up)
            if ended is None and not error:
                await asyncio.sleep(watch.pause)
        yield TriggerEvent(
            {
                "pod": self.pod,
                "deadline": self.deadline,
                "position": list(watch.log.position),
                "state": (ended or State("ended", error)).plain(),
            }
        )
