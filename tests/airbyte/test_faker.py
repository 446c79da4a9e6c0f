"""airbyte-source-faker, a connector that is not ours, unchanged from the package index through the whole service."""

import json
import os
import re

import pytest
from airbyte_testing import ROOT, destination_of, register, wait_until

CONNECTOR = {"package": "airbyte-source-faker", "version": "7.2.1"}
COUNTS = {"products": 100, "users": 1000, "purchases": 1000}
# How uv finds its cache and the package index.
INHERITED = re.compile(r"UV_.*|HOME|SSL_CERT_.*|(http|https)_proxy", re.IGNORECASE)
# Of an install, too: 91 packages.
SECONDS = 900


@pytest.fixture(scope="module")
def var(tmp_path_factory):
    """The services' folder, so that one install does for all."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def sync(new_service, database, tmp_path, var):
    """Declares a connection of all three streams with this sync mode; runs it once a call, gives its rows and its log.

    Skips where the package index cannot be reached.
    """

    def declare(sync_mode, **configuration):
        streams = [{"name": name, "syncMode": sync_mode} for name in COUNTS]
        if sync_mode == "incremental_deduped_history":
            streams = [{**each, "cursorField": ["updated_at"], "primaryKey": [["id"]]} for each in streams]
        configuration = {"sourceType": "faker", "count": 1000, "seed": 42, "parallelism": 2, **configuration}
        declaration = {
            "workspace": {"name": "test"},
            "sources": [{"name": "shop", "configuration": configuration}],
            "destinations": [{"name": "warehouse", "configuration": destination_of(database)}],
            "connections": [
                {
                    "name": "shop",
                    "source": "shop",
                    "destination": "warehouse",
                    "schedule": {"scheduleType": "manual"},
                    "configurations": {"streams": streams},
                }
            ],
        }
        path = tmp_path / "connections.yaml"
        path.write_text(json.dumps(declaration))
        inherited = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
        places = {"MLOPS_VAR": str(var), "MLOPS_RUNNER__ROOT": str(ROOT / "var" / "env")}
        service = new_service(
            **inherited, **places, **register(tmp_path, faker=CONNECTOR), MLOPS_AIRBYTE__CONNECTIONS=str(path)
        ).start()

        def run():
            number = service.submit("shop")["jobId"]
            is_active = ("running", "incomplete")
            job = wait_until(lambda: (j := service.job(number))["status"] not in is_active and j, seconds=SECONDS)
            with open(job["logFile"]) as log:
                said = log.read()
            if "the package index does not answer" in (job["failureReason"] or ""):
                pytest.skip(job["failureReason"])
            assert (job["status"], job["failureReason"], job["valuesNulled"]) == ("succeeded", None, 0), said
            return job["rowsSynced"], said

        return run

    return declare


@pytest.fixture
def rows(query):
    """Gives the rows of a stream's table by id, each a list in case there are several."""

    def read(stream):
        found = {}
        for key, row in query(f"select id, to_jsonb(t) from raw.{stream} t"):
            found.setdefault(key, []).append(row)
        return found

    return read


def test_a_deduped_sync_of_a_source_that_sends_everything_again_has_each_row_once_in_its_newest_version(
    sync, rows, query
):
    run = sync("incremental_deduped_history")
    oids = "select 'raw.users'::regclass::oid, 'raw.products'::regclass::oid, 'raw.purchases'::regclass::oid"
    assert run()[0] == sum(COUNTS.values())
    first, tables = {name: rows(name) for name in COUNTS}, query(oids)
    assert run()[0] == sum(COUNTS.values())
    assert query(oids) == tables
    for name, count in COUNTS.items():
        second = rows(name)
        assert [*sorted(first[name])] == [*sorted(second)] == [*range(1, count + 1)]
        assert {len(versions) for versions in (*first[name].values(), *second.values())} == {1}
        for key, [row] in second.items():
            [before] = first[name][key]
            assert row["updated_at"] >= before["updated_at"]
            assert row["_airbyte_raw_id"] != before["_airbyte_raw_id"]


def test_an_incremental_append_sync_continues_from_the_state_without_losing_or_repeating_rows(sync, rows):
    run = sync("incremental_append", always_updated=False)
    assert run()[0] == sum(COUNTS.values())
    first = {name: rows(name) for name in COUNTS}
    assert {name: sum(map(len, first[name].values())) for name in COUNTS} == COUNTS
    count, said = run()
    assert count == 0
    assert "Setting state of SourceFaker stream to {'seed': 42, 'updated_at': '" in said
    assert "installing the connector" not in said
    assert {name: rows(name) for name in COUNTS} == first


def test_values_arrive_as_the_types_that_the_source_declares(sync, query):
    sync("full_refresh_overwrite")()
    types = dict(
        query(
            "select table_name || '.' || column_name, data_type from information_schema.columns"
            " where table_schema = 'raw' and column_name !~ '^_airbyte'"
        )
    )
    timestamps = {name for name in types if name.endswith("_at")}
    assert {types.pop(name) for name in timestamps} == {"timestamp with time zone"}
    assert (len(timestamps), types.pop("users.address"), types.pop("products.price")) == (9, "jsonb", "numeric")
    integers = {"products.id", "products.year", "users.id", "users.age", "users.weight"}
    integers |= {"purchases.id", "purchases.user_id", "purchases.product_id"}
    assert {types.pop(name) for name in integers} == {"bigint"}
    assert set(types.values()) == {"text"}
    assert query(
        "select count(distinct jsonb_typeof(address)), min(address->>'city') > '', min(age) > 0, min(email) ~ '@'"
        " from raw.users"
    ) == [(1, True, True, True)]
    # purchases.created_at is printed without a zone, which is taken as UTC, and whole days later is added_to_cart_at; a
    # null is printed as a missing key.
    assert query(
        "select count(p.created_at), count(purchased_at) between 1 and 999,"
        " bool_and(extract(epoch from added_to_cart_at - date_trunc('second', p.created_at))::integer % 86400 = 0)"
        " from raw.purchases p join raw.products on products.id = product_id join raw.users on users.id = user_id"
    ) == [(1000, True, True)]


def test_neither_the_connector_nor_the_cdk_is_in_our_lock_files():
    locks = [*(ROOT / "requirements").iterdir()]
    assert locks
    assert [lock.name for lock in locks if re.search(r"source-faker|airbyte-cdk", lock.read_text())] == []
