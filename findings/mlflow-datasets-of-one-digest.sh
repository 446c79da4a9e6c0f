#!/usr/bin/env bash
# mlflow 3.17.2 keeps one data set for each name and digest, whatever else is logged with it. Two inputs of a run that share
# both, such as the two sides of a split whose digest is that of the whole file, become one: the first, with its own
# context and profile. A later run that logs the same name and digest with another number of rows shows the earlier
# number. No error, no warning. So let the digest depend on everything that differs.
# Output seen:
#   logged: training 10 rows, evaluation 3 rows
#   stored: training {"num_rows": 10}
#   a later run logged 99 rows, stored: training {"num_rows": 10}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2

MLFLOW_DISABLE_TELEMETRY=true env/bin/python -W ignore - 2>/dev/null <<'PYTHON'
import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag

mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
experiment = client.create_experiment("rows")


def logged(context, rows):
    data = Dataset("projects", "1", "local", '{"uri": "/a"}', None, f'{{"num_rows": {rows}}}')
    return DatasetInput(data, [InputTag("mlflow.data.context", context)])


def stored(*inputs):
    run = client.create_run(experiment).info.run_id
    client.log_inputs(run, list(inputs))
    found = client.get_run(run).inputs.dataset_inputs
    return [(each.tags[0].value, each.dataset.profile) for each in found]


first = stored(logged("training", 10), logged("evaluation", 3))
print("logged: training 10 rows, evaluation 3 rows")
print("stored:", *(f"{context} {profile}" for context, profile in first))
later = stored(logged("training", 99))
print("a later run logged 99 rows, stored:", *(f"{context} {profile}" for context, profile in later))
assert first == later == [("training", '{"num_rows": 10}')], (first, later)
PYTHON
