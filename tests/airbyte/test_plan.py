"""A declaration becomes what an Airbyte is, by name: the local service, and stand-ins for Airbyte OSS and Cloud."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from airbyte_testing import connection_of, declare, destination_of, stream

from airbyte_declaration.client import AirbyteApi, AirbyteError, AirbyteUnavailableError
from airbyte_declaration.declaration import Declaration, DeclarationError
from airbyte_declaration.plan import Plan, Step

SECRETS = ("password", "key")
NAMES = {"workspaces": "workspace", "sources": "source", "destinations": "destination", "connections": "connection"}


class Airbyte(BaseHTTPRequestHandler):
    """Answers as Airbyte does, from what it was given, and records each request.

    Cloud's tokens last for one request here, its addresses have another prefix, and it asks for patience once.
    """

    def log_message(self, *_):
        pass

    def answer(self, status, content=None, **headers):
        text = content if isinstance(content, str) else json.dumps(content)
        body = b"" if content is None else text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        own, url = self.server, urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        prefix = "/v1" if own.is_cloud else "/api/public/v1"
        assert url.path.startswith(prefix)
        parts = url.path.removeprefix(prefix).strip("/").split("/")
        if parts == ["applications", "token"]:
            if own.token_busy:
                return self.answer(own.token_busy.pop(), {"message": "no"})
            if own.token_status:
                return self.answer(own.token_status, {"message": "no"})
            own.token = str(uuid.uuid4())
            if body["client_secret"] != "the-secret":
                return self.answer(401, {"message": "Invalid client"})
            token = {"access_token": own.token, "token_type": "Bearer", "expires_in": 180}
            return self.answer(200, own.token_page or token)
        if self.headers["Authorization"] != f"Bearer {own.token}":
            return self.answer(401, {"status": 401, "title": "unauthorized"})
        if own.is_cloud:
            own.token = None
            if not own.has_rested:
                own.has_rested = True
                return self.answer(429, {"message": "slow down"}, Retry_After=own.retry_after)
        own.requests.append((self.command, "/".join(parts), body))
        return self.answer(*own.do(self.command, parts, body, parse_qs(url.query)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names


class StandIn(ThreadingHTTPServer):
    """A server of `Airbyte`, with what it holds."""

    def __init__(self, *, is_cloud):
        super().__init__(("127.0.0.1", 0), Airbyte)
        self.is_cloud, self.has_rested, self.token = is_cloud, False, None
        self.token_page, self.token_status, self.retry_after = None, None, "0.05"
        self.token_busy = []
        self.requests, self.things = [], {kind: {} for kind in NAMES}
        self.base = f"http://127.0.0.1:{self.server_port}{'/v1' if is_cloud else '/api/public/v1'}"

    def do(self, method, parts, body, query):
        kind, key = parts[0], f"{NAMES[parts[0]]}Id"
        things = self.things[kind]
        if method == "GET" and len(parts) == 1:
            wanted = query.get("workspaceIds")
            found = [each for each in things.values() if not wanted or each["workspaceId"] in wanted]
            start = int(query["offset"][0])
            # As behind a proxy: the links lead nowhere.
            return 200, {"data": self.shown(found[start : start + int(query["limit"][0])]), "next": "http://none/"}
        if method == "POST":
            thing = {"createdAt": 1, **body, key: str(uuid.uuid4())}
            if kind == "connections":
                thing |= {"workspaceId": self.things["sources"][body["sourceId"]]["workspaceId"], "tags": []}
                # What Airbyte adds of its own.
                thing["configurations"] = {
                    "streams": [{"selectedFields": [], **each} for each in body["configurations"]["streams"]]
                }
            if kind in ("sources", "destinations"):
                type_key = f"{NAMES[kind]}Type"
                thing[type_key] = body["configuration"][type_key]
                thing["configuration"] = self.kept(kind, body)["configuration"]
            things[thing[key]] = thing
            return 200, self.shown(thing)
        if method == "DELETE":
            del things[parts[1]]
            return (204, None)
        things[parts[1]] |= self.kept(kind, body)
        return 200, self.shown(things[parts[1]])

    def kept(self, kind, body):
        """A body whose configuration has no type any more, and what Airbyte adds."""
        if kind not in ("sources", "destinations"):
            return body
        given = {name: value for name, value in body["configuration"].items() if name != f"{NAMES[kind]}Type"}
        return {**body, "configuration": {"tunnel_method": {"tunnel_method": "NO_TUNNEL"}, **given}}

    def shown(self, value):
        if isinstance(value, list):
            return list(map(self.shown, value))
        if isinstance(value, dict):
            return {k: "**********" if k in SECRETS else self.shown(v) for k, v in value.items()}
        return value

    def changes(self):
        """What was asked beside GET since the last call."""
        found, self.requests = [each for each in self.requests if each[0] != "GET"], []
        return found


@pytest.fixture(params=["oss", "cloud"])
def airbyte(request):
    """A stand-in that answers like one of the two."""
    server = StandIn(is_cloud=request.param == "cloud")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def content():
    """A declaration, to be changed."""
    return {
        "workspace": {"name": "w"},
        "sources": [{"name": "s", "configuration": {"sourceType": "scripted", "streams": [], "key": "k"}}],
        "destinations": [{"name": "d", "configuration": {"destinationType": "postgres", "password": "p"}}],
        "connections": [{**connection_of("a"), "source": "s", "destination": "d"}],
    }


@pytest.fixture
def plan(airbyte, content, tmp_path):
    """Makes the plan of the declaration as it is now."""

    def make(**options):
        api = AirbyteApi(airbyte.base, "me", "the-secret")
        return Plan(Declaration.model_validate(content), api, tmp_path / "digests.json", key="key", **options)

    return make


CREATED = [
    Step("create", *each) for each in [("workspace", "w"), ("source", "s"), ("destination", "d"), ("connection", "a")]
]
UNCHANGED = [Step("unchanged", *each) for each in [("source", "s"), ("destination", "d"), ("connection", "a")]]


def test_a_plan_says_what_apply_does_and_changes_nothing(airbyte, plan):
    assert plan().steps() == CREATED
    assert airbyte.changes() == []
    assert list(plan().apply()) == CREATED
    assert [(method, path) for method, path, _ in airbyte.changes()] == [
        ("POST", "workspaces"),
        ("POST", "sources"),
        ("POST", "destinations"),
        ("POST", "connections"),
    ]


def test_both_can_be_run_again_without_effect(airbyte, plan):
    list(plan().apply())
    airbyte.changes()
    assert plan().steps() == list(plan().apply()) == UNCHANGED
    assert airbyte.changes() == []


def test_requests_have_the_ids_and_the_fields_of_airbytes_api(airbyte, plan, content):
    list(plan().apply())
    sent = {path: body for _, path, body in airbyte.changes()}
    (workspace,), (source,), (destination,) = (airbyte.things[k] for k in ("workspaces", "sources", "destinations"))
    assert sent["sources"] == {**content["sources"][0], "workspaceId": workspace}
    assert sent["connections"] == {
        "name": "a",
        "sourceId": source,
        "destinationId": destination,
        "schedule": {"scheduleType": "manual"},
        "configurations": {"streams": [{"name": "a", "syncMode": "full_refresh_overwrite"}]},
    }
    assert plan().ids() == {"a": next(iter(airbyte.things["connections"]))}


@pytest.mark.parametrize(
    ("change", "kind", "why"),
    [
        (lambda c: c["sources"][0]["configuration"].update(streams=[1]), "source", "configuration.streams"),
        (
            lambda c: c["sources"][0]["configuration"].update(key="new"),
            "source",
            "configuration: a secret has changed",
        ),
        (lambda c: c["destinations"][0]["configuration"].update(host="h"), "destination", "configuration.host"),
        (lambda c: c["connections"][0].update(prefix="p_"), "connection", "prefix"),
        (
            lambda c: c["connections"][0]["configurations"]["streams"][0].update(syncMode="full_refresh_append"),
            "connection",
            "configurations.a.syncMode",
        ),
        (
            lambda c: c["connections"][0]["configurations"]["streams"].append({"name": "b"}),
            "connection",
            "configurations.b",
        ),
    ],
)
def test_one_change_is_one_update_with_its_reason(airbyte, plan, content, change, kind, why):
    list(plan().apply())
    airbyte.changes()
    change(content)
    planned = [step for step in plan().steps() if step.is_change]
    assert [(step.action, step.kind, why in step.why) for step in planned] == [("update", kind, True)], planned
    assert [step for step in plan().apply() if step.is_change] == planned
    ((method, _, _),) = airbyte.changes()
    assert method == ("PATCH" if kind == "connection" else "PUT")
    assert not any(step.is_change for step in plan().steps())


def test_a_type_cannot_be_changed_and_the_error_says_what_to_do(airbyte, plan, content):
    list(plan().apply())
    airbyte.changes()
    content["sources"][0]["configuration"]["sourceType"] = "s3"
    words = r"source s has the type scripted, and Airbyte cannot change it to s3: rename it, .* DELETE=1`, which also"
    for attempt in (plan().steps, lambda: list(plan().apply())):
        with pytest.raises(DeclarationError, match=words):
            attempt()
    assert airbyte.changes() == []


def test_a_key_that_was_removed_is_removed(airbyte, plan, content):
    content["sources"][0]["configuration"]["delimiter"] = ";"
    list(plan().apply())
    del content["sources"][0]["configuration"]["delimiter"]
    assert [step.kind for step in plan().apply() if step.is_change] == ["source"]
    (source,) = airbyte.things["sources"].values()
    assert "delimiter" not in source["configuration"]


@pytest.mark.parametrize(
    ("key", "value", "default"),
    [("status", "inactive", "active"), ("prefix", "p_", ""), ("namespaceDefinition", "source", "destination")],
)
def test_removing_a_line_from_a_connection_restores_the_default(airbyte, plan, content, key, value, default):
    content["connections"][0][key] = value
    list(plan().apply())
    del content["connections"][0][key]
    planned = [step for step in plan().steps() if step.is_change]
    assert planned == [Step("update", "connection", "a", "a key was removed")]
    assert [step for step in plan().apply() if step.is_change] == planned
    assert [each[key] for each in airbyte.things["connections"].values()] == [default]
    content["connections"][0][key] = default
    assert plan().steps() == UNCHANGED


def test_removing_a_line_from_a_stream_removes_the_option(airbyte, plan, content, tmp_path):
    stream = content["connections"][0]["configurations"]["streams"][0]
    stream["cursorField"] = ["id"]
    list(plan().apply())
    (tmp_path / "digests.json").unlink()
    list(plan().apply())  # it knows again what is declared
    del stream["cursorField"]
    assert [step.kind for step in plan().apply() if step.is_change] == ["connection"]
    (connection,) = airbyte.things["connections"].values()
    assert "cursorField" not in connection["configurations"]["streams"][0]


def test_on_another_machine_secrets_are_sent_again_since_they_cannot_be_compared(airbyte, plan, tmp_path):
    list(plan().apply())
    digests = (tmp_path / "digests.json").read_text()
    assert all(secret not in digests for secret in ('"k"', '"p"'))
    (tmp_path / "digests.json").unlink()
    assert {step.kind for step in plan().steps() if step.is_change} == {"source", "destination"}
    list(plan().apply())
    assert plan().steps() == UNCHANGED


def test_undeclared_things_are_kept_unless_deletion_is_requested(airbyte, plan, content):
    content["connections"].append({**connection_of("b"), "source": "t", "destination": "d"})
    content["sources"].append({**content["sources"][0], "name": "t"})
    list(plan().apply())
    airbyte.changes()
    content["connections"].pop(), content["sources"].pop()
    kept = [step for step in plan().apply() if step.action != "unchanged"]
    assert kept == [
        Step("keep", kind, name, "is not declared") for kind, name in [("connection", "b"), ("source", "t")]
    ]
    assert airbyte.changes() == []
    gone = [Step("delete", step.kind, step.name, step.why) for step in kept]
    assert [step for step in plan(delete=True).steps() if step.is_change] == gone
    assert airbyte.changes() == []
    assert [step for step in plan(delete=True).apply() if step.is_change] == gone
    assert [(method, path.split("/")[0]) for method, path, _ in airbyte.changes()] == [
        ("DELETE", "connections"),
        ("DELETE", "sources"),
    ]
    assert plan(delete=True).steps() == UNCHANGED


@pytest.fixture
def moved(airbyte, plan, content):
    """Airbyte after an apply, and a declaration whose connection has another source since; the old connection's id."""
    list(plan().apply())
    (before,) = plan().ids().values()
    content["sources"].append({**content["sources"][0], "name": "t"})
    content["connections"][0]["source"] = "t"
    airbyte.changes()
    return before


