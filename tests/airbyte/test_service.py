"""The service as a process: its API, its jobs through cancel, time limit, restart and kill."""

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from airbyte_testing import (
    CLIENT,
    PYTHON,
    ROOT,
    Service,
    held,
    is_alive,
    let_go,
    record,
    records,
    register,
    stream,
    trace_error,
    wait_until,
)

from airbyte_local import jobs
from airbyte_local.jobs import JobStore

IDS = "select id from raw.numbers order by id"


def test_health_is_open_and_everything_else_needs_a_token(scripted_service):
    service = scripted_service()
    with httpx.Client(base_url=service.base, trust_env=False) as stranger:
        assert stranger.get("/health").status_code == 200
        for method, path in [
            ("GET", "/connections"),
            ("GET", "/jobs"),
            ("POST", "/jobs"),
            ("GET", "/jobs/1"),
            ("DELETE", "/jobs/1"),
        ]:
            for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
                answer = stranger.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["content-type"] == "application/problem+json"
                assert (answer.json()["status"], answer.json()["title"]) == (401, "invalid-api-key")
                assert "/applications/token" in answer.json()["detail"]


def test_tokens_are_issued_for_forms_and_json_at_both_addresses_and_survive_a_restart(scripted_service):
    service = scripted_service()
    form = {**CLIENT, "grant_type": "client_credentials"}
    tokens = []
    for address in (f"{service.base}/applications/token", f"{service.base}/../applications/token"):
        for body in ({"json": CLIENT}, {"data": form}):
            answer = service.client.post(address, **body).json()
            assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
            tokens.append(answer["access_token"])
    service.end(signal.SIGTERM)
    service.start()
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        assert service.client.get("/connections", headers=headers).status_code == 200


def test_wrong_or_missing_credentials_and_other_keys_are_refused(scripted_service):
    service = scripted_service()
    wrong = service.client.post("/applications/token", json={**CLIENT, "client_secret": "guessed"})
    missing = service.client.post("/applications/token", data={"client_id": "x"})
    assert (wrong.status_code, missing.status_code) == (401, 422)
    assert missing.json()["data"]["errors"] == [{"field": "client_secret", "message": "Field required"}]
    service.end(signal.SIGTERM)
    service.environment["MLOPS_AIRBYTE__SIGNING_KEY"] = "another key of thirty-two bytes or more"
    service.start()
    assert service.client.get("/connections").status_code == 401


def test_connections_are_listed_page_by_page_in_airbytes_format(scripted_service):
    service = scripted_service("a", "b", "c")
    first = service.client.get("/connections", params={"limit": 2}).json()
    second = service.client.get(first["next"]).json()
    assert [c["name"] for c in first["data"] + second["data"]] == ["a", "b", "c"]
    assert (first["previous"], second["next"]) == ("", "")
    assert service.client.get(second["previous"]).json()["data"] == first["data"]
    (stream,) = first["data"][0]["configurations"]["streams"]
    assert (stream["name"], stream["syncMode"]) == ("a", "full_refresh_overwrite")
    assert "password" not in str(first)


def test_a_sync_succeeds_and_reports_rows_bytes_and_times(scripted_service, query):
    lines = records("numbers", [1, 2])
    service = scripted_service(lines=lines)
    job = service.sync("numbers")
    assert (job["status"], job["jobType"], job["connectionId"]) == (
        "succeeded",
        "sync",
        service.connection_id("numbers"),
    )
    assert (job["rowsSynced"], job["bytesSynced"]) == (2, sum(map(len, lines)))
    assert (job["failureReason"], job["valuesNulled"]) == (None, 0)
    assert job["duration"].startswith("PT")
    assert job["startTime"] <= job["lastUpdatedAt"]
    assert query(IDS) == [(1,), (2,)]
    with open(job["logFile"]) as log:
        assert "2 rows into raw.numbers" in log.read()


def test_values_that_do_not_fit_or_are_cut_are_counted_in_the_job(scripted_service):
    moment = {"type": "string", "format": "date-time"}
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "at": moment}}
    lines = [record("numbers", {"id": text, "at": f"2024-01-01T00:00:00.{'1' * 7}"}) for text in ("x", "y", "3.0")]
    job = scripted_service(streams=[stream(schema=schema)], lines=lines).sync("numbers")
    assert (job["valuesNulled"], job["valuesTruncated"]) == (2, 3)


