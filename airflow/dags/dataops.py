"""Load, check and transform the source data into the tables `labeled_projects` and `projects_to_predict`.

Two Airbyte syncs load the source files unchanged; a Great Expectations checkpoint follows each. One `dbt build` creates
candidates of both tables. If the candidates pass their own checkpoints, they are published in one transaction:
consumers see either the old or the new tables. Publishing updates the asset `labeled_projects`, which starts `mlops`.
"""

from airflow.sdk import DAG

from pipeline.commands import dbt
from pipeline.graph import DEFAULTS, LABELED_PROJECTS, dataops_schedule
from pipeline.settings import Settings
from pipeline.syncs import extract_and_load
from pipeline.validation import validate

with DAG(
    "dataops",
    schedule=dataops_schedule(Settings()),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data", **DEFAULTS},
    doc_md=__doc__,
    tags=["dataops"],
):
    transform = dbt("build", task_id="transform")
    publish = dbt("publish", task_id="publish", outlets=[LABELED_PROJECTS])

    extract_and_load("projects") >> validate("projects") >> transform
    extract_and_load("tags") >> validate("tags") >> transform
    transform >> validate("labeled_projects", task_id="validate_transforms") >> publish
    transform >> validate("projects_to_predict") >> publish
