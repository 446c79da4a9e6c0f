"""Query parameters of the API: filters, order and pages of lists, and errors for everything that is not documented."""

import asyncio
from datetime import UTC, datetime
from unittest.mock import Mock
from uuid import UUID

import httpx
import pytest
from airbyte_testing import CLIENT
from pydantic import SecretStr

from airbyte_local.api.app import BASE, create_app
from airbyte_local.jobs import JobStore
from airbyte_local.settings import Airbyte

ONE, TWO = UUID(int=1), UUID(int=2)
LISTS = ("workspaces", "sources", "destinations", "connections", "jobs")


@pytest.fixture(scope="module")
def stores():
    """Stands in for both stores; both are empty."""
    store = Mock()
    store.workspaces.return_value = store.actors.return_value = store.connections.return_value = []
    store.recent.return_value = []
    return store


@pytest.fixture(scope="module")
def get(stores):
    """Asks the API, in this process."""
    secrets = {"client_secret": CLIENT["client_secret"], "signing_key": "a key of thirty-two bytes or more"}
    settings = Airbyte.model_construct(
        client_id=CLIENT["client_id"], **{name: SecretStr(value) for name, value in secrets.items()}
    )
    transport = httpx.ASGITransport(create_app(settings, stores, stores, Mock(), Mock()))

    async def ask(path):
        async with httpx.AsyncClient(transport=transport, base_url=f"http://localhost{BASE}/") as client:
            token = (await client.post("applications/token", json=CLIENT)).json()["access_token"]
            return await client.get(path, headers={"Authorization": f"Bearer {token}"})

    return lambda path: asyncio.run(ask(path))


def fault(answer):
    """The one field that a 422 names, and its message."""
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["data"]["errors"]
    assert error["field"] in answer.json()["detail"]
    return error["field"], error["message"]


@pytest.mark.parametrize("kind", LISTS)
def test_every_list_refuses_a_parameter_that_airbyte_does_not_document(get, kind):
    field, message = fault(get(f"{kind}?colour=red"))
    assert field == "query.colour"
    assert message.startswith("is unknown: this address takes ")
    assert "limit, offset" in message


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("jobs?createdAtstart=2024-01-01T00:00:00Z", "createdAtstart", "did you mean createdAtStart?"),
        ("jobs?connectionID=1", "connectionID", "did you mean connectionId?"),
        ("connections?workspaceId=1", "workspaceId", "did you mean workspaceIds?"),
        ("jobs?includeDeleted=true", "includeDeleted", "is unknown"),
        (f"sources/{ONE}?limit=1", "limit", "this address takes no parameters"),
        ("streams?source=1", "source", "did you mean sourceId?"),
        ("jobs?limit=1&limit=2", "limit", "has 2 values; give one"),
    ],
)
def test_an_unknown_parameter_is_named_with_the_one_that_may_be_meant(get, path, field, words):
    assert fault(get(path))[0] == f"query.{field}"
    assert words in fault(get(path))[1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("jobs?connectionId=numbers", "valid UUID"),
        ("jobs?workspaceIds=numbers", "valid UUID"),
        ("jobs?jobType=copy", "'sync', 'reset', 'refresh' or 'clear'"),
        ("jobs?status=odd", "'running'"),
        ("jobs?orderBy=createdAt", "'createdAt|ASC', 'createdAt|DESC', 'updatedAt|ASC' or 'updatedAt|DESC'"),
        ("jobs?orderBy=bytes|ASC", "'createdAt|ASC'"),
        ("jobs?orderBy=createdAt|asc", "'createdAt|ASC'"),
        ("jobs?createdAtStart=yesterday", "must be a time such as 2023-06-22T16:15:00Z"),
        ("jobs?createdAtEnd=2024", "must be a time such as 2023-06-22T16:15:00Z"),
        ("jobs?updatedAtStart=2024-02-30T00:00:00Z", "valid datetime"),
        ("jobs?updatedAtEnd=2024-01-01T00:00:00", "has no time zone"),
        ("jobs?createdAtStart=2024-01-01T00:00:00+00:00", "valid datetime"),  # + is a space in a URL
        ("jobs?limit=101", "less than or equal to 100"),
        ("jobs?limit=few", "valid integer"),
        ("jobs?offset=-1", "greater than or equal to 0"),
        *[(f"{kind}?includeDeleted=maybe", "valid boolean") for kind in LISTS[:-1]],
        *[(f"{kind}?workspaceIds=w", "valid UUID") for kind in LISTS],
    ],
)
def test_a_malformed_value_is_refused_with_the_name_of_its_parameter(get, path, words):
    field, message = fault(get(path))
    assert field.startswith("query." + path.partition("?")[2].partition("=")[0])
    assert words in message


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("given", ["", f"{ONE}", f"{ONE},{TWO}", f"{ONE}&workspaceIds={TWO}"])
def test_workspaces_are_given_by_commas_or_again_and_again_and_none_means_all(get, stores, kind, given):
    assert get(f"{kind}?workspaceIds={given}").status_code == 200
    call = {"jobs": "recent", "workspaces": "workspaces", "connections": "connections"}.get(kind, "actors")
    positional, named = getattr(stores, call).call_args
    wanted = named["workspaces"] if kind == "jobs" else positional[-1]
    assert list(wanted) == [each for each in (ONE, TWO) if str(each) in given]


