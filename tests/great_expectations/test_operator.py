"""The checkpoints as tasks."""

import json
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow_testing import TaskInstance, execute, failed

from tests.great_expectations.test_suites import write_snapshot

SNAPSHOT = "{{ ti.xcom_pull('extract_data')['uri'] }}"


@pytest.fixture
def validate():
    """The factory, in a DAG whose tasks have retries."""
    from airflow.sdk import DAG

    from pipeline.validation import validate

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
    assert validation["statistics"]["successful_expectations"] == 11
    assert Path(validation["result_url"].removeprefix("file://")).is_file()


def test_numbers_that_an_xcom_would_change_or_refuse_are_converted():
    from pipeline.gate import Gate

    observed = {"sum": Decimal("1.10"), "max": float("inf"), "mean": float("nan"), "rows": 3}
    gate = Gate.__new__(Gate)
    gate._result = SimpleNamespace(run_results=[], describe_dict=lambda: {"validation_results": [], "found": observed})
    assert gate.describe_dict()["found"] == {"sum": "1.10", "max": None, "mean": None, "rows": 3}


def test_a_checkpoint_that_passes_reports_its_rows_and_expectations(place, validate):
    instance = TaskInstance()
    execute(validate("tags"), instance)
    report, (validation,) = instance.pushed["report"], instance.pushed["return_value"]["validation_results"]
    checks = report.pop("checks")
    assert report == {
        "rows_in": 5,
        "rows_out": 5,
        "note": "11 of 11 expectations met",
        "links": {"data docs": validation["result_url"]},
    }
    assert (checks["page"], checks["failed"], len(checks["passed"])) == (validation["result_url"], [], 11)
    assert checks["passed"][0] == {
        "subject": "expect_table_row_count_to_be_between()",
        "expected": "min_value=5",
        "observed": "5",
        "examples": [],
        "exception": "",
    }


def test_a_checkpoint_that_fails_reports_the_failed_expectations_with_examples(place, validate):
    meta = '{"changes": [{"field": "created_on", "value": "yesterday"}]}'
    place.sql(f"update raw.projects set created_on = null, _airbyte_meta = '{meta}' where id = 4")
    _, xcoms = failed(validate("projects"))
    report, (validation,) = xcoms["report"], xcoms["return_value"]["validation_results"]
    assert (report["rows_in"], report["rows_out"], report["note"]) == (5, 0, "12 of 13 expectations met")
    assert report["links"] == {"data docs": validation["result_url"]}
    assert report["checks"]["page"] == validation["result_url"]
    assert report["checks"]["failed"] == [
        {
            "subject": "expect_column_values_to_not_be_null(created_on)",
            "expected": "",
            "observed": "1 of 5 rows failing",
            "examples": [{"id": 4, "title": "Title 4", "created_on": None, "in the source": "yesterday"}],
            "exception": "",
        }
    ]
    assert len(report["checks"]["passed"]) == 12


def test_a_wrong_expectation_of_the_applications_file_fails_the_task_at_once(place, validate):
    place.configure("sources", "tags", expectations=[{"type": "expect_wonders"}])
    error, _ = failed(validate("tags"))
    assert type(error) is AirflowFailException
    assert "sources.tags.expectations, number 1, expect_wonders: expect_wonders not found" in str(error)


def test_a_checkpoint_that_could_not_check_reports_the_exception(place, validate):
    place.sql("drop table raw.tags")
    error, xcoms = failed(validate("tags"))
    assert type(error) is AirflowException
    report = xcoms["report"]
    assert report["note"] == "0 of 11 expectations met"
    assert "rows_in" not in report
    assert 'relation "raw.tags" does not exist' in report["checks"]["failed"][0]["exception"]


