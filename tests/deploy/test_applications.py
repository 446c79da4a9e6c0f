"""Several applications of one place: which DAGs, files and connections a deploy looks at, and what it refuses."""

import pytest
import yaml
from application_testing import application_writer

from deploy import declaration, settings
from deploy.airflow import Airflow, suffixes, suffixes_of
from deploy.bundle import build
from deploy.settings import Target
from stack.errors import StackError
from stack.settings import ROOT, ConfigError

SAMPLE = "gs://bucket/data/smoke"


class Api:
    """Airflow's API, in which all DAGs exist; it notes which runs were started."""

    def __init__(self, *, paused=(), failing=()):
        self.patience, self.runs, self._paused, self._failing = 0, [], paused, failing

    def has_dag(self, dag_id):
        return True

    def is_paused(self, dag_id):
        return dag_id in self._paused

    def trigger(self, dag_id, note, *, run_id, conf):
        self.runs.append((dag_id, run_id, conf))
        return run_id

    def run(self, dag_id, run_id):
        return {"state": "failed" if dag_id in self._failing else "success"}

    def task_instances(self, dag_id, run_id):
        return []


@pytest.fixture
def airflow():
    """Function that makes an Airflow with this API."""

    def make(api):
        made = Airflow(None, "http://airflow.test", "token")
        made._api = api
        return made

    return make


@pytest.fixture
def write_both(tmp_path, monkeypatch, write_place, overlay):
    """Function that writes the place `staging` with the example application and tickets."""
    write_application = application_writer(tmp_path, monkeypatch)

    def write(application=None, **changes):
        write_application("tickets", **(application or {}))
        destinations = (ROOT / "airbyte" / "connections.bigquery.yaml").read_text()
        overlay.write_text(yaml.safe_dump({"airbyte": yaml.safe_load(overlay.read_text())["airbyte"]}) + destinations)
        smoke = {"smoke": {"source": "gs://bucket/few"}}
        changes = {"applications": ["tagifai", "tickets"], "deploy": smoke} | changes
        write_place(**changes)
        return Target("staging")

    return write


def test_the_ids_of_dags_end_with_the_namespace(write_both):
    assert suffixes(write_both().configs) == ["", "_tickets"]


def test_a_bundle_has_the_settings_of_each_application_and_tells_their_dags(write_both):
    bundle = build("staging", *write_both().configs)
    folder = "data/config/applications"
    own = {name: yaml.safe_load(bundle.contents[f"{folder}/{name}.yaml"]) for name in ("tagifai", "tickets")}
    base = yaml.safe_load(bundle.contents["data/config/base.yaml"])
    # Laid over it, the file of an application gets nothing of another one.
    assert base == {"applications": ["tagifai", "tickets"]}
    assert own["tagifai"].keys() >= {"applications", "search", "sources", "columns", "labels", "model"}
    assert (own["tickets"]["namespace"], own["tickets"]["warehouse"]) == ("tickets", own["tagifai"]["warehouse"])
    assert suffixes_of(bundle.manifest, lambda path: bundle.contents[path].decode()) == ["", "_tickets"]


def test_a_bundle_of_an_earlier_version_has_one_application(bundle):
    files = {path: file for path, file in bundle.manifest.files.items() if "/applications/" not in path}
    assert suffixes_of(bundle.manifest.model_copy(update={"files": files}), None) == [""]


def test_both_graphs_of_each_application_run_as_smoke_runs(airflow):
    api = Api()
    airflow(api).smoke(["", "_tickets"], "7", 60, lambda *_: None)
    names = ["dataops", "mlops", "dataops_tickets", "mlops_tickets"]
    assert api.runs == [(name, "smoke__7", {"smoke": True}) for name in names]


def test_a_smoke_run_of_another_application_that_fails_is_told(airflow):
    with pytest.raises(StackError, match="the smoke run smoke__7 of dataops_tickets failed"):
        airflow(Api(failing=["dataops_tickets"])).smoke(["", "_tickets"], "7", 60, lambda *_: None)


def test_a_paused_dag_of_any_application_is_told(airflow):
    with pytest.raises(StackError, match="mlops_tickets is paused"):
        airflow(Api(paused=["mlops_tickets"])).check(["", "_tickets"])
    airflow(Api(paused=["mlops_others"])).check(["", "_tickets"])


def test_the_smoke_run_has_connections_of_all_applications(write_both, monkeypatch):
    for name in ("AIRBYTE_URL", "AIRBYTE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "https://any")
    declared = declaration.declared(write_both(), SAMPLE)
    assert [each.name for each in declared.real.connections] == ["projects", "tags", "tickets_tickets"]
    smoke = [each.name for each in declared.smoke.connections]
    assert smoke == ["smoke projects", "smoke tags", "smoke tickets_tickets"]
    urls = [stream["url"] for source in declared.smoke.sources for stream in source.configuration["streams"]]
    assert urls == [f"{SAMPLE}/{name}.csv" for name in ("projects", "tags", "tickets")]


def test_a_sample_that_lacks_a_file_of_an_application_is_told(write_both):
    with pytest.raises(ConfigError, match=r"deploy\.smoke\.source: data/sample has no tickets\.csv: set it to"):
        write_both(deploy={})


@pytest.mark.parametrize(
    ("application", "setting"),
    [({"namespace": "smoke"}, "namespace"), ({"model": {"name": "smoke_tagifai"}}, r"model\.name")],
)
def test_names_that_smoke_runs_have_are_refused(write_both, application, setting):
    with pytest.raises(ConfigError, match=f"{setting} of tickets begins with smoke_, as names of smoke runs do"):
        write_both(application)


def test_the_example_application_is_fine(write_place):
    assert list(settings.problems(write_place())) == []
