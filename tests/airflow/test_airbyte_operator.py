"""The provider's Airbyte operator, and ours, against the real local service."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from airbyte_testing import let_go, record, records, trace_error, wait_until
from airflow.exceptions import AirflowException
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow_testing import TaskInstance

from pipeline import syncs
from pipeline.syncs import SyncOperator


def operator(service, **more):
    """The provider's operator for the connection `numbers`, with short waits."""
    connection_id = service.connection_id("numbers")
    return AirbyteTriggerSyncOperator(task_id="sync", connection_id=connection_id, wait_seconds=0.1, **more)


def our_operator(service, **more):
    """Our operator for the connection `numbers`."""
    connection_id = service.connection_id("numbers")
    return SyncOperator(task_id="sync", connection_id=connection_id, wait_seconds=0.1, **more)


def test_the_hook_finds_the_service_healthy(start):
    start()
    assert AirbyteHook().test_connection() == (True, "Connection successfully tested")


def test_a_sync_succeeds_and_its_rows_are_there(start, postgres, database):
    service = start(lines=records("numbers", [1, 2]))
    job_id = operator(service).execute({})
    assert service.job(job_id)["status"] == "succeeded"
    assert postgres.psql(database, "select id, text from raw.numbers order by id") == [["1", "text 1"], ["2", "text 2"]]
    details = AirbyteHook().get_job_details(job_id)
    assert (details.job_id, details.rows_synced, details.status.value) == (job_id, 2, "succeeded")


def test_a_failed_sync_fails_the_task_and_its_job_has_the_reason(start):
    service = start(lines=[trace_error("the door is locked")])
    task = operator(service)
    with pytest.raises(AirflowException, match=r"Job failed:\n.*job_id="):
        task.execute({})
    assert service.job(task.job_id)["failureReason"] == "the door is locked"


@pytest.mark.parametrize(
    ("failure_type", "kind"), [("config_error", AirflowFailException), ("transient_error", AirflowException)]
)
def test_our_operator_fails_with_the_jobs_reason_and_is_retried_only_if_that_can_help(start, failure_type, kind):
    reason = "the door is locked\nand bolted"
    service = start(lines=[*records("numbers", [1]), trace_error(reason, failure_type=failure_type)])
    task, instance = our_operator(service), TaskInstance()
    with pytest.raises(AirflowException, match=rf"^{reason}$") as caught:
        task.execute({"ti": instance})
    assert type(caught.value) is kind
    job = service.job(task.job_id)
    assert instance.pushed["return_value"] == job
    assert (job["status"], job["rowsSynced"]) == ("failed", 0)
    assert instance.pushed["report"] == {
        "rows_in": 0,
        "rows_out": 0,
        "note": "the door is locked",
        "links": {"Airbyte job": f"airbyte:/jobs/{job['jobId']}/log", "Airbyte's log": job["logFile"]},
    }


def test_our_operator_returns_and_reports_the_job_with_its_rows_and_nulled_values(start):
    lines = [*records("numbers", [1, 2]), record("numbers", {"id": "three", "text": "no number"})]
    service = start(lines=lines)
    task, instance = our_operator(service), TaskInstance()
    job = task.execute({"ti": instance})
    assert job == service.job(task.job_id)
    assert (job["status"], job["rowsSynced"], job["valuesNulled"]) == ("succeeded", 3, 1)
    assert job["bytesSynced"] > 0
    assert Path(job["logFile"]).is_file()
    note = f"Airbyte job {job['jobId']} read {job['bytesSynced']:,} bytes; 1 values did not fit their type and are null"
    assert instance.pushed["report"] == {
        "rows_in": 3,
        "rows_out": 3,
        "note": note,
        "links": {"Airbyte job": f"airbyte:/jobs/{job['jobId']}/log", "Airbyte's log": job["logFile"]},
    }


def test_an_airbyte_whose_jobs_have_only_the_fields_of_the_api_has_a_report_too():
    job = {"jobId": 7, "status": "succeeded", "jobType": "sync", "bytesSynced": 1234567}
    assert syncs._note(job) == "Airbyte job 7 read 1,234,567 bytes"
    assert syncs._report(job) == {"links": {"Airbyte job": "airbyte:/jobs/7/log"}}


def test_our_operator_reports_why_no_job_was_submitted(start, pipe):
    service, instance = start(hold=str(pipe)), TaskInstance()
    service.submit("numbers")
    with pytest.raises(AirflowException, match="a sync of the connection numbers is running"):
        our_operator(service).execute({"ti": instance})
    assert list(instance.pushed) == ["report"]
    assert "a sync of the connection numbers is running" in instance.pushed["report"]["note"]
    assert instance.pushed["report"]["rows_out"] == 0


def test_our_operator_keeps_the_providers_message_about_a_timeout(start, pipe):
    task = our_operator(start(hold=str(pipe)), timeout=0.5)
    with pytest.raises(AirflowException, match="is not ready after"):
        task.execute({"ti": TaskInstance()})


def test_killing_the_task_cancels_the_sync(start, pipe):
    service = start(hold=str(pipe))
    task = operator(service)
    ended = []

    def execute():
        try:
            task.execute({})
        except AirflowException as error:
            ended.append(str(error))

    thread = threading.Thread(target=execute)
    thread.start()
    wait_until(lambda: hasattr(task, "job_id"))
    task.on_kill()
    thread.join(timeout=120)
    assert ended[0].startswith("Job was cancelled:")
    assert service.job(task.job_id)["status"] == "cancelled"


def test_a_task_that_waits_too_long_cancels_the_sync(start, pipe):
    service = start(hold=str(pipe))
    task = operator(service, timeout=0.5)
    with pytest.raises(AirflowException, match="is not ready after"):
        task.execute({})
    assert service.job(task.job_id)["status"] == "cancelled"


def test_a_task_survives_a_restart_of_the_service_which_continues_its_job(start, pipe):
    service = start(lines=records("numbers", [1]), hold=str(pipe))
    task, done = operator(service), []
    # A daemon, since the task never ends if the job does not.
    thread = threading.Thread(target=lambda: done.append(task.execute({})), daemon=True)
    thread.start()
    wait_until(lambda: hasattr(task, "job_id"))
    service.end(signal.SIGKILL)
    service.start()
    let_go(pipe)
    thread.join(timeout=120)
    assert done
    assert service.job(task.job_id)["status"] == "succeeded"


def test_a_second_task_for_a_running_connection_fails_at_once_with_the_reason(start, pipe):
    service = start(hold=str(pipe))
    service.submit("numbers")
    with pytest.raises(AirflowException, match="a sync of the connection numbers is running"):
        operator(service).execute({})


def test_wrong_credentials_fail_the_task(start, monkeypatch):
    service = start()
    connection = json.loads(os.environ["AIRFLOW_CONN_AIRBYTE_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_AIRBYTE_DEFAULT", json.dumps({**connection, "password": "guessed"}))
    with pytest.raises(AirflowException, match="401"):
        operator(service).execute({})


def test_the_client_of_the_provider_lists_connections_by_name(start):
    service = start()
    listed = AirbyteHook().airbyte_api.connections.list_connections(request={}).connections_response.data
    assert [(c.name, c.connection_id) for c in listed] == [("numbers", service.connection_id("numbers"))]
