"""The API of workspaces, sources, destinations, connections and streams."""

import json
import signal
from pathlib import Path

import httpx
import pytest
from airbyte_testing import CLIENT, ROOT, destination_of, let_go, records, register, stream, wait_until

UNKNOWN = "00000000-0000-0000-0000-000000000000"
SCRIPTED = {"sourceType": "scripted", "streams": [stream()], "key": "the-key"}
OVERWRITE = {"streams": [{"name": "numbers", "syncMode": "full_refresh_overwrite"}]}


@pytest.fixture
def service(new_service, tmp_path):
    """A service with an empty workspace."""
    return new_service(**register(tmp_path, scripted={"module": "source_scripted"})).start()


@pytest.fixture
def call(service):
    """Asks the service; the answer's status and JSON."""

    def ask(method, path, body=None, **options):
        answer = service.client.request(method, path, json=body, **options)
        return answer.status_code, answer.json() if answer.content else None

    return ask


@pytest.fixture
def made(call, database):
    """A workspace, a source, a destination and a connection; their ids."""
    ids = {"workspaceId": call("POST", "/workspaces", {"name": "w"})[1]["workspaceId"]}
    for kind, configuration in {"source": SCRIPTED, "destination": destination_of(database)}.items():
        body = {"name": kind, "workspaceId": ids["workspaceId"], "configuration": configuration}
        status, answer = call("POST", f"/{kind}s", body)
        assert status == 200, answer
        ids[f"{kind}Id"] = answer[f"{kind}Id"]
    body = {key: ids[key] for key in ("sourceId", "destinationId")}
    status, answer = call("POST", "/connections", body | {"name": "c", "configurations": OVERWRITE})
    assert status == 200, answer
    return ids | {"connectionId": answer["connectionId"]}


def fields(answer):
    """The fields that a 422 names."""
    status, problem = answer
    assert status == 422, answer
    return {error["field"]: error["message"] for error in problem["data"]["errors"]}


def test_created_things_are_returned_listed_and_synced(call, made, service, query):
    for kind in ("workspace", "source", "destination", "connection"):
        status, got = call("GET", f"/{kind}s/{made[f'{kind}Id']}")
        listed = call("GET", f"/{kind}s", params={"workspaceIds": made["workspaceId"]})[1]
        assert (status, listed) == (200, {"data": [got], "next": "", "previous": ""})
        assert call("GET", f"/{kind}s", params={"workspaceIds": UNKNOWN})[1]["data"] == []
    assert service.sync("c")["status"] == "succeeded"


def test_a_workspace_is_found_by_its_id_on_any_page(call):
    ids = [call("POST", "/workspaces", {"name": name})[1]["workspaceId"] for name in ("a", "b", "c")]
    found = call("GET", "/workspaces", params={"workspaceIds": ids[2], "limit": 1})[1]
    assert ([each["name"] for each in found["data"]], found["next"]) == (["c"], "")


def test_both_prefixes_of_airbyte_lead_to_the_same(service, made):
    cloud = service.client.get(service.base.replace("/api/public/v1", "/v1") + f"/sources/{made['sourceId']}")
    assert cloud.json() == service.client.get(f"/sources/{made['sourceId']}").json()


def test_secrets_go_in_and_never_come_out(call, made, service, query):
    source, destination = (call("GET", f"/{kind}s/{made[f'{kind}Id']}")[1] for kind in ("source", "destination"))
    assert source["configuration"]["key"] == destination["configuration"]["password"] == "**********"
    stored = str(query("select configuration::text, encode(sealed, 'escape') from airbyte.actors"))
    assert "the-key" not in stored
    assert "the-key" not in service.log.read_text()


@pytest.mark.parametrize("url", ["https://user:tell@host/x.csv", "HTTP://host/x.csv?token=tell", "http://h?tell"])
def test_a_url_with_credentials_or_a_query_is_a_secret_and_is_hidden(call, made, service, query, tmp_path, url):
    path, seen = f"/sources/{made['sourceId']}", tmp_path / "seen"
    given = {"urls": [url, "https://host/x.csv#part"], "record_arguments": str(seen)}
    shown = call("PATCH", path, {"configuration": given})[1]["configuration"]
    assert shown["urls"] == ["**********", "https://host/x.csv#part"]
    assert "tell" not in str(query("select configuration from airbyte.actors"))
    assert call("PUT", path, {"name": "new", "configuration": shown})[0] == 200
    service.sync("c")
    assert json.loads(seen.read_text())["config"]["urls"] == given["urls"]


