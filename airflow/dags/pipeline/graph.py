"""What the DAGs of an application share: their names, the assets between them, and the arguments of all tasks."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from pipeline import parameters
from pipeline.settings import Settings, current

if TYPE_CHECKING:
    from airflow.sdk import AssetOrTimeSchedule


class Graph:
    """The graphs of one application.

    Attributes:
        settings: the application's.
        source: its source files; updated by watch, starts dataops.
        labeled: its published table; updated by dataops, starts mlops.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.source = Asset(f"{settings.prefix}source")
        self.labeled = Asset(f"{settings.prefix}{settings.labeled}")

    def arguments(self, name: str, owner: str) -> dict[str, Any]:
        """Arguments of the DAG that has a name in every application, such as dataops."""
        runner = self.settings.runner
        return {
            "dag_id": f"{name}{self.settings.suffix}",
            "catchup": False,
            "max_active_runs": 1,
            "tags": [name, self.settings.application],
            "default_args": {
                "owner": owner,
                # For temporary failures, such as a restarting service or a killed process. Bad data fails without one.
                "retries": runner.retries,
                "retry_delay": timedelta(seconds=runner.retry_delay),
                "execution_timeout": timedelta(hours=2),
                "pre_execute": partial(parameters.enter, application=self.settings.application),
            },
        }

    def dataops_schedule(self) -> "str | list[Asset] | AssetOrTimeSchedule | None":
        """What starts dataops: the clock, a change of the source, both, or (None) only a manual trigger."""
        cron = self.settings.dataops_schedule
        if self.settings.watch.seconds is None:
            return cron
        if cron is None:
            return [self.source]
        # Imported here to keep parsing fast: only the watch needs them.
        try:
            from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable
        except ImportError:
            return self._schedule_of_3_1(cron)
        return AssetOrTimeSchedule(assets=[self.source], timetable=CronTriggerTimetable(cron, timezone="UTC"))

    def _schedule_of_3_1(self, cron: str) -> Any:
        """The clock or a change of the source; Airflow 3.1 has the classes elsewhere, with other types."""
        from airflow.timetables.assets import AssetOrTimeSchedule
        from airflow.timetables.trigger import CronTriggerTimetable

        condition: Any = [self.source]
        timetable: Any = CronTriggerTimetable(cron, timezone="UTC")
        return AssetOrTimeSchedule(assets=condition, timetable=timetable)


def graphs() -> Iterator[Graph]:
    """One for each application of the settings; within the loop's body, these are the settings of all that is made."""
    for name in Settings().applications:
        with current(name):
            yield Graph(Settings())
