"""The DAGs on the versions of Airflow that Composer has, and the whole check."""

import subprocess

import pytest
from click.testing import CliRunner

from deploy import check, commands, graphs
from deploy.bundle import Bundle
from deploy.check import Result
from stack import places
from stack.checks import Check
from stack.errors import StackError
from stack.settings import ROOT

pytestmark = pytest.mark.xdist_group("graphs")
MISSING = ROOT / "there-is-no-such-list.txt"


def laid_over(bundle, **files):
    """The bundle with other files in dags/."""
    contents = bundle.contents | {f"dags/{name}.py": text.encode() for name, text in files.items()}
    return Bundle(contents, bundle.manifest)


@pytest.fixture
def run(monkeypatch, write_place):
    """Function that checks the bundle of `staging` with other files in dags/, and returns the checks that failed."""

    def go(preinstalled=MISSING, changes=None, **files):
        made = check.build
        monkeypatch.setattr(check, "build", lambda place, config: laid_over(made(place, config), **files))
        write_place(**(changes or {}))
        result = check.run("staging", preinstalled)
        return result, {each.name: each for each in result.checks if each.state == "fail"}

    return go


@pytest.fixture
def list_of(installed, tmp_path):
    """Function that writes the list of packages of an environment, and returns the file."""

    def write(name):
        (tmp_path / "list.txt").write_text(installed(name).text)
        return tmp_path / "list.txt"

    return write


def test_all_is_well_with_equal_graphs_on_all_versions_and_packages_that_can_be_added(run, list_of):
    result, wrong = run(list_of("composer-3.1.7"), changes={"source": "gs://ours/source", "watch": {"seconds": 60}})
    assert wrong == {}
    told = {each.name: each.found for each in result.checks}
    graph = "imports dataops (8 tasks), mlops (9 tasks), watch (1 tasks)"
    assert told["Airflow 3.2.2"] == graph
    assert told["Airflow 3.1.7"] == told["Airflow 3.3.1"] == f"{graph}, equal to 3.2.2"
    assert told["connections"] == "declared: airbyte_default, kubernetes_default"
    assert told["variables"] == "declared: airbyte_connections"
    assert told["packages"].startswith("composer-3.1.7: ")
    assert told["packages"].endswith("are added, none of its own changes")
    assert result.status == 0


BAD = '''
"""A DAG with all that does not work on Composer."""
from pathlib import Path
import airflow
from airflow.sdk import DAG, BaseOperator, Variable
try:
    from airflow.sdk.exceptions import AirflowFailException
except ImportError:
    AirflowFailException = None

class Task(BaseOperator):
    template_fields = ("text",)
    def __init__(self, text, some_conn_id, **kwargs):
        super().__init__(**kwargs)
        self.text, self.some_conn_id = text, some_conn_id
    def execute(self, context):
        import a_package_of_mine
        Variable.get("in_code")
        Path("/home/me/data").read_text()

Path(__file__).with_name("cache.txt").write_text("x")
Path(__file__).with_name("lock").touch()
with DAG("bad", schedule=None):
    Task(
        task_id="one", text="{{ var.value.in_template }} {{ conn.in_template.host }}", some_conn_id="mine",
        retries=3 if airflow.__version__ < "3.2" else 2,
    )
'''


def test_each_thing_that_does_not_work_on_composer_is_named_with_its_remedy(run):
    result, wrong = run(bad=BAD)
    found = {
        "Airflow 3.1.7": "graphs differ from those of 3.2.2: bad.tasks.one.retries: 2, 3",
        "imports": "a_package_of_mine, imported by dags/bad.py:17, is not on Composer",
        "paths": "/home/me/data, in dags/bad.py:19, is on no machine of Composer",
    }
    assert {name: wrong[name].found for name in found} == found
    told = "\n".join(each.found for each in result.checks if each.state == "fail")
    for name in ("mine, used by bad.one", "in_template, used by bad.one", "in_code, used by dags/bad.py:18"):
        assert f"{name}, is not declared" in told
    assert "dags/bad.py, line 21 writes dags/cache.txt, in a mounted folder (Airflow 3.3.1)" in told
    assert "dags/bad.py, line 22 writes dags/lock, in a mounted folder (Airflow 3.1.7)" in told
    assert all(each.remedy for each in wrong.values())
    assert "Airflow 3.3.1" not in wrong
    assert result.status == 1


def test_a_file_that_one_airflow_cannot_import_is_named_with_the_error_and_its_environment():
    nothing = {"connections": {}, "variables": {}, "missing": [], "written": {}, "requirements": []}
    fine = {"dags": {"a": {"tasks": {}}}, "errors": {"docker.py": "ModuleNotFoundError: No module named 'docker'"}}
    facts = {
        "3.2.2": graphs.Facts("3.2.2", **fine, **nothing),
        "3.1.7": graphs.Facts("3.1.7", errors={"new.py": "ImportError: x"}, dags={}, **nothing),
    }
    one, other = check._graphs(facts)
    assert (one.state, other.state) == ("ok", "fail")
    assert other.found == "new.py cannot be imported: ImportError: x"
    assert other.remedy == "try it in var/env/composer-3.1.7"


