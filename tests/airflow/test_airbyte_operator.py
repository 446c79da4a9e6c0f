"""The provider's Airbyte operator, and ours, against the real local service."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from pkgutil import resolve_name
from urllib.parse import parse_qs

import pytest
from airbyte_testing import let_go, record, records, trace_error, wait_until
from airflow.exceptions import AirflowException
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow_testing import TaskInstance

from pipeline import syncs
from pipeline.syncs import Jobs, SyncOperator, extract_and_load
from tests.airflow.conftest import airflow_connection


def operator(service, **more):
    """The provider's operator for the connection `numbers`, with short waits."""
    connection_id = service.connection_id("numbers")
    return AirbyteTriggerSyncOperator(task_id="sync", connection_id=connection_id, wait_seconds=0.1, **more)


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


# How our operator waits: in its process, or asleep with its trigger.
both_modes = pytest.mark.parametrize("mode", ["waiting", "sleeping"])


def run(mode, instance, *, connection_id, **more):
    """Run our operator as Airflow does in one of the modes; returns the result and, if it slept, the new operator."""

    def operator():
        return SyncOperator(
            task_id="sync",
            connection_id=connection_id,
            deferrable=mode == "sleeping",
            **{"wait_seconds": 0.05, **more},
        )

    if mode == "waiting":
        return operator().execute({"ti": instance})
    with pytest.raises(TaskDeferred) as slept:
        operator().execute({"ti": instance})
    assert instance.pushed == {}
    path, arguments = slept.value.trigger.serialize()
    event = fire(resolve_name(path)(**json.loads(json.dumps(arguments))))
    return getattr(operator(), slept.value.method_name)({"ti": instance}, json.loads(json.dumps(event)))


def fire(trigger):
    """The payload of a trigger's first event."""

    async def first():
        return await asyncio.wait_for(anext(trigger.run()), timeout=120)

    return asyncio.run(first()).payload


@both_modes
@pytest.mark.parametrize(
    ("failure_type", "kind"), [("config_error", AirflowFailException), ("transient_error", AirflowException)]
)
def test_our_operator_fails_with_the_jobs_reason_and_is_retried_only_if_that_can_help(start, failure_type, kind, mode):
    reason = "the door is locked\nand bolted"
    service = start(lines=[*records("numbers", [1]), trace_error(reason, failure_type=failure_type)])
    instance = TaskInstance()
    with pytest.raises(AirflowException, match=rf"^{reason}$") as caught:
        run(mode, instance, connection_id=service.connection_id("numbers"))
    assert type(caught.value) is kind
    job = instance.pushed["return_value"]
    assert job == service.job(job["jobId"])
    assert (job["status"], job["rowsSynced"]) == ("failed", 0)
    assert instance.pushed["report"] == {
        "rows_in": 0,
        "rows_out": 0,
        "note": "the door is locked",
        "links": {"Airbyte job": f"airbyte:/jobs/{job['jobId']}/log", "Airbyte's log": job["logFile"]},
    }


@both_modes
def test_our_operator_returns_and_reports_the_job_with_its_rows_and_nulled_values(start, mode):
    lines = [*records("numbers", [1, 2]), record("numbers", {"id": "three", "text": "no number"})]
    service, instance = start(lines=lines), TaskInstance()
    job = run(mode, instance, connection_id=service.connection_id("numbers"))
    assert job == service.job(job["jobId"])
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


@both_modes
def test_our_operator_reports_why_no_job_was_submitted(start, mode):
    service, instance = start(), TaskInstance()
    path = f"/connections/{service.connection_id('numbers')}"
    service.client.patch(path, json={"status": "inactive"})
    with pytest.raises(AirflowException, match=r"Airbyte started no job: .*the connection numbers is inactive"):
        SyncOperator(
            task_id="sync", connection_id=service.connection_id("numbers"), deferrable=mode == "sleeping"
        ).execute({"ti": instance})
    service.client.patch(path, json={"status": "active"})
    assert list(instance.pushed) == ["report"]
    assert "the connection numbers is inactive" in instance.pushed["report"]["note"]
    assert instance.pushed["report"]["rows_out"] == 0


@both_modes
def test_a_job_that_takes_too_long_is_cancelled(start, pipe, mode):
    service, instance = start(hold=str(pipe)), TaskInstance()
    with pytest.raises(AirflowException, match=r"^Timeout: Airbyte job \d+ is not ready after 0.5 s$"):
        run(mode, instance, connection_id=service.connection_id("numbers"), timeout=0.5)
    assert instance.pushed["return_value"]["status"] == "cancelled"
    assert instance.pushed["report"]["note"].startswith("Timeout: ")


@both_modes
def test_a_task_waits_for_the_job_of_its_earlier_try_and_survives_a_restart_of_the_service(
    start, pipe, mode, monkeypatch
):
    service, instance, done = start(lines=records("numbers", [1]), hold=str(pipe)), TaskInstance(), []
    asked, get = threading.Event(), Jobs.get
    monkeypatch.setattr(Jobs, "get", lambda self, job_id: (asked.set(), get(self, job_id))[1])
    job, connection_id = service.submit("numbers"), service.connection_id("numbers")
    # A daemon, since the task never ends if the job does not.
    again = threading.Thread(
        target=lambda: done.append(run(mode, instance, connection_id=connection_id, timeout=120)), daemon=True
    )
    again.start()
    assert asked.wait(120)
    service.end(signal.SIGKILL)
    service.start()
    let_go(pipe)
    again.join(timeout=120)
    assert [(each["jobId"], each["status"], each["rowsSynced"]) for each in done] == [(job["jobId"], "succeeded", 1)]


