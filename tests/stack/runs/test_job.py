"""The main job, without services."""

import re

import pytest

from stack.errors import StackError
from stack.runs import dag_runs, job, summary
from stack.runs.airflow_api import AirflowApi


class Api:
    """Airflow, with DAGs that may be paused; keeps what was triggered."""

    def __init__(self, *paused):
        self.paused, self.triggered = paused, []

    def end_unfinished_runs(self, dag_id):
        """There are none."""

    def is_paused(self, dag_id):
        return dag_id in self.paused

    def trigger(self, dag_id, note):
        self.triggered.append(dag_id)
        return "r1"


@pytest.fixture
def start(place, monkeypatch):
    """Function that runs the graphs on an Airflow."""

    def start(api):
        monkeypatch.setattr(job, "connect", lambda _: api)
        job.run_graphs(place, summary.empty("files", "embedded"), place.console)

    return start


@pytest.mark.parametrize("dag_id", ["dataops", "mlops"])
def test_a_paused_dag_is_an_error_before_any_run_is_triggered(start, dag_id):
    api = Api(dag_id)
    with pytest.raises(StackError, match=f"{dag_id} is paused: unpause it in Airflow .make up, then http.*/{dag_id}"):
        start(api)
    assert not api.triggered


def test_the_error_says_so_if_a_run_was_set_to_failed_without_a_failed_task(start, monkeypatch):
    monkeypatch.setattr(job, "follow", lambda *_: "failed")
    monkeypatch.setattr(job, "_gather", lambda *_: dag_runs.DagRun("dataops", "r1", {}, {}))
    with pytest.raises(StackError, match="dataops was set to failed in Airflow although no task failed: run again"):
        start(Api())


def test_a_failed_run_of_any_graph_ends_with_its_error_and_its_facts(recording, place, settings, monkeypatch):
    recording.answers |= {f"/dags/{dag_id}": {"is_paused": False} for dag_id in recording.run_ids}
    recording.answers |= {"/dags/mlops/dagRuns": {"dag_runs": []}, "/importErrors": {"import_errors": []}}
    monkeypatch.setattr(job, "connect", AirflowApi.of)
    monkeypatch.setattr(AirflowApi, "trigger", lambda self, dag_id, note: recording.run_ids[dag_id])
    monkeypatch.setattr(summary, "rows", lambda _: {"ledger": 1180})
    monkeypatch.setattr(place, "states", lambda: {"airflow": "RUNNING"})
    monkeypatch.setattr(place, "wait_until_ready", lambda: None)
    facts = summary.empty("files", "embedded")
    with pytest.raises(StackError, match=r"^mlops\.audit: audit: 1 of 3 expectations failed:\nsee the currency of"):
        job.run_graphs(place, facts, place.console)
    assert (facts["state"], facts["dataops"]["state"], facts["mlops"]["state"]) == ("failed", "success", "failed")
    assert (facts["tables"], facts["champion"]["name"]) == ({"ledger": 1180}, "duns")
    assert facts["log"] == place.log(recording.instance("mlops", "audit"))
    shown = place.console.file.getvalue()
    assert "  ✓ dataops.load_invoices" in shown
    assert "  ✓ mlops.search[1]" in shown
    assert re.search(r"✗ mlops\.audit +2\.0 s  failed\n", shown)
    assert re.search(r"- mlops\.score_invoices +not run\n", shown)
