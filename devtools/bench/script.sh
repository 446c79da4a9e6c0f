# The commands of the tasks of dataops and mlops without Airflow, in the same order, side by side where the graphs are.
#
# ENVIRONMENTS is the folder of the locked environments, RESULTS an empty folder, WORKERS the number of workers, PYTHON
# any Python; and the environment variables of tasks.
set -e

# Run a command as a step, and write down when it began and ended.
step() {
  local name=$1 began=$EPOCHREALTIME
  shift
  "$@"
  echo "$name $began $EPOCHREALTIME" >>"$RESULTS/times"
}

sync() { step "extract_and_load_$1" "$ENVIRONMENTS/stack/bin/python" devtools/bench/sync.py "$1"; }

checkpoint() {
  step "$1" env PYTHONPATH=airflow/dags "$ENVIRONMENTS/airflow/bin/python" -m pipeline.checkpoints "${@:2}"
}

dbt() { step "$1" "$ENVIRONMENTS/dbt/bin/python" dbt_transforms/transform.py "${@:2}" --result "$RESULTS/$1.json"; }

tagifai() { step "$1" "$ENVIRONMENTS/tagifai/bin/tagifai" "${@:2}" --result "$RESULTS/$1.json"; }

# A value of a step's result.
returned() {
  "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$RESULTS/$1.json" "$2"
}

# Each `wait` fails as its process did.
wait_for() {
  local process
  for process; do wait "$process"; done
}

(sync projects; checkpoint validate_projects projects) &
projects=$!
(sync tags; checkpoint validate_tags tags) &
wait_for "$projects" $!
dbt transform build
checkpoint validate_transforms labeled_projects &
checked=$!
checkpoint validate_projects_to_predict projects_to_predict &
wait_for "$checked" $!
dbt publish publish

tagifai extract_data extract
snapshot=$(returned extract_data uri)
checkpoint validate "snapshot=$snapshot"
workers=()
for ((worker = 0; worker < WORKERS; worker++)); do
  tagifai "optimize-$worker" optimize --snapshot "$snapshot" --worker "$worker" &
  workers+=($!)
done
wait_for "${workers[@]}"
tagifai train train --snapshot "$snapshot" --study "$(returned optimize-0 study)"
model=$(returned train model)
tagifai evaluate evaluate --snapshot "$snapshot" --model "$model"
tagifai promote promote --snapshot "$snapshot" --model "$model"
tagifai predict predict
predictions=$(returned predict predictions)
checkpoint validate_predictions "predictions=$predictions"
tagifai publish_predictions publish --predictions "$predictions" --predicted-at "$(returned predict predicted_at)"
