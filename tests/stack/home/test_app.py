"""The docs service, over HTTP and in a real browser, beside services that are up, starting and down."""

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest
from selenium.webdriver.common.by import By

from devtools.ports import free_port
from stack.home.app import Settings
from stack.settings import ENVIRONMENTS, ROOT, inherited_environment
from tests.conftest import warehouse_env

# Seconds.
BOUND = 60
DRAWN = "return [...document.querySelectorAll('use[href^=\"#icn-\"]')].some(each => each.getBBox().width)"
HEALTHY = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")}


def wait_until(is_so):
    """What `is_so` returns once it is true."""
    deadline = time.monotonic() + BOUND
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"not so within {BOUND} s"
        time.sleep(0.05)
    return found


class Fake:
    """A service that answers as it is told."""

    def __init__(self):
        self.status, self.body = 200, "OK"
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(fake.status)
                self.end_headers()
                self.wfile.write(fake.body.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        """Answer no longer."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fake():
    """Starts services."""
    with ExitStack() as running:

        def start():
            started = Fake()
            running.callback(started.end)
            return started

        yield start


@pytest.fixture
def var(tmp_path):
    """Folder of an instance that has not run yet, beside a file that is nobody's business."""
    (tmp_path / "secrets.json").write_text("a secret")
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secrets.json").write_text("a secret")
    return tmp_path / "var"


@pytest.fixture
def serve(var):
    """Starts the docs service; returns a client of it."""
    with ExitStack() as running:

        def start(*services):
            port = free_port()
            environment = {
                **inherited_environment(),
                "MLOPS_VAR": str(var),
                "MLOPS_HOME__PORT": str(port),
                "MLOPS_HOME__SERVICES": json.dumps(services),
            }
            process = subprocess.Popen([sys.executable, "-m", "stack.home"], cwd=ROOT, env=environment)
            running.callback(process.wait, timeout=BOUND)
            running.callback(process.terminate)
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=BOUND)
            running.callback(client.close)
            wait_until(lambda: process.poll() is None and answers(client))
            return client

        yield start


def answers(client):
    try:
        return client.get("/health").is_success
    except httpx.ConnectError:
        return False


def entry(name, url):
    return {"name": name, "url": url, "health": f"{url}/health", "purpose": f"what {name} does"}


def states(client):
    return {each["name"]: each["state"] for each in client.get("/state").json()}


def write(var, path, text):
    (var / path).parent.mkdir(parents=True, exist_ok=True)
    (var / path).write_text(text)


def test_a_service_is_up_starting_or_down_at_the_moment_of_the_question(fake, serve):
    service = fake()
    client = serve(entry("MLflow", service.url))
    wait_until(lambda: states(client)["MLflow"] == "up")
    service.status = 503
    wait_until(lambda: states(client)["MLflow"] == "starting")
    service.end()
    assert states(client)["MLflow"] == "down"


def test_airflow_is_up_when_all_its_parts_are(fake, serve):
    airflow = fake()
    airflow.body = json.dumps(HEALTHY)
    client = serve(entry("Airflow", airflow.url))
    wait_until(lambda: states(client)["Airflow"] == "up")
    airflow.body = json.dumps(HEALTHY | {"scheduler": {"status": "unhealthy"}, "triggerer": {"status": None}})
    (shown, *_) = client.get("/state").json()
    assert shown["state"] == "starting"
    assert shown["parts"] == {
        "metadatabase": "healthy",
        "scheduler": "unhealthy",
        "triggerer": "not seen yet",
        "dag processor": "healthy",
    }


def test_the_home_page_links_every_ui_and_names_are_text(fake, serve):
    service = fake()
    page = serve(entry("<b>MLflow", service.url)).get("/").text
    assert f'href="{service.url}/"' in page
    assert 'href="/data-docs/"' in page
    assert 'href="/dbt-docs/"' in page
    assert "&lt;b&gt;MLflow" in page
    assert "<b>" not in page


@pytest.mark.parametrize("path", ["data-docs", "dbt-docs", "runs"])
def test_before_there_are_docs_their_page_says_what_writes_them(serve, path):
    client = serve()
    answer = client.get(f"/{path}", follow_redirects=True)
    assert (answer.status_code, "run dataops first" in answer.text) == (200, True)
    assert set(states(client).values()) == {"empty"}
    assert client.get(f"/{path}/other.html").status_code == 404


def test_docs_are_served_from_when_they_are_there(serve, var):
    client = serve()
    write(var, "great_expectations/data_docs/index.html", "<p>checked")
    write(var, "great_expectations/data_docs/validations/one.html", "<p>one")
    write(var, "dbt/docs/index.html", "<p>documented")
    assert [client.get(path).text for path in ("/data-docs/", "/data-docs/validations/one.html", "/dbt-docs/")] == [
        "<p>checked",
        "<p>one",
        "<p>documented",
    ]
    assert states(client) == {"Data docs": "up", "dbt docs": "up", "Runs": "empty"}
    write(var, "explain/run of today.html", "<p>explained")
    assert 'href="run%20of%20today.html"' in client.get("/runs/").text
    assert client.get("/runs/run%20of%20today.html").text == "<p>explained"
    assert states(client)["Runs"] == "up"


