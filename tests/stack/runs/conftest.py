"""A run of another application in the format of Airflow's REST API: graphs about invoices, a retry, a failed check."""

import functools
import io
import json
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from stack.embedded.place import Place
from stack.embedded.settings import load
from stack.runs import airflow_api


class Recording:
    """Answers of Airflow's REST API by path, and by map index of a mapped task; tests may change them."""

    run_ids = {  # noqa: RUF012
        "dataops": "manual__2026-11-01T08:00:00+00:00",
        "mlops": "asset_triggered__2026-11-01T08:00:20+00:00_x1",
    }

    def __init__(self):
        self.answers = json.loads(Path(__file__).with_name("invoices.json").read_text())

    def answer(self, request):
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "token"})
        if "Authorization" not in request.headers:
            return httpx.Response(401)
        path, index = request.url.path.removeprefix("/api/v2"), request.url.params.get("map_index", "-1")
        path += f"?map_index={index}" if int(index) >= 0 else ""
        return httpx.Response(200, json=self.answers[path]) if path in self.answers else httpx.Response(404)

    def path(self, dag_id, rest=""):
        return f"/dags/{dag_id}/dagRuns/{self.run_ids[dag_id]}{rest}"

    def run(self, dag_id):
        return self.answers[self.path(dag_id)]

    def instance(self, dag_id, task_id):
        instances = self.answers[self.path(dag_id, "/taskInstances")]["task_instances"]
        return next(each for each in instances if each["task_id"] == task_id)

    def xcom(self, dag_id, task_id):
        return self.answers[self.path(dag_id, f"/taskInstances/{task_id}/xcomEntries/report")]

    def report(self, dag_id, task_id):
        return self.xcom(dag_id, task_id)["value"]

    def error(self, dag_id, task_id, message):
        log = {"content": [{"level": "error", "event": message}]}
        self.answers[self.path(dag_id, f"/taskInstances/{task_id}/logs/1")] = log

    def stop_dataops(self, task_id, message):
        """As if the task had failed, the later ones had not run, and mlops had not started."""
        self.run("dataops")["state"] = "failed"
        self.instance("dataops", task_id).update(state="failed")
        self.error("dataops", task_id, message)
        later = ("check_invoices", "reconcile", "post_ledger")
        for each in later[later.index(task_id) + 1 :]:
            self.instance("dataops", each).update(state="upstream_failed", try_number=0, duration=0.0)
        self.answers["/assets/events"] = {"asset_events": []}


@pytest.fixture
def recording(monkeypatch):
    """The recording, which answers every AirflowApi."""
    recording = Recording()
    client = functools.partial(httpx.Client, transport=httpx.MockTransport(recording.answer))
    monkeypatch.setattr(airflow_api.httpx, "Client", client)
    return recording


@pytest.fixture
def settings(tmp_path):
    return load(tmp_path / "var")


@pytest.fixture
def place(settings):
    """The embedded place, whose services do not run."""
    return Place(settings, Console(file=io.StringIO()))
