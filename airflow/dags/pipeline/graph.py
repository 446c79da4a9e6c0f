"""What the DAGs share: the assets between them, the schedule of dataops, and the arguments of all tasks."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from pipeline import smoke
from pipeline.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import AssetOrTimeSchedule

# The source's files; updated by watch, starts dataops.
SOURCE = Asset("source")
# The published table; updated by dataops, starts mlops.
LABELED_PROJECTS = Asset("labeled_projects")

_RUNNER = Settings().runner
DEFAULTS = {
    # For temporary failures, such as a restarting service or a killed process. Bad data fails without a retry.
    "retries": _RUNNER.retries,
    "retry_delay": timedelta(seconds=_RUNNER.retry_delay),
    "execution_timeout": timedelta(hours=2),
    "pre_execute": smoke.enter,
}


def dataops_schedule(settings: Settings) -> "str | list[Asset] | AssetOrTimeSchedule | None":
    """What starts dataops: the clock, a change of the source, both, or (None) only a manual trigger."""
    cron = settings.dataops_schedule
    if settings.watch.seconds is None:
        return cron
    if cron is None:
        return [SOURCE]
    # Imported here to keep parsing fast: only the watch needs them.
    try:
        from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable
    except ImportError:
        return _schedule_of_3_1(cron)
    return AssetOrTimeSchedule(assets=[SOURCE], timetable=CronTriggerTimetable(cron, timezone="UTC"))


def _schedule_of_3_1(cron: str) -> Any:
    """The clock or a change of the source; Airflow 3.1 has the classes elsewhere, with other types."""
    from airflow.timetables.assets import AssetOrTimeSchedule
    from airflow.timetables.trigger import CronTriggerTimetable

    condition: Any = [SOURCE]
    timetable: Any = CronTriggerTimetable(cron, timezone="UTC")
    return AssetOrTimeSchedule(assets=condition, timetable=timetable)