# What Airbyte's API requires of a job, except its status.
JOB = {"jobId": 7, "connectionId": "c", "jobType": "sync", "startTime": "2024-01-01T00:00:00Z"}


class Airbyte(ThreadingHTTPServer):
    """Answers as Airbyte's API does: its one job has the next of these statuses each time that it is asked for.

    None instead of a status is a lost answer. `busy`: the job has been started by somebody else.
    """

    def __init__(self, statuses, *, busy=()):
        super().__init__(("127.0.0.1", 0), Answers)
        self.statuses, self.busy, self.asked = list(statuses), list(busy), []
        self.base = f"http://127.0.0.1:{self.server_port}/v1"

    def job(self):
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return status and {**JOB, "status": status}

    def answer(self, method, path):
        """Status and content; no content is a lost answer."""
        self.asked.append(f"{method} {path.partition('?')[0].removeprefix('/v1/')}")
        match self.asked[-1]:
            case "POST applications/token":
                self.asked.pop()
                return 200, {"access_token": "t", "token_type": "Bearer", "expires_in": 3600}
            case "GET jobs":
                asked = parse_qs(path.partition("?")[2])
                assert (asked["jobType"], asked["orderBy"]) == (["sync"], ["createdAt|DESC"])
                is_busy = self.busy.pop(0) if self.busy else False
                return 200, {"data": [self.job() if is_busy else {**JOB, "jobId": 6, "status": "failed"}]}
            case "POST jobs" if self.busy:
                return 409, {"detail": "a sync is already running"}
            case "DELETE jobs/7":
                self.statuses = ["cancelled"]
        job = self.job()
        return (404, {"detail": "no such job"}) if job and job["status"] == syncs.GONE else (200, job)


class Answers(BaseHTTPRequestHandler):
    """The handler of `Airbyte`."""

    def log_message(self, *_):
        pass

    def handle_any(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, content = self.server.answer(self.command, self.path)
        if content is None:
            self.close_connection = True
            return
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names


@pytest.fixture
def airbyte(monkeypatch):
    """Starts an `Airbyte`, which Airflow's connection leads to."""
    started = []

    def start(*args, **more):
        server = Airbyte(*args, **more)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        started.append((server, thread))
        monkeypatch.setenv("AIRFLOW_CONN_AIRBYTE_DEFAULT", airflow_connection(server))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


@both_modes
@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        (["queued", "queued", "running", "succeeded"], None),
        (["pending", "running", "incomplete", "running", "succeeded"], None),
        (["queued", None, "running", None, None, "succeeded"], None),
        (["queued", "running", "failed"], "Airbyte job 7 failed; its log in Airbyte says why"),
        (["queued", "running", "cancelled"], "Airbyte job 7 was cancelled"),
    ],
    ids=["queued", "pending", "lost answers", "failed", "cancelled"],
)
def test_our_operator_waits_for_the_end_of_a_job_whatever_its_status_before(airbyte, mode, statuses, reason):
    server, instance = airbyte(statuses), TaskInstance()
    if reason:
        with pytest.raises(AirflowException, match=f"^{reason}$"):
            run(mode, instance, connection_id="c")
        job = instance.pushed["return_value"]
        report = {"rows_out": 0, "note": reason}
    else:
        job = run(mode, instance, connection_id="c")
        report = {"note": "Airbyte job 7 read 0 bytes"}
    assert job == {**JOB, "status": statuses[-1]}
    assert instance.pushed["report"] == {**report, "links": {"Airbyte job": "airbyte:/jobs/7/log"}}
    assert [each for each in server.asked if each != "GET jobs/7"] == ["GET jobs", "POST jobs"]


@both_modes
def test_a_job_that_airbyte_no_longer_has_is_not_waited_for(airbyte, mode):
    airbyte(["running", syncs.GONE])
    with pytest.raises(AirflowException, match=r"^Airbyte job 7 is gone: Airbyte has no such job$"):
        run(mode, TaskInstance(), connection_id="c")


@both_modes
@pytest.mark.parametrize("status", ["queued", "pending", "running", "incomplete"])
def test_a_job_that_has_not_ended_is_waited_for_instead_of_a_second_one(airbyte, mode, status):
    server = airbyte([status, "running", "succeeded"], busy=[True])
    assert run(mode, TaskInstance(), connection_id="c")["status"] == "succeeded"
    assert "POST jobs" not in server.asked


@both_modes
def test_a_job_that_somebody_starts_at_the_same_moment_is_waited_for(airbyte, mode):
    server = airbyte(["running", "succeeded"], busy=[False, True])
    assert run(mode, TaskInstance(), connection_id="c")["status"] == "succeeded"
    assert server.asked[:3] == ["GET jobs", "POST jobs", "GET jobs"]


def test_airflows_setting_default_deferrable_decides_whether_our_operator_sleeps():
    assert extract_and_load("x").deferrable is False
    # Airflow reads the setting when it is imported.
    code = "from pipeline.syncs import extract_and_load; print(extract_and_load('x').deferrable)"
    own = {"AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **own}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "True"


def test_killing_our_task_cancels_its_job_if_there_is_one(airbyte):
    server = airbyte(["running"])
    task = SyncOperator(task_id="sync", connection_id="c")
    task.on_kill()
    assert server.asked == []
    task.job_id = 7
    task.on_kill()
    assert server.asked[-1] == "DELETE jobs/7"


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