def test_a_secret_that_is_sent_back_hidden_does_not_change(call, made, service, tmp_path):
    path = f"/sources/{made['sourceId']}"
    shown = call("GET", path)[1]["configuration"]
    seen = tmp_path / "seen"
    for method, body in {
        "PUT": {"name": "new", "configuration": {**shown, "record_arguments": str(seen)}},
        "PATCH": {"configuration": {"count": 2, "key": "**********"}},
    }.items():
        status, answer = call(method, path, body)
        assert (status, answer["name"]) == (200, "new"), answer
        service.sync("c")
        assert '"key": "the-key"' in seen.read_text()
    assert call("PATCH", path, {"configuration": {"record_arguments": None}})[1]["configuration"] == {
        **shown,
        "count": 2,
    }


def test_a_configuration_is_validated_field_by_field(call, made):
    def create(kind, configuration):
        return call(
            "POST", f"/{kind}s", {"name": "x", "workspaceId": made["workspaceId"], "configuration": configuration}
        )

    assert "required" in fields(create("source", {"sourceType": "scripted"}))["configuration"]
    wrong = fields(create("source", {**SCRIPTED, "key": {"oh": "the-key"}}))
    assert "the-key" not in str(wrong)
    assert "string" in wrong["configuration.key"]
    unknown = fields(create("source", {"sourceType": "../x"}))["configuration.sourceType"]
    assert "connectors.yaml has no connector '../x', only files, scripted" in unknown
    assert "configuration.sourceType" in fields(create("source", {}))
    assert set(fields(create("destination", {"destinationType": "postgres", "port": 0}))) > {
        "configuration.host",
        "configuration.port",
    }
    assert "postgres" in fields(create("destination", {"destinationType": "mars"}))["configuration.destinationType"]
    assert "body.configuration" in fields(create("source", {**SCRIPTED, "key": "a\0b"}))


def test_a_failed_check_refuses_a_configuration_unless_checks_are_switched_off(call, made):
    path = f"/sources/{made['sourceId']}"
    bad = {"configuration": {"refuses": "no such door"}}
    assert "the check failed: no such door" in fields(call("PATCH", path, bad))["configuration"]
    assert "refuses" not in call("GET", path)[1]["configuration"]
    assert call("PATCH", path, bad, headers={"Prefer": "handling=lenient"})[0] == 200
    assert call("GET", path)[1]["configuration"]["refuses"] == "no such door"
    closed = {"configuration": {"port": 1}}
    assert "connection" in fields(call("PATCH", f"/destinations/{made['destinationId']}", closed))["configuration"]


def test_streams_are_what_the_source_discovers(call, made):
    status, streams = call("GET", "/streams", params={"sourceId": made["sourceId"]})
    assert status == 200
    assert streams[0] == {
        "streamName": "numbers",
        "streamnamespace": "",
        "syncModes": ["full_refresh_overwrite", "full_refresh_append"],
        "defaultCursorField": [],
        "sourceDefinedCursorField": False,
        "sourceDefinedPrimaryKey": [],
        "propertyFields": [["id"], ["text"]],
    }


def test_a_connection_without_configurations_gets_all_streams_and_a_name(call, made):
    body = {key: made[key] for key in ("sourceId", "destinationId")}
    status, answer = call("POST", "/connections", body)
    assert (status, answer["name"], answer["status"]) == (200, "source → destination", "active")
    assert [each["name"] for each in answer["configurations"]["streams"]] == ["numbers"]


@pytest.mark.parametrize(
    ("streams", "field"),
    [
        ([{"name": "letters"}], "configurations.streams.0.name"),
        ([{"name": "numbers", "syncMode": "incremental_append"}], "configurations.streams.0.syncMode"),
        ([], "body.configurations.streams"),
        ([{"name": "numbers"}, {"name": "numbers"}], "body.configurations.streams"),
    ],
)
def test_a_stream_that_the_source_does_not_offer_that_way_is_refused(call, made, streams, field):
    body = {"configurations": {"streams": streams}}
    assert field in fields(call("PATCH", f"/connections/{made['connectionId']}", body))