def test_a_failed_sync_says_why_in_the_job_its_log_and_the_service_log(scripted_service):
    error = trace_error("the door is locked", failure_type="system_error")
    service = scripted_service(lines=[*records("numbers", [1]), error], exit=1)
    job = service.sync("numbers")
    assert job["failureType"] == "system_error"
    assert (job["status"], job["failureReason"], job["rowsSynced"]) == ("failed", "the door is locked", 0)
    with open(job["logFile"]) as log:
        assert "ERROR failed: the door is locked" in log.read()
    assert f"job {job['jobId']} (numbers) failed: the door is locked" in service.log.read_text()


def test_jobs_are_listed_newest_first_and_by_connection(scripted_service):
    service = scripted_service("a", "b")
    first, second, third = (service.sync(name)["jobId"] for name in ("a", "b", "a"))
    assert [job["jobId"] for job in service.client.get("/jobs").json()["data"]] == [third, second, first]
    of_a = service.client.get("/jobs", params={"connectionId": service.connection_id("a"), "limit": 1}).json()
    assert [job["jobId"] for job in of_a["data"]] == [third]
    assert [job["jobId"] for job in service.client.get(of_a["next"]).json()["data"]] == [first]


def test_jobs_are_listed_by_workspace_time_and_order_also_those_of_an_earlier_version(scripted_service, query):
    service = scripted_service()

    def listed(**asked):
        return [job["jobId"] for job in service.client.get("/jobs", params=asked).json()["data"]]

    first, second = service.sync("numbers"), service.sync("numbers")
    query(f"update airbyte.jobs set started_at = started_at - interval '1 hour' where job_id = {first['jobId']}")
    workspace = service.client.get("/workspaces").json()["data"][0]["workspaceId"]
    service.end(signal.SIGTERM)
    query("alter table airbyte.jobs drop column workspace_id, drop column values_truncated")
    query("alter table airbyte.attempts drop column values_truncated")
    service.start()
    both = [first["jobId"], second["jobId"]]
    assert listed(workspaceIds=workspace, orderBy="createdAt|ASC") == both
    assert listed(workspaceIds="00000000-0000-0000-0000-000000000000") == []
    assert listed(createdAtStart=second["startTime"]) == listed(createdAtStart=second["startTime"], jobType="sync")
    assert listed(createdAtStart=second["startTime"], createdAtEnd=second["startTime"]) == both[1:]
    assert listed(updatedAtEnd=second["lastUpdatedAt"], orderBy="updatedAt|DESC") == both[::-1]
    service.sync("numbers")
    assert len(listed(workspaceIds=workspace)) == 3


def test_unknown_things_are_404_and_wrong_bodies_422_field_by_field(scripted_service):
    service = scripted_service()
    unknown = {"connectionId": "00000000-0000-0000-0000-000000000000", "jobType": "sync"}
    answers = {
        404: [
            service.client.get("/jobs/9"),
            service.client.delete("/jobs/9"),
            service.client.get("/nothing"),
            service.client.post("/jobs", json=unknown),
        ],
        422: [
            service.client.get("/jobs/nine"),
            service.client.get(f"/jobs/{2**63}"),
            service.client.post("/jobs", json={**unknown, "connectionId": "numbers"}),
            service.client.post("/jobs", json={**unknown, "jobType": "reset"}),
            service.client.post("/jobs", content=b"{"),
            service.client.get("/connections", params={"limit": 0}),
        ],
    }
    for status, problems in answers.items():
        for answer in problems:
            assert (answer.status_code, answer.json()["status"]) == (status, status), answer.url
            assert {"type", "title", "detail"} <= answer.json().keys()
    assert answers[422][3].json()["data"]["errors"][0]["field"] == "body.jobType"


def test_a_second_job_of_a_running_connection_is_409_and_others_run_beside_it(scripted_service, named_pipe, query):
    service = scripted_service("held", "other", hold=str(named_pipe))
    held = service.submit("held")
    again = service.client.post("/jobs", json={"connectionId": held["connectionId"], "jobType": "sync"})
    assert (again.status_code, again.json()["title"]) == (409, "state-conflict")
    assert "the connection held is running" in again.json()["detail"]
    other = service.submit("other")
    assert service.job(other["jobId"])["status"] == "running"
    assert service.client.delete(f"/jobs/{other['jobId']}").json()["status"] == "cancelled"
    assert service.job(held["jobId"])["status"] == "running"
    let_go(named_pipe)
    assert service.ended(held["jobId"])["status"] == "succeeded"
    again = service.submit("held")
    let_go(named_pipe)
    assert service.ended(again["jobId"])["status"] == "succeeded"


