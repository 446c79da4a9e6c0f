"""A smoke run as a deploy starts it, on an instance of the stack instead of an environment of Composer."""

import json
import shutil
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx

from deploy import declaration
from deploy.airflow import GRAPHS, Airflow
from deploy.manifest import File, Manifest
from stack import warehouses
from stack.runs.airflow_api import AirflowApi
from stack.settings import ROOT


class SmokeRun:
    """An instance on the emulators that is up; `before` is what others read before its smoke run."""

    def __init__(self, settings, folder):
        self.before = None
        self.settings = settings
        self.api = AirflowApi.of(self.settings)
        self._folder = folder
        login = {"username": "admin", "password": self.settings.secrets["admin"]}
        url = self.settings.url("airflow")
        token = httpx.post(f"{url}/auth/token", json=login, timeout=60).raise_for_status().json()["access_token"]
        self.airflow = Airflow(None, url, token)

    def apply_declaration(self):
        """Declare the connections of a smoke run on the sample as a deploy does, and give their ids to Airflow."""
        for name in ("connections.yaml", "connections.bigquery.yaml"):
            shutil.copy(ROOT / "airbyte" / name, self._folder)
        address = {
            "url": f"{self.settings.url('airbyte')}/api/public/v1",
            "clientId": self.settings.airbyte_client_id,
            "clientSecret": self.settings.secrets["airbyte_client_secret"],
        }
        # JSON is YAML, in front of a template too.
        overlay = f"airbyte: {json.dumps(address)}\n{(self._folder / 'connections.bigquery.yaml').read_text()}"
        (self._folder / f"connections.{self.settings.place}.yaml").write_text(overlay)
        config = self.settings.config | {"airbyte": {"connections": str(self._folder / "connections.yaml")}}
        target = SimpleNamespace(place=self.settings.place, config=config, configs=[config])
        digests = self._folder / "applied.json"
        digests.write_text("{}")
        _, ids = declaration.declared(target, str(ROOT / "data" / "sample")).apply(digests)
        self.api.set_variable("airbyte_connections", json.dumps(ids))

    def wait_for_import(self, text, limit):
        """Wait as a deploy does, until Airflow has read DAG files with these texts."""
        files = {f"dags/{name}.py": File.of(b"") for name in GRAPHS}
        manifest = Manifest(
            place="any", files=files, packages={}, airflow_options={}, environment_variables={}, images={}
        )
        self.airflow.wait_for_import(manifest, text, datetime.fromtimestamp(0, UTC), limit, lambda *_: None)

    def start(self):
        """Run both graphs as a deploy does."""
        self.airflow.smoke([""], "1", 600, lambda *_: None)

    def others_read(self):
        """What consumers read, the aliases of the model that they use, and the number of runs of mlops."""
        warehouse = warehouses.warehouse(self.settings)
        tables = {name: warehouse.digest(table) for name, table in self.settings.tables["published"].items()}
        return tables, self.aliases("tagifai"), len(self.api.last_runs("mlops", 100))

    def aliases(self, model):
        """Aliases of a model, each with its version."""
        api = f"{self.settings.url('mlflow')}/api/2.0/mlflow/registered-models/get"
        found = httpx.get(api, params={"name": model}, timeout=60).raise_for_status().json()["registered_model"]
        return {each["alias"]: each["version"] for each in found.get("aliases", [])}
