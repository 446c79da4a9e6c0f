"""The main job, without services."""

import io

import pytest
from rich.console import Console

from stack.errors import StackError
from stack.runs import dag_runs, job, summary


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
def start(settings, monkeypatch):
    """Function that runs the graphs on an Airflow."""

    def start(api):
        monkeypatch.setattr(job, "connect", lambda _: api)
        job.run_graphs(Services(settings), summary.empty("files"), Console(file=io.StringIO()))

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
