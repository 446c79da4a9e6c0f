"""The PostgreSQL server of the embedded place."""

import os
import subprocess

import psycopg
import pytest

from stack import databases
from stack.embedded import postgres
from stack.errors import StackError

PASSWORDS = {"first": "first-password", "second": "second-password"}


def server_of(admin):
    return {name: admin[name] for name in ("host", "port", "user", "password")}


@pytest.fixture
def port(postgres):
    admin = postgres.admin
    databases.ensure(server_of(admin), PASSWORDS)
    return admin["port"]


def connect(port, database, role, password):
    return psycopg.connect(host="127.0.0.1", port=port, dbname=database, user=role, password=password)


def test_a_role_owns_its_database_and_nobody_else_gets_in(port):
    with connect(port, "first", "first", "first-password") as connection:
        connection.execute("create schema s")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        connect(port, "second", "first", "first-password")


def test_no_password_or_a_wrong_one_is_refused(port):
    for password in ("", "second-password"):
        with pytest.raises(psycopg.OperationalError):
            connect(port, "first", "first", password)


def test_a_second_start_keeps_the_data_and_takes_a_new_password(port, postgres):
    with connect(port, "second", "second", "second-password") as connection:
        connection.execute("create table kept as select 7 as n")
    databases.ensure(server_of(postgres.admin), {"second": "changed"})
    with connect(port, "second", "second", "changed") as connection:
        assert connection.execute("select n from kept").fetchone() == (7,)
    databases.ensure(server_of(postgres.admin), PASSWORDS)


@pytest.fixture
def refused(monkeypatch):
    """Every program ends with a complaint."""

    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "not here\n")

    monkeypatch.setattr(postgres.subprocess, "run", run)


def test_a_data_directory_that_cannot_be_made_is_told_with_the_reason(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "system_user", lambda: None)
    with pytest.raises(StackError, match=f"{tmp_path}/postgres: not here; VAR must be on a file system"):
        postgres.create_cluster(tmp_path / "postgres", "secret")


def test_a_system_user_that_cannot_be_made_is_told_with_the_reason(refused, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postgres, "SYSTEM_USER", "nobody-of-this-name")
    with pytest.raises(StackError, match=r"useradd .*nobody-of-this-name` failed: not here; create this user, or run"):
        postgres.system_user()