@pytest.mark.parametrize(
    ("key", "field", "words"),
    [
        (
            {"primaryKey": "id"},
            "body.configurations.streams.0.primaryKey",
            "stream numbers: .* write primaryKey: [[id]]",
        ),
        (
            {"cursorField": "id"},
            "body.configurations.streams.0.cursorField",
            "stream numbers: .* write cursorField: [id]",
        ),
        (
            {"primaryKey": [["idd"]]},
            "configurations.streams.0.primaryKey",
            "no column idd, only id, text; did you mean id?",
        ),
        ({"primaryKey": [["more"]]}, "configurations.streams.0.primaryKey", "column more cannot be a key, .* object"),
        (
            {"primaryKey": [["id"]], "cursorField": ["more"]},
            "configurations.streams.0.cursorField",
            "column more cannot be a cursor, .* object",
        ),
    ],
)
def test_a_key_that_does_not_fit_is_refused_with_what_to_set(call, made, key, field, words):
    schema = {"properties": {"id": {"type": "integer"}, "text": {"type": "string"}}}
    if "more" in str(key):
        schema["properties"]["more"] = {"type": "object"}
    offered = [{**stream(schema=schema), "supported_sync_modes": ["incremental"]}]
    assert call("PATCH", f"/sources/{made['sourceId']}", {"configuration": {"streams": offered}})[0] == 200
    wanted = {"streams": [{"name": "numbers", "syncMode": "incremental_deduped_history", **key}]}
    found = fields(call("PATCH", f"/connections/{made['connectionId']}", {"configurations": wanted}))
    assert [part for part in words.split(".*") if part.strip() not in found[field]] == []


def test_a_stream_that_the_source_offers_in_two_namespaces_is_refused_with_both(call, made):
    twins = {"streams": [{**stream(), "namespace": namespace} for namespace in ("shop", None)]}
    assert call("PATCH", f"/sources/{made['sourceId']}", {"configuration": twins})[0] == 200
    wrong = fields(call("PATCH", f"/connections/{made['connectionId']}", {"configurations": OVERWRITE}))
    assert "offers numbers in the namespaces shop, none; make it" in wrong["configurations.streams.0.name"]


def test_an_inactive_connection_does_not_sync(call, made, service):
    path = f"/connections/{made['connectionId']}"
    assert call("PATCH", path, {"status": "inactive"})[1]["status"] == "inactive"
    status, problem = call("POST", "/jobs", {"connectionId": made["connectionId"], "jobType": "sync"})
    assert (status, "inactive" in problem["detail"]) == (409, True)
    assert call("PATCH", path, {"status": "active", "prefix": "p_"})[1]["prefix"] == "p_"
    assert service.sync("c")["status"] == "succeeded"


def test_a_cron_schedule_is_refused_since_airflow_starts_syncs(call, made):
    body = {"schedule": {"scheduleType": "cron", "cronExpression": "0 0 * * *"}}
    assert any("schedule" in field for field in fields(call("PATCH", f"/connections/{made['connectionId']}", body)))


def test_things_in_use_are_not_deleted_and_others_are(call, made):
    for kind in ("workspace", "source", "destination"):
        status, problem = call("DELETE", f"/{kind}s/{made[f'{kind}Id']}")
        assert (status, "delete them first" in problem["detail"]) == (409, True)
    for kind in ("connection", "source", "destination", "workspace"):
        path = f"/{kind}s/{made[f'{kind}Id']}"
        assert call("DELETE", path) == (204, None)
        assert call("GET", path)[0] == call("DELETE", path)[0] == 404


def test_an_unknown_id_is_404_and_an_invalid_one_422(call):
    for kind in ("workspace", "source", "destination", "connection"):
        for method, body in {"GET": None, "DELETE": None, "PATCH": {"name": "x"}}.items():
            assert call(method, f"/{kind}s/{UNKNOWN}", body)[0] == 404, (kind, method)
            assert call(method, f"/{kind}s/nonsense", body)[0] == 422, (kind, method)


def test_jobs_are_listed_by_status(call, made, service):
    first = service.sync("c")["jobId"]
    call("PATCH", f"/sources/{made['sourceId']}", {"configuration": {"exit": 1}})
    second = service.sync("c")["jobId"]
    for status, job in {"succeeded": first, "failed": second}.items():
        found = call("GET", "/jobs", params={"connectionId": made["connectionId"], "status": status})[1]["data"]
        assert [each["jobId"] for each in found] == [job]
    assert call("GET", "/jobs", params={"status": "odd"})[0] == 422


