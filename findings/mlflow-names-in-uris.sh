#!/usr/bin/env bash
# mlflow 3.17.2 registers models under names that its own URIs then cannot address. The registry takes `what?` and `a@b`,
# gives them versions and an alias, and finds both by the alias through the client. As a URI, models:/what?@champion ends
# at the question mark and is taken for the id of a logged model; models:/a@b/1 is the alias `b/1` of a model `a`. So check
# the name of a model before the first version is registered, not when the model is served.
# Output seen:
#   what? version 1 is champion
#   models:/what?@champion: Logged model with ID 'what' not found.
#   a@b version 1 is champion
#   models:/a@b/1: Registered Model with name=a not found
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2

MLFLOW_DISABLE_TELEMETRY=true env/bin/python -W ignore - 2>/dev/null <<'PYTHON'
from pathlib import Path

import mlflow

mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
Path("model").mkdir()
Path("model", "MLmodel").write_text("flavors: {}\n")


def load(uri):
    try:
        mlflow.artifacts.download_artifacts(uri)
        return "loaded"
    except mlflow.MlflowException as error:
        return error.message


for name, uri in (("tickets", "models:/tickets@champion"), ("what?", "models:/what?@champion"), ("a@b", "models:/a@b/1")):
    client.create_registered_model(name)
    version = client.create_model_version(name, source=str(Path("model").resolve())).version
    client.set_registered_model_alias(name, "champion", version)
    assert client.get_model_version_by_alias(name, "champion").version == version
    told = load(uri)
    if name == "tickets":
        assert told == "loaded", told
        continue
    print(name, "version", version, "is champion")
    print(f"{uri}: {told}")
    assert "not found" in told
PYTHON
