"""The checkpoints as tasks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.great_expectations.test_suites import write_snapshot


class TaskInstance:
    """What the operator needs of one."""

    def __init__(self, returned=None):
        self.returned = returned
        self.pushed = {}

    def xcom_pull(self, task_ids):
        return self.returned[task_ids]

    def xcom_push(self, key, value):
        self.pushed[key] = json.loads(json.dumps(value, allow_nan=False))


def execute(task, instance):
    """Run a task as Airflow does: a copy of it, its templates rendered."""
    context = {"ti": instance}
    copy = task.prepare_for_execution()
    copy.render_template_fields(context)
    copy.execute(context)


@pytest.fixture
def validate():
    """The factory, in a DAG that would try its tasks again."""
    from airflow.sdk import DAG

    from pipeline.checkpoints import validate

    with DAG("graph", schedule=None, default_args={"retries": 2}):
        yield validate


def test_a_checkpoint_that_passes_returns_its_result(place, validate):
    from great_expectations_provider.operators.validate_checkpoint import GXValidateCheckpointOperator

    task, instance = validate("tags"), TaskInstance()
    assert isinstance(task, GXValidateCheckpointOperator)
    assert (task.task_id, task.retries) == ("validate_tags", 2)
    execute(task, instance)
    result = instance.pushed["return_value"]
    assert result["success"] is True
    (validation,) = result["validation_results"]
    assert validation["statistics"]["successful_expectations"] == 9
    assert Path(validation["result_url"].removeprefix("file://")).is_file()


def test_a_checkpoint_that_fails_says_why_for_people_and_returns_its_result_too(place, validate):
    from airflow.sdk.exceptions import AirflowFailException

    place.sql("update raw.tags set tag = null where id = 4; update raw.tags set id = 3 where id = 5")
    instance = TaskInstance()
    with pytest.raises(AirflowFailException) as failure:
        execute(validate("tags"), instance)
    head, *lines = str(failure.value).splitlines()
    said = "checkpoint tags: 2 of 9 expectations failed on raw.tags, loaded from tags.csv, see file://"
    assert head.startswith(said)
    assert len(lines) == 2
    assert "id 4, tag null" in str(failure.value)
    assert failure.value.__suppress_context__
    result = instance.pushed["return_value"]
    assert result["success"] is False
    failed = [each for each in result["validation_results"][0]["expectations"] if not each["success"]]
    assert [each["result"]["unexpected_count"] for each in failed] == [2, 1]


def test_where_the_data_docs_have_an_address_a_failure_and_the_result_name_the_page_there(place, validate, monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("MLOPS_LINKS__DOCS", "http://localhost:8088")
    place.sql("update raw.tags set tag = null where id = 4")
    instance = TaskInstance()
    with pytest.raises(AirflowFailException) as failure:
        execute(validate("tags"), instance)
    (validation,) = instance.pushed["return_value"]["validation_results"]
    assert validation["result_url"].startswith("http://localhost:8088/data-docs/validations/")
    assert f", see {validation['result_url']}\n" in str(failure.value)


def test_what_could_not_be_checked_may_be_tried_again(place, validate):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    place.sql("alter table raw.tags drop column tag")
    with pytest.raises(AirflowException, match="expectations could not be checked") as failure:
        execute(validate("tags"), TaskInstance())
    assert not isinstance(failure.value, AirflowFailException)


def test_the_snapshot_is_the_one_that_extract_data_returned(place, validate, tmp_path):
    from airflow.sdk.exceptions import AirflowFailException

    task = validate("snapshot", task_id="validate")
    execute(task, TaskInstance({"extract_data": {"uri": write_snapshot(place, tmp_path)}}))
    bad = write_snapshot(place, tmp_path, tag="unheard-of")
    instance = TaskInstance({"extract_data": {"uri": bad}})
    with pytest.raises(AirflowFailException, match="id 4, tag 'unheard-of'"):
        execute(task, instance)
    assert instance.pushed["return_value"]["success"] is False


def test_messages_and_results_stay_short_whatever_the_texts(place, validate):
    from airflow.sdk.exceptions import AirflowFailException

    place.sql("update candidate.labeled_projects set title = 'T', description = repeat('long ', 200000)")
    instance = TaskInstance()
    with pytest.raises(AirflowFailException) as failure:
        execute(validate("labeled_projects"), instance)
    assert str(failure.value).count("long long") >= 5
    assert len(str(failure.value)) < 3000
    assert len(json.dumps(instance.pushed)) < 20_000


def test_an_empty_table_has_a_result_that_can_be_returned(place, validate):
    from airflow.sdk.exceptions import AirflowFailException

    place.sql("truncate raw.projects")
    instance = TaskInstance()
    with pytest.raises(AirflowFailException, match="found 0"):
        execute(validate("projects"), instance)
    assert instance.pushed["return_value"]["success"] is False


def test_making_a_task_does_not_import_great_expectations(place):
    code = """if True:
        import sys
        from pipeline.checkpoints import validate
        validate("tags"), validate("snapshot")
        assert "great_expectations_provider" in sys.modules
        assert "great_expectations" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "airflow" / "dags", check=True)
