"""The PostgreSQL server of the embedded place."""

import psycopg
import pytest

from stack import databases

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
