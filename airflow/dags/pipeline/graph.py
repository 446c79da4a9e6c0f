"""What the two graphs share: the asset between them and how their tasks are tried again."""

from datetime import timedelta

from airflow.sdk import Asset

# The published table; updated by dataops, waited for by mlops.
LABELED_PROJECTS = Asset("labeled_projects")

# For what can pass by itself: a service that restarts, a process that was killed. Gates take none.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=5), "execution_timeout": timedelta(hours=2)}
