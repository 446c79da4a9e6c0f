#!/usr/bin/env bash
# mlflow 3.17.2 reads the common variable DO_NOT_TRACK, but only the word true: DO_NOT_TRACK=1, the value that the
# convention names and most programs take, leaves telemetry on. Its own MLFLOW_DISABLE_TELEMETRY takes 1 and true. So do
# not rely on the common variable.
# Output seen:
#   DO_NOT_TRACK=1: telemetry off False
#   DO_NOT_TRACK=true: telemetry off True
#   MLFLOW_DISABLE_TELEMETRY=1: telemetry off True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2

# Variables of a CI turn telemetry off too.
is_off() {
  env -i PATH="$PATH" HOME="$folder" "$1" env/bin/python -W ignore -c \
    'from mlflow.telemetry.utils import is_telemetry_disabled; print(is_telemetry_disabled())' 2>/dev/null
}
for each in DO_NOT_TRACK=1 DO_NOT_TRACK=true MLFLOW_DISABLE_TELEMETRY=1; do
  found=$(is_off "$each")
  echo "$each: telemetry off $found"
  [ "$found" = "$([ "$each" = DO_NOT_TRACK=1 ] && echo False || echo True)" ]
done
