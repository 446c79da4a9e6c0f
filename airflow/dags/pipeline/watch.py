"""The watch: a sensor that ends when the source files change, and the trigger that checks them while it sleeps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from pipeline import source
from pipeline.settings import Settings, current

# How many events are searched for the latest one.
LATEST = 100


class SourceSensor(BaseSensorOperator):
    """Waits until the source differs from the latest event of its asset, then emits an event with the new state.

    Airflow stores that event and the end of the task in one transaction, so there is exactly one event per change, even
    if processes are killed. The event's extra has the `version` and the `files`.
    """

    def execute(self, context: Any) -> None:
        """Sleep until the source has changed; without an earlier event, it counts as changed."""
        events = context["inlet_events"][self.inlets[0]].ascending(False).limit(LATEST)
        # Ordered by id, since times are out of order if the clock was set back.
        versions = {event.id: event.extra["version"] for event in events if "version" in (event.extra or {})}
        seen = versions[max(versions)] if versions else None
        self.defer(trigger=SourceTrigger(seen, Settings().application), method_name=self.emit.__name__)

    def emit(self, context: Any, event: source.Files) -> None:
        """Emit the event of these files and end."""
        context["outlet_events"][self.outlets[0]].extra = {"version": source.version(event), "files": event}


class SourceTrigger(BaseTrigger):
    """Checks the source until its files differ from the version `seen` and are the same in two checks in a row.

    The settings are those of the running triggerer, not those of the time when the task fell asleep: after a restart a
    sleeping task checks the source that is set now, and while the watch is switched off it keeps sleeping.
    """

    def __init__(self, seen: str | None, application: str):
        super().__init__()
        self.seen = seen
        self.application = application

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and arguments from which Airflow recreates the trigger."""
        return f"{__name__}.{type(self).__name__}", {"seen": self.seen, "application": self.application}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the files once, when they have changed and are no longer being written."""
        with current(self.application):
            settings = Settings()
        seconds = settings.watch.seconds
        if seconds is None:
            await asyncio.Event().wait()
            return
        previous, trouble = None, ""
        while True:
            files, was, trouble = None, trouble, ""
            try:
                # In a thread, so that a slow source does not block the other triggers.
                files = await asyncio.to_thread(source.look, settings.source, settings.files)
            # Each kind of source raises its own types; the next check may succeed.
            except Exception as error:
                missing = isinstance(error, FileNotFoundError)
                trouble = "a file is missing" if missing else "the source does not answer"
                if trouble != was:
                    self.log.warning("Waiting: %s (%r)", trouble, error)
            if was and not trouble:
                self.log.info("The source answers and has all files")
            if files and files == previous and source.version(files) != self.seen:
                yield TriggerEvent(files)
                return
            previous = files
            await asyncio.sleep(seconds)