def test_docs_of_one_application_are_found_and_those_of_several_are_listed(serve, var):
    client = serve()
    write(var, "great_expectations/data_docs/tagifai/index.html", "<p>checked")
    assert client.get("/data-docs/", follow_redirects=True).text == "<p>checked"
    write(var, "great_expectations/data_docs/tickets/index.html", "<p>checked too")
    listed = client.get("/data-docs/").text
    assert 'href="tagifai/index.html"' in listed
    assert 'href="tickets/index.html"' in listed
    assert states(client)["Data docs"] == "up"


@pytest.mark.parametrize(
    "path",
    [
        "/data-docs/../../secrets.json",
        "/data-docs/..%2f..%2fsecrets.json",
        "/data-docs/%2e%2e/%2e%2e/secrets.json",
        "/data-docs//etc/passwd",
        "/data-docs/link.json",
        "/data-docs/folder/secrets.json",
        "/data-docs/validations/",
        "/static/../home.py",
        "/static/",
        "/secrets.json",
    ],
)
def test_nothing_else_is_served_and_nothing_is_listed(serve, var, path):
    write(var, "great_expectations/data_docs/index.html", "<p>checked")
    write(var, "great_expectations/data_docs/validations/one.html", "<p>one")
    (var / "great_expectations/data_docs/link.json").symlink_to(var / "secrets.json")
    (var / "great_expectations/data_docs/folder").symlink_to(var)
    client = serve()
    # As it is: clients take `..` out of a path.
    url = httpx.URL(client.base_url, raw_path=path.encode())
    answer = client.send(httpx.Request("GET", url))
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert "one.html" not in answer.text


@pytest.mark.parametrize("path", ["/", "/state", "/health", "/data-docs/", "/dbt-docs/", "/nothing"])
def test_nothing_can_be_written_and_only_the_stack_s_pages_may_frame_an_answer(serve, path):
    client = serve(entry("Airflow", "http://airflow.test:8080"))
    assert client.post(path).status_code in (404, 405)
    headers = client.get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'self' http://airflow.test:8080"} <= set(policy)
    assert headers["x-content-type-options"] == "nosniff"


def test_health_is_that_the_folder_can_be_read(serve, var):
    client = serve()
    var.rename(var.with_name("gone"))
    answer = client.get("/health")
    assert (answer.status_code, str(var) in answer.text) == (503, True)


def test_it_imports_nothing_that_knows_secrets_or_databases():
    code = "import sys, stack.home; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"psycopg", "airbyte_local", "pipeline", "tagifai", "stack.settings"} & set(loaded.stdout.split())


def test_a_service_s_address_has_to_be_one(monkeypatch):
    monkeypatch.setenv("MLOPS_HOME__SERVICES", json.dumps([entry("MLflow", "javascript:alert(1)")]))
    with pytest.raises(ValueError, match="url"):
        Settings()


@pytest.fixture(scope="module")
def built(postgres, tmp_path_factory):
    """Folder with the data docs and the dbt docs of a small warehouse."""
    var, database = tmp_path_factory.mktemp("built"), postgres.database()
    own = "_airbyte_raw_id text, _airbyte_extracted_at timestamptz, _airbyte_meta jsonb"
    postgres.psql(
        database,
        f"""
        create schema raw;
        create table raw.projects (id bigint, created_on timestamp, title text, description text, {own});
        create table raw.tags (id bigint, tag text, {own});
        insert into raw.projects (id, created_on, title, description) values (1, '2020-02-20', 'A', 'B');
        insert into raw.tags (id, tag) values (1, 'mlops');
        """,
    )
    environment = {**inherited_environment(), **warehouse_env(database), "MLOPS_VAR": str(var)}
    environment |= {"PYTHONPATH": str(ROOT / "airflow" / "dags"), "GX_ANALYTICS_ENABLED": "false"}
    transform = ["dbt_transforms/transform.py", "build", "--result", var / "result.json"]
    for name, command, status in (
        ("dbt", transform, 0),
        # A project is too few.
        ("airflow", ["-m", "pipeline.checkpoints", "projects"], 1),
    ):
        python = ENVIRONMENTS / name / "bin" / "python"
        done = subprocess.run([python, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
    return var


def test_a_browser_shows_states_as_they_change_and_the_docs_without_an_error_or_a_call_elsewhere(
    fake, serve, var, built, browser
):
    service = fake()
    client = serve(entry("MLflow", service.url))
    site = str(client.base_url)
    browser.get(site)
    browser.wait_for("✓ Up")
    browser.wait_for("None yet")
    marked = browser.find_element(By.TAG_NAME, "li")
    service.status = 503
    browser.wait_for("… Not ready")
    for folder in ("great_expectations", "dbt"):
        shutil.copytree(built / folder, var / folder)
    write(var, "explain/run.html", "")
    browser.until(lambda: "None yet" not in browser.text)
    # The same page all the time.
    assert "what MLflow does" in marked.text
    browser.click(By.PARTIAL_LINK_TEXT, "Data docs")
    browser.click(By.PARTIAL_LINK_TEXT, "projects")
    browser.wait_for("expect_table_row_count_to_be_between")
    browser.get(f"{site}/dbt-docs/#!/model/model.transforms.labeled_projects")
    browser.wait_for("timestamp without time zone")
    # The icons of the folders beside it, then the lineage graph.
    browser.until(lambda: browser.execute_script(DRAWN))
    browser.click(By.CSS_SELECTOR, "[ng-click='onLauncherClick()']")
    browser.until(lambda: [each for each in browser.find_elements(By.TAG_NAME, "canvas") if each.is_displayed()])

    assert browser.complaints() == []
    asked = browser.asked()
    assert len(asked) > 5
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(site).netloc}
