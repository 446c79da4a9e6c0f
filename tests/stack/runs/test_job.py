"""The main job, as far as it needs no services."""

import io

import pytest
from rich.console import Console

from stack.embedded.settings import load
from stack.errors import StackError
from stack.runs import dag_runs, summary
from stack.runs import job as run


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


class Services:
    """Services that end with this process."""

    stays = False

    def __init__(self, settings):
        self.settings = settings


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Function that runs the graphs on an Airflow."""

    def start(api):
        monkeypatch.setattr(run, "connect", lambda _: api)
        run.run_graphs(Services(load(tmp_path / "var")), summary.empty("files"), Console(file=io.StringIO()))

    return start


@pytest.mark.parametrize("dag_id", ["dataops", "mlops"])
def test_a_paused_dag_is_told_before_a_run_is_triggered_that_airflow_would_never_begin(start, dag_id):
    api = Api(dag_id)
    with pytest.raises(StackError, match=f"{dag_id} is paused: unpause it in Airflow .make up, then http.*/{dag_id}"):
        start(api)
    assert not api.triggered


def test_a_run_that_was_set_to_failed_without_a_failed_task_is_told_so(start, monkeypatch):
    monkeypatch.setattr(run, "follow", lambda *_: "failed")
    monkeypatch.setattr(run, "_gather", lambda *_: dag_runs.DagRun("dataops", "r1", {}, {}))
    with pytest.raises(StackError, match="dataops was set to failed in Airflow, no task of it has failed: run again"):
        start(Api())