def test_a_checkpoint_that_crashes_reports_the_error(place, validate):
    instance = TaskInstance({"extract_data": {"uri": "/nowhere/snapshot.parquet"}})
    with pytest.raises(FileNotFoundError) as failure:
        execute(validate("snapshot", file=SNAPSHOT), instance)
    assert instance.pushed == {"report": {"note": str(failure.value).splitlines()[0]}}


def test_the_report_on_a_snapshot_has_null_for_a_missing_value(place, validate, tmp_path):
    _, xcoms = failed(
        validate("snapshot", file=SNAPSHOT), {"extract_data": {"uri": write_snapshot(place, tmp_path, id=None)}}
    )
    (check,) = xcoms["report"]["checks"]["failed"]
    assert (check["observed"], check["examples"]) == ("1 of 5 rows failing", [{"id": None}])
    assert (xcoms["report"]["rows_in"], xcoms["report"]["rows_out"]) == (5, 0)


def test_a_checkpoint_that_fails_says_why_and_returns_its_result_too(place, validate):
    place.sql("update raw.tags set tag = null where id = 4; update raw.tags set id = 3 where id = 5")
    error, xcoms = failed(validate("tags"))
    assert type(error) is AirflowFailException
    head, *lines = str(error).splitlines()
    said = "checkpoint tags: 2 of 11 expectations failed on raw.tags, loaded from tags.csv, see file://"
    assert head.startswith(said)
    assert len(lines) == 2
    assert "id 4, tag null" in str(error)
    # The log shows no other exception.
    assert error.__context__ is None
    result = xcoms["return_value"]
    assert result["success"] is False
    unmet = [each for each in result["validation_results"][0]["expectations"] if not each["success"]]
    assert [each["result"]["unexpected_count"] for each in unmet] == [2, 1]


def test_if_the_data_docs_have_an_address_the_message_the_result_and_the_report_have_the_page_there(
    place, validate, monkeypatch
):
    monkeypatch.setenv("MLOPS_LINKS__DOCS", "http://localhost:8088")
    place.sql("update raw.tags set tag = null where id = 4")
    error, xcoms = failed(validate("tags"))
    (validation,) = xcoms["return_value"]["validation_results"]
    assert validation["result_url"].startswith("http://localhost:8088/data-docs/tagifai/validations/")
    assert f", see {validation['result_url']}\n" in str(error)
    assert xcoms["report"]["checks"]["page"] == validation["result_url"]


def test_expectations_that_could_not_be_checked_may_be_retried(place, validate):
    place.sql("alter table raw.tags drop column tag")
    error, _ = failed(validate("tags"))
    assert "expectations could not be checked" in str(error)
    assert type(error) is AirflowException


def test_the_file_is_the_one_that_an_earlier_task_returned(place, validate, tmp_path):
    task = validate("snapshot", task_id="validate", file=SNAPSHOT)
    execute(task, TaskInstance({"extract_data": {"uri": write_snapshot(place, tmp_path)}}))
    bad = write_snapshot(place, tmp_path, tag="unheard-of")
    error, xcoms = failed(task, {"extract_data": {"uri": bad}})
    assert type(error) is AirflowFailException
    assert "id 4, tag 'unheard-of'" in str(error)
    assert xcoms["return_value"]["success"] is False


def test_messages_results_and_reports_stay_short_even_with_long_texts(place, validate):
    place.sql("update candidate.labeled_projects set title = 'T', description = repeat('long ', 200000)")
    error, xcoms = failed(validate("labeled_projects"))
    assert str(error).count("long long") >= 5
    assert len(str(error)) < 3000
    assert len(json.dumps(xcoms["return_value"])) < 20_000
    assert len(json.dumps(xcoms["report"])) < 10_000


def test_an_empty_table_has_a_result_that_can_be_returned(place, validate):
    place.sql("truncate raw.projects")
    error, xcoms = failed(validate("projects"))
    assert "found 0" in str(error)
    assert xcoms["return_value"]["success"] is False
    assert (xcoms["report"]["rows_in"], xcoms["report"]["rows_out"]) == (0, 0)