@pytest.mark.slow
def test_an_airflow_that_cannot_import_a_dag_and_an_image_of_3_3_1_are_named(run, list_of):
    # What Airflow 3.1 has elsewhere.
    _, wrong = run(
        list_of("composer-3.3.1"),
        new="from airflow.sdk import AssetOrTimeSchedule\n",
        lazy="import pipeline.not_there\n",
    )
    assert wrong.keys() == {"Airflow 3.1.7", "Airflow 3.2.2", "Airflow 3.3.1", "packages"}
    assert "airflow-provider-great-expectations needs structlog<25.5.0" in wrong["packages"].found
    assert "Airflow 3.1.7 or 3.2.2" in wrong["packages"].remedy
    assert "lazy.py cannot be imported: ModuleNotFoundError" in wrong["Airflow 3.3.1"].found


def test_a_bundle_that_cannot_be_made_ends_the_check_with_all_reasons(write_place):
    # The image is known once a deploy has pushed it.
    variables = {"1BAD": "", "GCS_BUCKET": ""}
    write_place(deploy={"environment_variables": variables, "registry": "ours"}, runner={"image": None})
    result = check.run("staging", MISSING)
    assert [each.name for each in result.checks if each.state == "fail"] == ["bundle", "bundle"]
    assert result.status == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"runner": {"image": None}}, "set runner.image, by its digest, or deploy.registry"),
        ({"deploy": {"packages": 5}}, "deploy.packages: Input should be a valid string, not 5"),
        ({"deploy": {"packages": None}}, "deploy.packages: "),
        ({"deploy": {"packages": ["numpy"]}}, "deploy.packages: "),
        ({"deploy": {"environment_variables": {5: "a"}}}, "deploy.environment_variables.5"),
        ({"deploy": {"environment_variables": {True: "a"}}}, "deploy.environment_variables.1"),
        ({"deploy": {"airflow_options": {5: 1}}}, "deploy.airflow_options.5"),
        ({"deploy": {"connections": 5}}, "deploy.connections: "),
        ({"deploy": {"connections": None}}, "deploy.connections: "),
    ],
)
def test_a_wrong_setting_ends_the_check_with_its_name(write_place, changes, told):
    write_place(**changes)
    (found,) = check.run("staging", MISSING).checks
    assert (found.name, found.state) == ("settings", "fail")
    assert told in found.found


def test_a_wrong_setting_of_the_preset_is_found_too(write_place):
    write_place()
    file = places.path("composer")
    file.write_text(file.read_text().replace("packages: requirements/composer.in", "packages: 5"))
    (found,) = check.run("composer", MISSING).checks
    assert found.found == f"{file}: deploy.packages: Input should be a valid string, not 5"


def test_a_dag_with_a_syntax_error_ends_the_check_with_its_line(run):
    result, wrong = run(bad="A = 1\ndef f(:\n")
    assert wrong == {"syntax": Check("syntax", "fail", "dags/bad.py:2: invalid syntax", "correct it; then check again")}
    assert result.status == 1


@pytest.mark.parametrize(
    ("state", "is_complete", "status"), [("ok", True, 0), ("ok", False, 2), ("fail", True, 1), ("fail", False, 1)]
)
def test_the_exit_status_tells_wrong_from_unchecked(state, is_complete, status):
    assert Result([Check("a", state, "")], is_complete=is_complete).status == status


def test_differences_name_the_path_and_both_values():
    one, other = {"a": {"b": 1, "c": [1]}}, {"a": {"b": 2, "c": [1]}, "d": "x"}
    assert list(graphs.differences(one, other)) == ["a.b: 1, 2", 'd: nothing, "x"']


def test_the_command_tells_that_packages_are_unchecked_and_exits_with_2(monkeypatch):
    monkeypatch.setattr(check, "run", lambda place, file: Result([Check("a", "ok", f"{place} {file.name}")], False))
    assert CliRunner().invoke(commands.check).exit_code == 2


def test_a_list_of_packages_that_is_given_and_not_there_is_an_error():
    done = CliRunner().invoke(commands.check, ["--preinstalled", str(MISSING)])
    assert isinstance(done.exception, StackError)
    assert f"there is no file PREINSTALLED={MISSING}: name another" in str(done.exception)


@pytest.mark.slow
def test_make_exits_with_2_where_only_the_packages_are_unchecked():
    if commands.PREINSTALLED.exists():
        pytest.skip(f"{commands.PREINSTALLED} is there")
    done = subprocess.run(["make", "composer-check"], cwd=ROOT, capture_output=True, text=True)
    assert "Error 2" in done.stderr
    assert "nothing found is wrong; the packages were not checked" in done.stdout
