"""Load, check and transform the source data into the table `labeled_projects`.

Two Airbyte syncs load the sources as they are, and a Great Expectations checkpoint stands behind each. One `dbt build`
makes a candidate of `labeled_projects`; only when its own checkpoint has passed is it published, in one transaction, to
those who read the table. Publishing updates the asset `labeled_projects`, which starts `mlops`.
"""

from airflow.sdk import DAG

from pipeline.checkpoints import validate
from pipeline.commands import dbt
from pipeline.graph import LABELED_PROJECTS, RETRIES, dataops_schedule
from pipeline.settings import Settings
from pipeline.syncs import extract_and_load

with DAG(
    "dataops",
    schedule=dataops_schedule(Settings()),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data", **RETRIES},
    doc_md=__doc__,
    tags=["dataops"],
):
    projects = extract_and_load("projects") >> validate("projects")
    tags = extract_and_load("tags") >> validate("tags")
    transform = dbt("build", task_id="transform")
    publish = dbt("publish", task_id="publish", outlets=[LABELED_PROJECTS])

    [projects, tags] >> transform >> validate("labeled_projects", task_id="validate_transforms") >> publish