def test_a_connection_with_a_new_source_is_recreated_before_the_old_one_is_deleted(airbyte, plan, moved):
    steps = [
        Step("create", "source", "t"),
        Step("create", "connection", "a", "new source; the new connection has no state"),
        Step("delete", "connection", "a", "is replaced by a new one with this name"),
    ]
    assert [step for step in plan(delete=True).steps() if step.is_change] == steps
    assert airbyte.changes() == []
    assert [step for step in plan(delete=True).apply() if step.is_change] == steps
    assert [each[:2] for each in airbyte.changes()] == [
        ("POST", "sources"),
        ("POST", "connections"),
        ("DELETE", f"connections/{moved}"),
    ]
    assert plan().ids() == {"a": next(iter(airbyte.things["connections"]))} != {"a": moved}


def test_a_connection_with_a_new_source_is_kept_without_the_flag_and_the_error_says_what_to_do(airbyte, plan, moved):
    for attempt in (plan().steps, lambda: list(plan().apply())):
        with pytest.raises(DeclarationError, match=r"connection a has a new source, so .*airbyte-apply DELETE=1"):
            attempt()
    assert plan().ids() == {"a": moved}


def test_a_new_connection_that_is_refused_leaves_the_old_one(airbyte, plan, moved):
    do, refused = airbyte.do, (422, {"detail": "no such stream"})
    airbyte.do = lambda method, parts, *more: (
        refused if (method, parts) == ("POST", ["connections"]) else do(method, parts, *more)
    )
    with pytest.raises(AirbyteError, match="no such stream"):
        list(plan(delete=True).apply())
    assert plan(delete=True).ids() == {"a": moved}


