"""Start `dataops` when the files of the source have changed, once a change.

This graph is there only where the setting `watch.seconds` is not null. Its one task sleeps outside of Airflow's workers
until the files of the source are not those of the latest event of the asset `source`, and have come to rest. Then it
ends with the next such event, which starts `dataops`, and the next run of this graph begins to look.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG

from pipeline.graph import RETRIES, SOURCE
from pipeline.settings import Settings

if Settings().watch.seconds is not None:
    from pipeline.watch import SourceSensor

    with DAG(
        "watch",
        schedule="@continuous",
        # Without one (apache/airflow#61405) the second run has the first one's logical date, and is never made.
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args={"owner": "data", **RETRIES},
        doc_md=__doc__,
        tags=["dataops"],
    ):
        SourceSensor(task_id="wait_for_change", inlets=[SOURCE], outlets=[SOURCE])