def test_a_running_job_shows_what_it_has_read_so_far(call, made, service, named_pipe):
    held = {"lines": records("numbers", range(20_000)), "hold": str(named_pipe)}
    call("PATCH", f"/sources/{made['sourceId']}", {"configuration": held})
    job = service.submit("c")["jobId"]
    wait_until(lambda: service.job(job)["rowsSynced"] == 20_000)
    assert service.job(job)["bytesSynced"] > 20_000
    let_go(named_pipe)
    assert service.ended(job)["rowsSynced"] == 20_000


def test_everything_exists_after_a_restart(call, made, service):
    before = [call("GET", f"/{kind}s")[1]["data"] for kind in ("workspace", "source", "destination", "connection")]
    service.end(signal.SIGKILL)
    service.start()
    assert [call("GET", f"/{k}s")[1]["data"] for k in ("workspace", "source", "destination", "connection")] == before
    assert service.sync("c")["status"] == "succeeded"


def test_another_signing_key_cannot_decrypt_configurations_and_the_error_says_what_to_do(call, made, service):
    service.end(signal.SIGTERM)
    service.environment["MLOPS_AIRBYTE__SIGNING_KEY"] = "another key of thirty-two bytes or more"
    del service.client.headers["Authorization"]
    service.start()
    job = service.sync("c")
    assert (job["status"], job["failureType"]) == ("failed", "config_error")
    assert "delete var/airbyte-applied.json, then `make airbyte-apply` sends it again" in job["failureReason"]
    body = {"name": "source", "configuration": SCRIPTED}
    assert call("PUT", f"/sources/{made['sourceId']}", body)[0] == 200


def test_a_connector_that_hangs_is_ended_at_the_limit_and_one_that_fails_is_502(new_service, tmp_path):
    (tmp_path / "source_hanging.py").write_text("import signal\nsignal.pause()\n")
    (tmp_path / "source_failing.py").write_text("raise SystemExit('no spec today')\n")
    spec = '{"type": "SPEC", "spec": {"connectionSpecification": []}}'
    (tmp_path / "source_broken.py").write_text(f"print({spec!r})\n")
    modules = {name: {"module": f"source_{name}"} for name in ("hanging", "failing", "broken")}
    service = new_service(**register(tmp_path, **modules), MLOPS_AIRBYTE__CHECK_TIMEOUT="5")
    service.environment["PYTHONPATH"] += f":{tmp_path}"
    service.start()
    workspace = service.client.post("/workspaces", json={"name": "w"}).json()["workspaceId"]
    for name, words in {
        "hanging": "did not answer within airbyte.check_timeout, 5 s",
        "failing": "no spec today",
        "broken": "source_broken printed a broken SPEC: connectionSpecification: ",
    }.items():
        body = {"name": name, "workspaceId": workspace, "configuration": {"sourceType": name}}
        answer = service.client.post("/sources", json=body)
        assert answer.status_code == 502, answer.text
        assert words in answer.json()["detail"]


def test_the_real_connectors_check_message_is_shown(new_service, tmp_path):
    service = new_service(MLOPS_AIRBYTE__CONNECTORS=str(ROOT / "airbyte" / "connectors.yaml")).start()
    workspace = service.client.post("/workspaces", json={"name": "w"}).json()["workspaceId"]
    missing = {"sourceType": "files", "streams": [{"name": "t", "url": str(tmp_path / "none.csv")}]}
    body = {"name": "files", "workspaceId": workspace, "configuration": missing}
    answer = service.client.post("/sources", json=body)
    assert answer.status_code == 422
    assert str(tmp_path / "none.csv") in answer.json()["detail"]
    Path(tmp_path / "none.csv").write_text("id\n1\n")
    assert service.client.post("/sources", json=body).status_code == 200


def test_without_a_login_nothing_is_returned(service):
    with httpx.Client(base_url=service.base, trust_env=False) as stranger:
        for kind in ("workspaces", "sources", "destinations", "connections", "streams"):
            assert stranger.get(f"/{kind}").status_code == 401
    assert CLIENT["client_secret"] not in service.log.read_text()