def test_other_workspaces_are_not_changed(airbyte, plan, content):
    list(plan().apply())
    content["workspace"]["name"] = "other"
    assert plan(delete=True).steps()[0] == Step("create", "workspace", "other")
    list(plan(delete=True).apply())
    assert [len(things) for things in airbyte.things.values()] == [2, 2, 2, 2]


def test_more_things_than_a_page_holds_are_all_found(airbyte, plan, content):
    connection = content["connections"][0]
    content["connections"] = [{**connection, "name": f"c{number}"} for number in range(230)]
    list(plan().apply())
    assert not any(step.is_change for step in plan().steps())
    assert len(plan().ids()) == 230


def test_a_refusal_and_a_wrong_secret_are_reported_with_airbytes_message(airbyte, plan):
    with pytest.raises(AirbyteError, match=r"401 Invalid client; check the client id and the client secret"):
        next(AirbyteApi(airbyte.base, "me", "wrong").list("connections"))
    airbyte.do = lambda *_: (422, {"detail": "the streams are dry"})
    with pytest.raises(AirbyteError, match=r"GET .*/workspaces: 422 the streams are dry"):
        plan().steps()


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(403, "no; check the client id and the client secret"), (404, "no; correct the address, for .*"), (500, "no")],
)
def test_a_login_that_fails_blames_the_credentials_only_if_they_may_be_wrong(airbyte, plan, status, remedy):
    airbyte.token_status = status
    with pytest.raises(AirbyteError, match=rf"POST .*/applications/token: {status} {remedy}$"):
        plan().steps()


