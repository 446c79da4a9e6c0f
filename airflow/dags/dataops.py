"""Load, check and transform the source data into the table of rows with a label and the table of rows to predict.

An Airbyte sync loads each source file unchanged; a Great Expectations checkpoint follows. One `dbt build` creates
candidates of both tables. If the candidates pass their own checkpoints, they are published in one transaction:
consumers see either the old or the new tables. Publishing updates an asset, which starts `mlops`.
"""

from airflow.sdk import DAG

from pipeline import parameters
from pipeline.commands import dbt
from pipeline.graph import graphs
from pipeline.syncs import extract_and_load
from pipeline.validation import validate

for graph in graphs():
    with DAG(
        schedule=graph.dataops_schedule(),
        params=parameters.DATAOPS,
        doc_md=__doc__,
        **graph.arguments("dataops", owner="data"),
    ):
        transform = dbt("build", task_id="transform")
        publish = dbt("publish", task_id="publish", outlets=[graph.labeled])

        for source in graph.settings.sources:
            extract_and_load(source) >> validate(source) >> transform
        transform >> validate(graph.settings.labeled, task_id="validate_transforms") >> publish
        transform >> validate(graph.settings.to_predict) >> publish
