"""Start `dataops` once for each change of the source files.

This DAG exists only if the setting `watch.seconds` is not null. Its one task sleeps in the triggerer, without a worker
slot, until the source files differ from the latest event of the asset `source` and are no longer being written. Then it
emits the next such event, which starts `dataops`, and the next run of this DAG continues to watch.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG

from pipeline.graph import graphs

for graph in graphs():
    if graph.settings.watch.seconds is not None:
        from pipeline.watch import SourceSensor

        with DAG(
            schedule="@continuous",
            # Without it the second run gets the first run's logical date and is never created (apache/airflow#61405).
            start_date=datetime(2026, 1, 1, tzinfo=UTC),
            doc_md=__doc__,
            **graph.arguments("watch", owner="data"),
        ):
            SourceSensor(task_id="wait_for_change", inlets=[graph.source], outlets=[graph.source])
