"""Load, check and transform the source data into the table `labeled_projects`.

Two Airbyte syncs load the source files unchanged; a Great Expectations checkpoint follows each. One `dbt build` creates
a candidate of `labeled_projects`. If the candidate passes its own checkpoint, it is published in one transaction:
consumers see either the old or the new table. Publishing updates the asset `labeled_projects`, which starts `mlops`.
"""

from airflow.sdk import DAG

from pipeline.commands import dbt
from pipeline.graph import LABELED_PROJECTS, RETRIES, dataops_schedule
from pipeline.settings import Settings
from pipeline.syncs import extract_and_load
from pipeline.validation import validate

with DAG(
    "dataops",
    schedule=dataops_schedule(Settings()),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data", **RETRIES},
    doc_md=__doc__,
    tags=["dataops"],
):
    transform = dbt("build", task_id="transform")
    publish = dbt("publish", task_id="publish", outlets=[LABELED_PROJECTS])

    extract_and_load("projects") >> validate("projects") >> transform
    extract_and_load("tags") >> validate("tags") >> transform
    transform >> validate("labeled_projects", task_id="validate_transforms") >> publish