def test_submits_at_the_same_moment_start_one_job(scripted_service, named_pipe):
    service = scripted_service(hold=str(named_pipe))
    body = {"connectionId": service.connection_id("numbers"), "jobType": "sync"}
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda _: service.client.post("/jobs", json=body).status_code, range(8))]
    assert sorted(answers) == [200] + [409] * 7


@pytest.mark.parametrize("child_leaves_group", [False, True], ids=["child in the group", "child outside the group"])
def test_cancel_ends_the_connector_with_all_its_processes_and_keeps_the_rows(
    scripted_service, named_pipe, query, tmp_path, child_leaves_group
):
    query("create schema raw")
    query("create table raw.numbers as select 7::bigint as id, 'old' as text")
    child = tmp_path / "processes"
    more = {"child": str(child), "child_leaves_group": child_leaves_group, "hold": str(named_pipe)}
    service = scripted_service(count=20_000, **more)
    job = service.submit("numbers")
    pids = wait_until(lambda: child.exists() and child.read_text().split())
    assert all(map(is_alive, pids))
    answer = service.client.delete(f"/jobs/{job['jobId']}")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert (answer.json()["failureReason"], answer.json()["failureType"]) == ("the job was cancelled", None)
    wait_until(lambda: not any(map(is_alive, pids)))
    assert query("select id, text from raw.numbers") == [(7, "old")]
    assert service.client.delete(f"/jobs/{job['jobId']}").json()["status"] == "cancelled"


def test_cancel_ends_the_install_of_a_connector(scripted_service, tmp_path):
    uv, seen = tmp_path / "env" / "uv" / "bin" / "uv", tmp_path / "pid"
    uv.parent.mkdir(parents=True)
    uv.write_text(f"#!/bin/sh\necho $$ > {seen}.new && mv {seen}.new {seen}\nexec sleep 600\n")
    uv.chmod(0o755)
    service = scripted_service(environment={"MLOPS_RUNNER__ROOT": str(tmp_path / "env")})
    register(tmp_path, scripted={"package": "airbyte-source-slow", "version": "1.0.0"})
    job = service.submit("numbers")
    wait_until(seen.exists)
    assert service.client.delete(f"/jobs/{job['jobId']}").json()["status"] == "cancelled"
    assert not is_alive(int(seen.read_text()))


def test_cancel_ends_a_sync_that_waits_for_a_lock(scripted_service, query):
    service = scripted_service(lines=records("numbers", [1]))
    assert service.sync("numbers")["status"] == "succeeded"
    query("begin")
    query("lock table raw.numbers in access exclusive mode")
    job = service.submit("numbers")
    waiting = "select count(*) from pg_locks where not granted and relation = 'raw.numbers'::regclass"
    wait_until(lambda: query(waiting) == [(1,)])
    assert service.client.delete(f"/jobs/{job['jobId']}").json()["status"] == "cancelled"
    query("rollback")
    assert service.sync("numbers")["status"] == "succeeded"


def test_a_sync_that_hangs_is_ended_at_the_time_limit_and_the_next_one_may_start(
    scripted_service, named_pipe, tmp_path
):
    child = tmp_path / "processes"
    limit = {"MLOPS_AIRBYTE__JOB_TIMEOUT": "8"}
    more = {"child": str(child), "child_leaves_group": False, "hold": str(named_pipe)}
    service = scripted_service(environment=limit, **more)
    number = service.submit("numbers")["jobId"]
    pids = wait_until(lambda: child.exists() and child.read_text().split())
    job = service.ended(number)
    assert job["status"] == "failed"
    assert "longer than airbyte.job_timeout, 8 s" in job["failureReason"]
    wait_until(lambda: not any(map(is_alive, pids)))
    assert service.submit("numbers")["status"] == "running"


