"""The watch over the source: a task that ends when the files are new, and what looks at them while it sleeps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from pipeline import source
from pipeline.graph import SOURCE
from pipeline.settings import Settings

# Events among which the latest is looked for.
LATEST = 100


class SourceSensor(BaseSensorOperator):
    """Waits until the source is not what the latest event of its asset says; ends with an event that says what it is.

    Airflow stores that event and the end of the task in one transaction, so there is one event a change, whatever is
    killed when. Its extra has the `version` and the `files` it stands for.
    """

    def execute(self, context: Any) -> None:
        """Sleep until there is something new; without an event yet, all is."""
        events = context["inlet_events"][SOURCE].ascending(False).limit(LATEST)
        # The order is that of the ids: a clock that is set back spoils that of the times.
        versions = {event.id: event.extra["version"] for event in events if "version" in (event.extra or {})}
        seen = versions[max(versions)] if versions else None
        self.defer(trigger=SourceTrigger(seen), method_name=self.tell.__name__)

    def tell(self, context: Any, event: source.Files) -> None:
        """End with the event of these files."""
        context["outlet_events"][SOURCE].extra = {"version": source.version(event), "files": event}


class SourceTrigger(BaseTrigger):
    """Looks at the source until its files are not those of the version `seen`, and the same in two looks.

    The settings are those of the triggerer, not of the moment when the task was put to sleep: a task that sleeps over a
    restart looks at the source that is set now, and where the watch is off now it sleeps on until it is on again.
    """

    def __init__(self, seen: str | None):
        super().__init__()
        self.seen = seen

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow stores it."""
        return f"{__name__}.{type(self).__name__}", {"seen": self.seen}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the files once, when they have changed and have come to rest."""
        settings = Settings()
        if settings.watch.seconds is None:
            await asyncio.Event().wait()
        before, trouble = None, ""
        while True:
            files, was, trouble = None, trouble, ""
            try:
                # In a thread: the other triggers must not wait for a slow source.
                files = await asyncio.to_thread(source.look, settings.source, settings.watch.files)
            except FileNotFoundError as error:
                trouble, reason = "a file is missing", error
            # Whatever a kind of source raises, the next look may succeed.
            except Exception as error:
                trouble, reason = "the source does not answer", error
            if trouble and trouble != was:
                self.log.warning("Waiting: %s (%r)", trouble, reason)
            if was and not trouble:
                self.log.info("The source answers, and all files are there")
            if files and files == before and source.version(files) != self.seen:
                yield TriggerEvent(files)
                return
            before = files
            await asyncio.sleep(settings.watch.seconds)
