"""What the init job of the container stack says where it cannot go on."""

import io
from types import SimpleNamespace

import psycopg
import pytest
from rich.console import Console

from devtools.ports import free_port
from stack.compose import jobs, server
from stack.compose.place import Place
from stack.compose.settings import Environment
from stack.errors import StackError


@pytest.fixture
def settings(monkeypatch):
    """Settings of a PostgreSQL that does not answer: `server(POSTGRES_HOST…)`, and the folder where it says why."""
    monkeypatch.setattr(server, "PATIENCE", 0)
    monkeypatch.setattr(server, "PATIENCE_ELSEWHERE", 0)
    login = {"host": "127.0.0.1", "port": free_port(), "user": "postgres", "password": "x"}

    def make(**environment):
        made = Environment(**environment)
        return SimpleNamespace(environment=made, superuser=lambda: login, server=lambda: login)

    return make


def refuse(monkeypatch, text):
    def connect(**_):
        raise psycopg.OperationalError(text)

    monkeypatch.setattr(server.psycopg, "connect", connect)


def test_a_server_that_never_answers_is_told_with_where_the_reason_is(settings, tmp_path):
    with pytest.raises(StackError, match=r"at 127\.0\.0\.1:\d+ cannot be used: .*; `docker compose logs postgres`"):
        server.wait(settings(), tmp_path)
    with pytest.raises(StackError, match=r"cannot be used: .*; correct POSTGRES_HOST, .* in \.env"):
        server.wait(settings(postgres_host="db", postgres_password="x"), tmp_path)


def test_what_the_server_says_of_itself_is_told_at_once(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 600)
    (tmp_path / "reason").write_text("the volume is of another version\n")
    with pytest.raises(StackError, match=r"^the volume is of another version$"):
        server.wait(settings(), tmp_path)


def test_a_refused_password_is_told_at_once(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 600)
    refuse(monkeypatch, 'FATAL: password authentication failed for user "postgres"')
    with pytest.raises(StackError, match="its volume was created with other secrets"):
        server.wait(settings(), tmp_path)
    with pytest.raises(StackError, match=r"authentication failed .*; correct POSTGRES_HOST, .* in \.env"):
        server.wait(settings(postgres_host="db", postgres_password="x"), tmp_path)


def test_a_full_disk_stops_the_start_and_little_memory_is_told(tmp_path, monkeypatch):
    screen = Console(file=io.StringIO(), width=300)
    monkeypatch.setattr(jobs, "console", screen)
    monkeypatch.setattr(jobs, "MEMORY", (0, 0))
    jobs._require_room(tmp_path)
    assert screen.file.getvalue() == ""
    monkeypatch.setattr(jobs, "MEMORY", (1 << 60, 1 << 60))
    jobs._require_room(tmp_path)
    assert "GB of memory, and a run needs" in screen.file.getvalue()
    monkeypatch.setattr(jobs, "DISK", (1 << 60, 1 << 60))
    with pytest.raises(StackError, match=r"GB are free on Docker's disk, .*`docker system df`"):
        jobs._require_room(tmp_path)


def test_the_log_of_a_failed_task_is_on_airflow_s_page_where_a_person_can_read_it(tmp_path):
    settings = SimpleNamespace(var=tmp_path, link=lambda name: f"http://{name}.test")
    task = {"dag_id": "dataops", "dag_run_id": "a run", "task_id": "transform", "map_index": -1, "try_number": 2}
    found = Place(settings, Console()).log(task)
    assert found == "http://airflow.test/dags/dataops/runs/a%20run/tasks/transform?try_number=2"
