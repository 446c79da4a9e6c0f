"""Train and evaluate a model on the published `labeled_projects`, and tag all projects with the champion.

The table is extracted to a snapshot, which is named by its content and checked. Parallel tasks search for the best
parameters; a model with these is trained and evaluated on held-out rows. The candidate is registered in MLflow and
becomes the champion only if it is not worse than the current champion on the same rows. The champion then tags every
project of the published `projects_to_predict`, labelled or not. If these predictions pass their checkpoint, they are
published in one transaction, unless newer ones are published already.
"""

from airflow.sdk import DAG

from pipeline.commands import tagifai, tagifai_mapped
from pipeline.graph import DEFAULTS, LABELED_PROJECTS
from pipeline.settings import Settings
from pipeline.validation import validate

SNAPSHOT_FILE = "{{ ti.xcom_pull('extract_data')['uri'] }}"
SNAPSHOT = ["--snapshot", SNAPSHOT_FILE]
STUDY = ["--study", "{{ ti.xcom_pull('optimize', map_indexes=0)['study'] }}"]
MODEL = ["--model", "{{ ti.xcom_pull('train')['model'] }}"]
PREDICTIONS_FILE = "{{ ti.xcom_pull('predict')['predictions'] }}"
PREDICTIONS = ["--predictions", PREDICTIONS_FILE, "--predicted-at", "{{ ti.xcom_pull('predict')['predicted_at'] }}"]

with DAG(
    "mlops",
    schedule=[LABELED_PROJECTS],
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "machine-learning", **DEFAULTS},
    doc_md=__doc__,
    tags=["mlops"],
):
    extract_data = tagifai("extract", task_id="extract_data")
    optimize = tagifai_mapped("optimize", *SNAPSHOT, "--worker", over=range(Settings().search.workers))
    train = tagifai("train", *SNAPSHOT, *STUDY)
    evaluate = tagifai("evaluate", *SNAPSHOT, *MODEL)
    promote = tagifai("promote", *SNAPSHOT, *MODEL)
    predict = tagifai("predict")
    publish = tagifai("publish", *PREDICTIONS, task_id="publish_predictions")

    extract_data >> validate("snapshot", task_id="validate", file=SNAPSHOT_FILE) >> optimize >> train >> evaluate
    evaluate >> promote >> predict >> validate("predictions", file=PREDICTIONS_FILE) >> publish
