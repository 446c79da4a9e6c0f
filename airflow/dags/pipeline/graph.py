"""What the graphs share: the assets between them, what starts dataops, and how their tasks are tried again."""

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule

from pipeline.settings import Settings

# The source's files; updated by watch, waited for by dataops.
SOURCE = Asset("source")
# The published table; updated by dataops, waited for by mlops.
LABELED_PROJECTS = Asset("labeled_projects")

# For what can pass by itself: a service that restarts, a process that was killed. Bad data fails at once.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=5), "execution_timeout": timedelta(hours=2)}


def dataops_schedule(settings: Settings) -> str | list[Asset] | AssetOrTimeSchedule | None:
    """What starts dataops: the clock, a change of the source, either, or (None) only people."""
    cron = settings.dataops_schedule
    if settings.watch.seconds is None:
        return cron
    if cron is None:
        return [SOURCE]
    # Not at the top: without the watch nothing here needs it.
    from airflow.sdk import CronTriggerTimetable

    return AssetOrTimeSchedule(assets=[SOURCE], timetable=CronTriggerTimetable(cron, timezone="UTC"))