def test_an_airbyte_that_is_busy_for_a_moment_is_asked_again(airbyte, plan):
    airbyte.token_busy = [503, 429]
    do, busy = airbyte.do, [(429, {}), (503, {})]
    airbyte.do = lambda *request: busy.pop() if busy else do(*request)
    assert plan().steps() == CREATED


def test_a_change_that_a_busy_airbyte_may_have_made_is_not_repeated(airbyte, plan):
    do = airbyte.do
    airbyte.do = lambda method, *rest: (503, {}) if method == "POST" else do(method, *rest)
    with pytest.raises(AirbyteUnavailableError, match=r"POST .*/workspaces: 503"):
        list(plan().apply())
    assert [method for method, *_ in airbyte.requests].count("POST") == 1


def test_a_missing_server_is_reported_with_its_address(tmp_path):
    with pytest.raises(AirbyteError, match=r"https://127.0.0.2:9/v1/connections.* is Airbyte running there\?"):
        next(AirbyteApi("https://127.0.0.2:9/v1", "me", "x").list("connections"))


@pytest.mark.parametrize("page", ["<html>log in</html>", '"text"', "{}"])
def test_an_answer_of_another_program_is_reported_with_the_address_and_what_to_do(airbyte, plan, page):
    airbyte.token_page = page
    with pytest.raises(
        AirbyteError, match=r"POST http://.*/token: 200, but not an answer of Airbyte's API; .* correct the address"
    ):
        plan().steps()


def test_a_page_instead_of_an_answer_is_reported_with_the_address_and_what_to_do(airbyte, plan):
    airbyte.do = lambda *_: (200, "<html>log in</html>")
    with pytest.raises(
        AirbyteError, match=r"GET http://.*/workspaces.*: 200, but not an answer of Airbyte's API; .* correct"
    ):
        plan().steps()


def test_a_date_in_retry_after_counts_as_one_second(airbyte, plan):
    airbyte.retry_after = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert plan().steps() == CREATED


def test_the_local_service_matches_the_declaration_and_a_failed_check_stops_later_steps(
    new_service, database, tmp_path
):
    path = tmp_path / "connections.yaml"
    service = new_service(**declare(path, database, [connection_of("numbers")])).start()
    steps = service.plan(path).steps()
    assert [step.action for step in steps] == ["unchanged"] * 3
    declared = json.loads(path.read_text())
    declared["sources"][0]["configuration"]["refuses"] = "closed today"
    declared["connections"][0]["prefix"] = "never_"
    path.write_text(json.dumps(declared))
    with pytest.raises(AirbyteError, match="422 configuration: the check failed: closed today"):
        service.apply(path, lenient=False)
    assert [step.kind for step in service.plan(path).steps() if step.is_change] == ["source", "connection"]
    assert service.sync("numbers")["status"] == "succeeded"
    service.apply(path)
    assert not any(step.is_change for step in service.plan(path).steps())
    assert destination_of(database)["password"] not in service.client.get("/destinations").text
    assert stream()["name"] in service.client.get("/connections").text
