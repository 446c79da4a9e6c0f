"""The demonstration of a gate, as far as it needs no services."""

import io
import os
import subprocess
import sys
import time

import httpx
import psycopg
import pytest
from rich.console import Console

from stack import demo
from stack.runs import summary


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=78)


def test_what_has_changed_stands_out_even_where_it_is_not_shown(screen):
    before = {"marts.projects_to_predict": "764 rows, 0123456789abcdef", "champion": "tagifai version 1"}
    demo._show_published(before, before, screen)
    assert screen.file.getvalue().count("unchanged") == 2
    demo._show_published(before, {"marts.projects_to_predict": "764 rows, 0123456789abcdee"}, screen)
    shown = screen.file.getvalue().splitlines()
    assert shown[-2].split()[-1] == "CHANGED"
    assert shown[-1].split()[-2:] == ["nothing", "CHANGED"]


def test_a_run_that_never_began_was_stopped_by_no_gate(screen):
    assert not demo._show_gate(None, summary.empty("files", "embedded"), screen)


def test_a_demonstration_that_is_killed_has_the_source_put_back_and_one_that_ends_does_so_itself(tmp_path):
    killed, ended = tmp_path / "killed", tmp_path / "ended"
    with demo.on_kill(["touch", str(ended)]):
        pass
    script = f"from stack import demo\nwith demo.on_kill(['touch', {str(killed)!r}]):\n    print()\n    input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes) as process:
        process.stdout.readline()
        process.kill()
    deadline = time.monotonic() + 20
    while not killed.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [each.name for each in tmp_path.iterdir()] == ["killed"]


@pytest.fixture
def warehouse(postgres):
    return postgres.database()


@pytest.fixture
def settings(warehouse):
    """As much of the settings as is asked for what is published."""

    class Settings:
        config = {  # noqa: RUF012
            "model": {"name": "tagifai"},
            "warehouse": {"type": "postgres"},
        }
        tables = {"published": {"labels": "marts.labeled_projects", "predictions": "marts.predictions"}}  # noqa: RUF012
        mlflow_user = None

        def url(self, service):
            return "http://mlflow"

        def warehouse(self):
            return dict(warehouse)

    return Settings()


def connected(warehouse):
    login = {key: warehouse[key] for key in ("host", "port", "user", "password")}
    return psycopg.connect(dbname=warehouse["database"], **login, autocommit=True)


@pytest.fixture
def champion(monkeypatch):
    """The registry's answer: version "3"; `champion[:] = [404, {}]` has none."""
    answer = [200, {"model_version": {"version": "3"}}]

    def get(url, params, **kwargs):
        assert params == {"name": "tagifai", "alias": "champion"}
        return httpx.Response(answer[0], json=answer[1], request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    return answer


def test_published_is_what_consumers_read_whatever_order_it_lies_in(settings, warehouse, champion):
    assert demo.published(settings) == {}
    with connected(warehouse) as connection:
        connection.execute("create schema marts")
        connection.execute("create table marts.labeled_projects (id int, tag text)")
        connection.execute("insert into marts.labeled_projects values (1, 'a'), (2, null)")
        assert demo.published(settings) == {}
        connection.execute("create table marts.predictions as select 1 as id")
        first = demo.published(settings)
        assert set(first) == {"marts.labeled_projects", "marts.predictions", "champion"}
        assert first["champion"] == "tagifai version 3"
        assert first["marts.labeled_projects"].startswith("2 rows, ")
        # The row moves behind the other.
        connection.execute("update marts.labeled_projects set tag = 'a' where id = 1")
        assert demo.published(settings) == first
        connection.execute("update marts.labeled_projects set tag = 'b' where id = 1")
        changed = demo.published(settings)
    assert {name for name in first if first[name] != changed[name]} == {"marts.labeled_projects"}


def test_nothing_is_published_without_a_champion_and_a_broken_registry_is_no_answer(settings, warehouse, champion):
    with connected(warehouse) as connection:
        connection.execute("create schema marts")
        for table in settings.tables["published"].values():
            connection.execute(f"create table {table} as select 1 as id")
    champion[:] = [404, {}]
    assert demo.published(settings) == {}
    champion[:] = [503, {}]
    with pytest.raises(httpx.HTTPStatusError):
        demo.published(settings)
