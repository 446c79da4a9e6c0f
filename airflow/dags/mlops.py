"""Train and evaluate a model on the published rows with a label, and label all rows with the champion.

The table is extracted to a snapshot, which is named by its content and checked. Parallel tasks search for the best
parameters; a model with these is trained and evaluated on held-out rows. The candidate is registered in MLflow and
becomes the champion only if it is not worse than the current champion on the same rows. The champion then predicts the
label of every published row, labelled or not. If these predictions pass their checkpoint, they are published in one
transaction, unless newer ones are published already.
"""

from airflow.sdk import DAG

from pipeline import parameters
from pipeline.commands import tagifai, tagifai_mapped
from pipeline.graph import graphs
from pipeline.validation import validate

SNAPSHOT_FILE = "{{ ti.xcom_pull('extract_data')['uri'] }}"
SNAPSHOT = ["--snapshot", SNAPSHOT_FILE]
STUDY = ["--study", "{{ ti.xcom_pull('optimize', map_indexes=0)['study'] }}"]
MODEL = ["--model", "{{ ti.xcom_pull('train')['model'] }}"]
PREDICTIONS_FILE = "{{ ti.xcom_pull('predict')['predictions'] }}"
PREDICTIONS = ["--predictions", PREDICTIONS_FILE, "--predicted-at", "{{ ti.xcom_pull('predict')['predicted_at'] }}"]

for graph in graphs():
    with DAG(
        schedule=[graph.labeled],
        params=parameters.MLOPS,
        doc_md=__doc__,
        **graph.arguments("mlops", owner="machine-learning"),
    ):
        extract_data = tagifai("extract", task_id="extract_data")
        optimize = tagifai_mapped("optimize", *SNAPSHOT, "--worker", over=range(graph.settings.search.workers))
        train = tagifai("train", *SNAPSHOT, *STUDY)
        evaluate = tagifai("evaluate", *SNAPSHOT, *MODEL)
        promote = tagifai("promote", *SNAPSHOT, *MODEL)
        predict = tagifai("predict")
        publish = tagifai("publish", *PREDICTIONS, task_id="publish_predictions")

        extract_data >> validate("snapshot", task_id="validate", file=SNAPSHOT_FILE) >> optimize >> train >> evaluate
        evaluate >> promote >> predict >> validate("predictions", file=PREDICTIONS_FILE) >> publish
