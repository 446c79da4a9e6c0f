"""The web pages of the service, over HTTP and in a real browser, and the description of its API."""

import json
import shutil
from urllib.parse import urlsplit

import httpx
import pytest
from airbyte_testing import CLIENT, connection_of, declare, let_go, records, stream, trace_error, wait_until
from selenium.webdriver.common.by import By

LOGIN = (CLIENT["client_id"], CLIENT["client_secret"])
HOSTILE = "</td><script src=//evil.test></script>\"'&amp;"
NOBODY = "00000000-0000-0000-0000-000000000000"


def site_of(service):
    """The address of a service's page."""
    return service.base.removesuffix("/api/public/v1")


@pytest.fixture
def pages_of():
    """Creates clients that are logged in to a service's pages and send requests like these pages."""
    clients = []

    def make(service):
        site = site_of(service)
        clients.append(httpx.Client(base_url=site, auth=LOGIN, headers={"Origin": site}, trust_env=False, timeout=30))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def state_of(name, **content):
    """Line of a STATE message."""
    described = {"stream_descriptor": {"name": name}, "stream_state": content}
    return json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": described}}) + "\n"


@pytest.fixture
def incremental_service(new_service, database, tmp_path):
    """Starts a service with one incremental connection."""

    def start(name, *lines, **config):
        streams = [stream(name) | {"supported_sync_modes": ["incremental"], "source_defined_cursor": True}]
        chosen = {"streams": [{"name": name, "syncMode": "incremental_append"}]}
        connection = connection_of(name, configurations=chosen)
        return new_service(
            **declare(tmp_path / "connections.yaml", database, [connection], streams=streams, lines=lines, **config)
        ).start()

    return start


def test_every_page_asks_for_the_login_and_says_so_in_html(scripted_service):
    service = scripted_service()
    connection = f"/connections/{service.connection_id('numbers')}"
    with httpx.Client(base_url=site_of(service), trust_env=False) as stranger:
        for method, path in [
            ("GET", "/"),
            ("GET", connection),
            ("POST", f"{connection}/sync"),
            ("GET", "/jobs/1/log"),
            ("POST", "/jobs/1/cancel"),
        ]:
            for auth in (None, ("the-client", "guessed"), ("guessed", "the-secret")):
                answer = stranger.request(method, path, auth=auth, headers={"Origin": site_of(service)})
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"].startswith("Basic ")
                assert answer.headers["content-type"].startswith("text/html")
                assert "numbers" not in answer.text
        assert stranger.get("/style.css").headers["content-type"].startswith("text/css")
    assert service.client.get("/jobs").json()["data"] == []


def test_the_overview_shows_each_connection_and_its_last_sync(scripted_service, pages_of):
    service = scripted_service("a", "b", lines=records("a", [1, 2]))
    pages = pages_of(service)
    assert pages.get("/").text.count("Never synced") == 2
    job = service.sync("a")
    text = pages.get("/").text
    for shown in ("scripted", "warehouse", "postgres", "full refresh overwrite", "✓ Succeeded", ">2</td>", "/s</td>"):
        assert shown in text, shown
    assert job["startTime"].replace("T", " ").replace("Z", " UTC") in text
    assert text.count("Never synced") == 1
    assert 'http-equiv="refresh"' not in text
    assert "test_" not in text  # neither the password nor the rest of the destination's configuration


def test_names_reasons_and_states_from_data_are_text_and_never_markup(incremental_service, pages_of):
    state = state_of(HOSTILE, at=HOSTILE)
    service = incremental_service(HOSTILE, *records(HOSTILE, [1]), state, trace_error(HOSTILE), exit=1)
    assert service.sync(HOSTILE)["failureReason"] == HOSTILE
    pages = pages_of(service)
    page = pages.get(f"/connections/{service.connection_id(HOSTILE)}").text
    for text in (pages.get("/").text, page):
        assert "<script" not in text
        assert "&lt;script" in text
    assert "<script" not in pages.get("/connections/%3Cscript%3E").text
    assert "&amp;amp;" in page


def test_every_response_has_headers_against_other_sites(scripted_service, pages_of):
    pages = pages_of(scripted_service())
    for path in ("/", "/connections/nothing", "/jobs/7/log", "/style.css"):
        headers = pages.get(path).headers
        policy = headers["content-security-policy"]
        for rule in ("default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'self'"):
            assert rule in policy, path
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")