def test_the_time_limit_does_not_include_time_when_the_service_was_stopped(scripted_service, named_pipe, query):
    service = scripted_service(hold=str(named_pipe))
    job = service.submit("numbers")
    service.end(signal.SIGKILL)
    query("update airbyte.jobs set started_at = now() - interval '1 day'")
    service.start()
    let_go(named_pipe)
    assert service.ended(job["jobId"])["status"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_next_service_ends_the_old_connector_and_continues_its_job(
    scripted_service, named_pipe, query, tmp_path, number
):
    query("create schema raw")
    query("create table raw.numbers as select 7::bigint as id, 'old' as text")
    child = tmp_path / "processes"
    more = {"child": str(child), "child_leaves_group": True, "hold": str(named_pipe)}
    service = scripted_service(count=20_000, **more)
    job = service.submit("numbers")
    pids = wait_until(lambda: child.exists() and child.read_text().split())
    service.end(number)
    if number == signal.SIGKILL:
        assert is_alive(pids[1])  # nobody was left to end it
    child.unlink()
    service.start()
    wait_until(lambda: not any(map(is_alive, pids)))
    wait_until(child.exists)
    assert service.job(job["jobId"])["status"] == "running"
    assert query("select id, text from raw.numbers") == [(7, "old")]
    let_go(named_pipe)
    assert service.ended(job["jobId"])["rowsSynced"] == 20_000
    assert query("select count(*), count(distinct id) from raw.numbers") == [(20_000, 20_000)]
    assert query("select number, status, failure_reason from airbyte.attempts order by number") == [
        (1, "failed", "the service was stopped during this attempt"),
        (2, "succeeded", None),
    ]
    assert [*(tmp_path / "var" / "airbyte").iterdir()] == []  # no configuration with secrets stays behind


def test_a_service_that_is_killed_just_after_the_last_commit_appends_nothing_twice(scripted_service, query):
    service = scripted_service(lines=records("numbers", [1]))
    append = {"streams": [{"name": "numbers", "syncMode": "full_refresh_append"}]}
    service.client.patch(f"/connections/{service.connection_id('numbers')}", json={"configurations": append})
    job = service.sync("numbers")
    service.end(signal.SIGKILL)
    query("update airbyte.jobs set status = 'running'")
    query("update airbyte.attempts set status = 'running', ended_at = null")
    assert service.start().ended(job["jobId"])["status"] == "succeeded"
    assert query(IDS) == [(1,)]


def test_a_job_whose_connection_was_removed_fails(scripted_service, named_pipe, query):
    service = scripted_service("numbers", "others", hold=str(named_pipe))
    job = service.submit("others")
    service.end(signal.SIGKILL)
    query("delete from airbyte.connections where name = 'others'")
    after = service.start().ended(job["jobId"])
    assert (after["status"], after["failureReason"]) == ("failed", "its connection was removed")


def test_temporary_failures_are_retried(scripted_service, query):
    service = scripted_service(environment={"MLOPS_AIRBYTE__ATTEMPTS": "2"}, exit=3, lines=records("numbers", [1]))
    assert service.sync("numbers")["failureReason"].startswith("the connector source_scripted ended with exit status 3")
    attempts = "select number, status, bytes_synced > 0, rows_synced from airbyte.attempts order by job_id, number"
    assert query(attempts) == [(1, "failed", True, 0), (2, "failed", True, 0)]


def test_the_wait_for_another_attempt_can_be_cancelled(scripted_service, query):
    service = scripted_service(environment={"MLOPS_AIRBYTE__ATTEMPTS": "4"}, exit=3)
    job = service.submit("numbers")
    # The third wait takes 4 s.
    wait_until(
        lambda: (
            query("select count(*) from airbyte.attempts") == [(3,)]
            and service.job(job["jobId"])["status"] == "incomplete"
        )
    )
    assert service.client.delete(f"/jobs/{job['jobId']}").json()["status"] == "cancelled"
    assert query("select count(*) from airbyte.attempts") == [(3,)]


def test_an_unexpected_failure_ends_attempt_and_job_and_is_in_the_jobs_log(scripted_service, query, tmp_path):
    service = scripted_service(environment={"MLOPS_AIRBYTE__ATTEMPTS": "2"})
    shutil.rmtree(tmp_path / "var" / "airbyte")
    job = service.sync("numbers")
    reason = "unexpected failure of the service: FileNotFoundError("
    assert (job["status"], job["failureReason"].startswith(reason)) == ("failed", True)
    attempts = query("select number, status, failure_type from airbyte.attempts order by number")
    assert attempts == [(1, "failed", "system_error"), (2, "failed", "system_error")]
    assert "FileNotFoundError" in Path(job["logFile"]).read_text()


def test_a_reader_sees_the_old_rows_or_the_new_ones_and_never_none(scripted_service, named_pipe, query):
    count = 5000
    service = scripted_service(count=count, hold=str(named_pipe), lines_after=records("numbers", [count]))
    query("create schema raw")
    query("create table raw.numbers (id bigint, text text)")
    query("insert into raw.numbers values (-1, 'old')")
    job = service.submit("numbers")
    seen = [query("select count(*), min(id) from raw.numbers")]
    let_go(named_pipe)
    while service.job(job["jobId"])["status"] == "running":
        seen += [query("select count(*), min(id) from raw.numbers") for _ in range(20)]
    seen.append(query("select count(*), min(id) from raw.numbers"))
    old, new = [(1, -1)], [(count + 1, 0)]
    assert (seen[0], seen[-1]) == (old, new)
    assert [state for state in seen if state not in (old, new)] == []


def test_a_sync_that_loses_the_database_fails_and_is_not_running_for_ever(scripted_service, named_pipe, query):
    service = scripted_service(lines=records("numbers", [1]), hold=str(named_pipe))
    job = service.submit("numbers")
    pipe = held(named_pipe)
    backends = "from pg_stat_activity where application_name = 'airbyte_local' and datname = current_database()"
    assert len(query(f"select pg_terminate_backend(pid) {backends}")) == 1
    os.close(pipe)
    after = service.ended(job["jobId"])
    assert after["status"] == "failed"
    assert "the destination failed: " in after["failureReason"]


def test_without_the_database_the_service_is_unavailable_and_stores_a_job_s_end_when_it_is_back(
    scripted_service, postgres, database, named_pipe, query, tmp_path
):
    started = tmp_path / "arguments.json"
    service = scripted_service(lines=records("numbers", [1]), hold=str(named_pipe), record_arguments=str(started))
    job = service.submit("numbers")
    wait_until(started.exists)
    postgres.psql(postgres.admin, f"alter database {database['database']} allow_connections false")
    let_go(named_pipe)
    wait_until(lambda: "could not be stored" in service.log.read_text())
    for answer in (service.client.get("/health"), service.client.get(f"/jobs/{job['jobId']}")):
        assert (answer.status_code, answer.json()["title"]) == (503, "service-unavailable")
    postgres.psql(postgres.admin, f"alter database {database['database']} allow_connections true")
    assert service.ended(job["jobId"])["status"] == "succeeded"
    assert query(IDS) == [(1,)]


def test_a_job_ends_even_if_the_database_cannot_store_its_reason(scripted_service):
    error = trace_error("a\0b" + "x" * 100_000)
    service = scripted_service(bytes=error.encode().hex())
    job = service.sync("numbers")
    assert job["status"] == "failed"
    assert job["failureReason"].startswith("a\N{REPLACEMENT CHARACTER}bxxx")
    assert len(job["failureReason"]) == 4000


def test_a_second_service_on_one_database_refuses_and_leaves_the_jobs_of_the_first_alone(
    scripted_service, new_service, named_pipe, tmp_path
):
    service = scripted_service(hold=str(named_pipe))
    job = service.submit("numbers")
    second = Service(service.environment, tmp_path)
    done = subprocess.run(
        [PYTHON, "-m", "airbyte_local"], cwd=ROOT, env=second.environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "another Airbyte service is using the database 127.0.0.1:" in done.stderr.splitlines()[-1]
    assert service.job(job["jobId"])["status"] == "running"


# Whoever has the database.
HELD = """
    pg_locks join pg_database on pg_database.oid = database
    where locktype = 'advisory' and granted and datname = current_database()
"""


def test_threads_that_lock_the_database_again_after_its_restart_do_not_block_each_other(database, query):
    store = JobStore({"dbname" if key == "database" else key: value for key, value in database.items()})
    assert query(f"select pg_terminate_backend(pid, 5000) from {HELD}") == [(True,)]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda _: store.hold(), range(8))] == [None] * 8
    assert query(f"select count(*) from {HELD}") == [(1,)]


def test_a_service_that_has_lost_its_database_to_another_answers_503_with_the_reason(scripted_service, query):
    service = scripted_service()
    query(f"select pg_terminate_backend(pid, 5000) from {HELD}")
    query(f"select pg_advisory_lock({jobs._LOCK})")
    body = {"connectionId": service.connection_id("numbers"), "jobType": "sync"}
    answer = service.client.post("/jobs", json=body)
    assert (answer.status_code, answer.json()["title"]) == (503, "service-unavailable")
    assert "another Airbyte service is using the database" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"MLOPS_AIRBYTE__CLIENT_SECRET": ""}, "MLOPS_AIRBYTE__CLIENT_SECRET: Value should have at least 1"),
        ({"MLOPS_AIRBYTE__DATABASE__PORT": "1"}, "connection to server"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_its_last_line(new_service, change, words):
    environment = {**new_service().environment, **change}
    environment = {name: value for name, value in environment.items() if value is not None}
    done = subprocess.run(
        [PYTHON, "-m", "airbyte_local"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