@pytest.mark.parametrize("kind", LISTS[:-1])
def test_deleted_things_may_be_asked_for_though_none_are_kept(get, kind):
    assert get(f"{kind}?includeDeleted=true").json() == {"data": [], "next": "", "previous": ""}


def test_links_to_other_pages_keep_the_filters(get, stores):
    stores.recent.side_effect = lambda *_, limit, offset, **__: []
    path = (
        "jobs?jobType=sync&workspaceIds={0}&workspaceIds={1}&createdAtStart=2024-01-01T00:00:00Z&orderBy=updatedAt|ASC"
    )
    before = get(path.format(ONE, TWO) + "&limit=5&offset=10").json()["previous"]
    assert before.count("workspaceIds=") == 2
    assert all(each in before for each in ("jobType=sync", "createdAtStart=", "orderBy=", "limit=5", "offset=5"))
    assert get(before).status_code == 200


@pytest.fixture
def recent(database, query):
    """Asks a store with four jobs of two workspaces; returns their ids."""
    store = JobStore({"dbname" if key == "database" else key: value for key, value in database.items()})
    jobs = [
        # connection, workspace, status, started, updated
        (ONE, ONE, "succeeded", "10:00:00.5", "13:00:00"),
        (TWO, TWO, "failed", "11:00:00", "12:00:00.7"),
        (ONE, ONE, "cancelled", "12:00:00", "12:30:00"),
        (TWO, TWO, "running", "11:00:00", "14:00:00"),
    ]
    for connection, workspace, status, *times in jobs:
        started, updated = (f"2024-01-01 {time}+00" for time in times)
        query(
            "insert into airbyte.jobs (connection_id, workspace_id, job_type, status, run, started_at, updated_at)"
            f" values ('{connection}', '{workspace}', 'sync', '{status}', '{ONE}', '{started}', '{updated}')"
        )
    return lambda connection=None, **given: [
        job.job_id for job in store.recent(connection, **{"limit": 9, "offset": 0, **given})
    ]


def at(hour, minute=0, second=0):
    """A time on the day of the jobs."""
    return datetime(2024, 1, 1, hour, minute, second, tzinfo=UTC)


def test_jobs_are_filtered_ordered_and_paged_as_asked(recent):
    for found, asked in [
        ([3, 4, 2, 1], {}),
        ([1, 2, 4, 3], {"order": "createdAt|ASC"}),
        ([2, 3, 1, 4], {"order": "updatedAt|ASC"}),
        ([4, 1, 3, 2], {"order": "updatedAt|DESC"}),
        ([1], {"order": "updatedAt|DESC", "limit": 1, "offset": 1}),
        ([3, 1], {"connection": ONE}),
        ([4, 2], {"workspaces": [TWO]}),
        ([3, 4, 2, 1], {"workspaces": [ONE, TWO]}),
        ([], {"connection": ONE, "workspaces": [TWO]}),
        ([2], {"status": "failed"}),
        ([], {"status": "pending"}),
        ([3, 4, 2, 1], {"job_type": "sync"}),
        ([], {"job_type": "reset"}),
        ([3, 4, 2], {"created": (at(11), None)}),
        ([4, 2, 1], {"created": (None, at(11))}),
        ([1], {"created": (at(10), at(10))}),  # it is shown with this time
        ([4, 2], {"created": (at(10, 0, 1), at(11, 59))}),
        ([3, 4, 1], {"updated": (at(12, 30), None)}),
        ([2], {"updated": (None, at(12))}),
        ([3, 1], {"updated": (at(12, 30), at(13))}),
        ([], {"created": (at(12), None), "updated": (at(13), None)}),
    ]:
        assert recent(**asked) == found, asked