def test_a_post_from_another_site_is_refused(scripted_service, pages_of):
    service = scripted_service()
    site, pages = site_of(service), pages_of(service)
    del pages.headers["Origin"]
    path = f"/connections/{service.connection_id('numbers')}/sync"
    for headers in (
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.test"},
        {"Origin": f"{site}.evil.test"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[", "Referer": f"{site}/"},
        {"Referer": f"http://evil.test/{site}"},
    ):
        answer = pages.post(path, headers=headers)
        assert (answer.status_code, "Forbidden" in answer.text) == (403, True), headers
    assert service.client.get("/jobs").json()["data"] == []
    answer = pages.post(path, headers={"Referer": f"{site}/?offset=0"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{site}/?offset=0")


def test_a_sync_is_started_watched_and_cancelled_from_the_page(incremental_service, pages_of, named_pipe):
    service = incremental_service("numbers", *records("numbers", [1, 2, 3]), hold=str(named_pipe))
    pages, connection = pages_of(service), f"/connections/{service.connection_id('numbers')}"
    answer = pages.post(f"{connection}/sync")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    for path in ("/", connection):
        # What was read so far is there, though the attempt has the connection's tables to itself.
        text = wait_until(lambda path=path: ">3</td>" in (text := pages.get(path).text) and text)
        assert 'http-equiv="refresh" content="2"' in text
        assert (">Cancel</button>" in text, ">Sync</button>" in text) == (True, False)
    again = pages.post(f"{connection}/sync")
    assert (again.status_code, "the connection numbers is running" in again.text) == (409, True)
    assert '<a href="/">' in again.text
    (job,) = service.client.get("/jobs").json()["data"]
    assert pages.post(f"/jobs/{job['jobId']}/cancel").status_code == 303
    assert service.ended(job["jobId"])["status"] == "cancelled"
    assert "- Cancelled" in pages.get(connection).text


def test_a_connection_s_page_shows_its_state(incremental_service, pages_of):
    state = state_of("numbers", seen=2**100, at="Zürich")
    service = incremental_service("numbers", *records("numbers", [1]), state)
    pages, path = pages_of(service), f"/connections/{service.connection_id('numbers')}"
    assert "No state: the next sync reads everything" in pages.get(path).text
    service.sync("numbers")
    page = pages.get(path).text
    assert "&#34;at&#34;: &#34;Zürich&#34;\n" in page
    assert f"&#34;seen&#34;: {2**100},\n" in page
    assert "&#34;run&#34;" not in page  # the service's own


def test_a_destination_that_does_not_answer_shows_the_reason_instead_of_the_state(scripted_service, pages_of):
    service = scripted_service()
    service.sync("numbers")
    (destination,) = service.client.get("/destinations").json()["data"]
    path = f"/destinations/{destination['destinationId']}"
    lenient = {"Prefer": "handling=lenient"}
    assert service.client.patch(path, json={"configuration": {"port": 1}}, headers=lenient).status_code == 200
    answer = pages_of(service).get(f"/connections/{service.connection_id('numbers')}")
    assert answer.status_code == 200
    assert "port 1 failed" in answer.text
    assert "✓ Succeeded" in answer.text


def test_a_connection_s_page_shows_its_attempts(scripted_service, pages_of):
    service = scripted_service(environment={"MLOPS_AIRBYTE__ATTEMPTS": "2"}, lines=records("numbers", [1]), exit=3)
    service.sync("numbers")
    text = pages_of(service).get(f"/connections/{service.connection_id('numbers')}").text
    assert [f"Attempt {number}" in text for number in (1, 2, 3)] == [True, True, False]
    assert "ended with exit status 3" in text


def test_jobs_are_shown_page_by_page_newest_first(scripted_service, pages_of, query):
    service = scripted_service()
    connection_id = service.connection_id("numbers")
    query(
        "insert into airbyte.jobs (connection_id, job_type, status, run)"
        f" select '{connection_id}', 'sync', 'failed', gen_random_uuid() from generate_series(1, 45)"
    )
    pages, path, seen = pages_of(service), f"/connections/{connection_id}", []
    for offset in (0, 20, 40):
        text = pages.get(path, params={"offset": offset}).text
        seen += [number for number in range(45, 0, -1) if f'"/jobs/{number}/log"' in text]
        assert ("Newer</a>" in text, "Older →</a>" in text) == (offset > 0, offset < 40)
    assert seen == [*range(45, 0, -1)]


def test_the_end_of_a_long_log_is_shown_as_text(scripted_service, pages_of, tmp_path):
    service = scripted_service()
    job = service.sync("numbers")
    pages, path = pages_of(service), f"/jobs/{job['jobId']}/log"
    answer = pages.get(path)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.endswith("INFO succeeded\n")
    log = tmp_path / "var" / "logs" / "airbyte" / f"job-{job['jobId']}.log"
    log.write_text("".join(f"{number:>99}\n" for number in range(20_000)))
    lines = pages.get(path).text.splitlines()
    assert lines[0] == f"… for earlier lines see {log}"
    assert [*map(int, lines[1:])] == [*range(20_000 - len(lines) + 1, 20_000)]
    assert 1_000_000 < sum(map(len, lines)) < 1_100_000


def test_missing_pages_are_404_in_html_with_a_link_back(scripted_service, pages_of):
    service = scripted_service()
    pages, job = pages_of(service), service.sync("numbers")
    log = service.job(job["jobId"])["logFile"]
    shutil.move(log, f"{log}.gone")
    for method, path in [
        ("GET", f"/jobs/{job['jobId']}/log"),
        ("GET", f"/connections/{NOBODY}"),
        ("POST", f"/connections/{NOBODY}/sync"),
        ("POST", "/jobs/999/cancel"),
    ]:
        answer = pages.request(method, path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"].startswith("text/html")
        assert '<a href="/">' in answer.text


def test_the_page_says_that_the_database_does_not_answer(scripted_service, pages_of, postgres, database):
    pages = pages_of(scripted_service())
    postgres.psql(postgres.admin, f"alter database {database['database']} allow_connections false")
    answer = pages.get("/")
    postgres.psql(postgres.admin, f"alter database {database['database']} allow_connections true")
    assert answer.status_code == 503
    assert "database does not answer" in answer.text


def test_the_api_s_description_has_airbyte_s_tags_and_names_and_the_token(scripted_service):
    service = scripted_service()
    described = httpx.get(f"{site_of(service)}/openapi.json", trust_env=False).json()
    assert described["components"]["securitySchemes"]["accessToken"]["scheme"] == "bearer"
    operations = [each for path in described["paths"].values() for each in path.values()]
    assert {tag for each in operations for tag in each["tags"]} == {
        "Applications",
        "Connections",
        "Destinations",
        "Health",
        "Jobs",
        "Sources",
        "Streams",
        "Workspaces",
    }
    ids = [each["operationId"] for each in operations]
    assert len(ids) == len({*ids})
    assert {"createAccessToken", "getHealthCheck", "listJobs", "createJob", "cancelJob", "patchSource"} < {*ids}
    assert all(each.get("security") for each in operations if each["tags"][0] not in ("Applications", "Health"))


def test_in_a_browser_sync_log_and_api_work_without_errors_or_requests_to_other_servers(
    scripted_service, browser, named_pipe
):
    service = scripted_service(lines=records("numbers", range(12)), hold=str(named_pipe))
    site = site_of(service)
    browser.get(site.replace("//", "//{}:{}@".format(*LOGIN)))
    browser.wait_for("Never synced")
    browser.click(By.CSS_SELECTOR, "form[action$='/sync'] button")
    browser.wait_for("… Running")
    let_go(named_pipe)
    browser.wait_for("✓ Succeeded")
    assert "12" in [each.text for each in browser.find_elements(By.TAG_NAME, "td")]
    browser.click(By.CSS_SELECTOR, "a.name")
    browser.wait_for("Attempt 1")
    browser.click(By.CSS_SELECTOR, "a[href$='/log']")
    browser.wait_for("12 rows into raw.numbers")

    browser.get(f"{site}/docs")
    browser.click(By.CSS_SELECTOR, ".authorize")
    token = service.client.headers["Authorization"].removeprefix("Bearer ")
    browser.type(By.CSS_SELECTOR, ".auth-container input", token)
    browser.click(By.CSS_SELECTOR, ".auth-btn-wrapper .authorize")
    browser.click(By.CSS_SELECTOR, ".auth-btn-wrapper .btn-done")
    browser.click(By.CSS_SELECTOR, "#operations-Jobs-listJobs button")
    browser.click(By.CSS_SELECTOR, "#operations-Jobs-listJobs .try-out__btn")
    browser.click(By.CSS_SELECTOR, "#operations-Jobs-listJobs .execute")
    browser.wait_for("rowsSynced")

    assert browser.complaints() == []
    asked = browser.asked()
    assert len(asked) > 5
    assert {urlsplit(url).netloc.rpartition("@")[2] for url in asked} == {urlsplit(site).netloc}
