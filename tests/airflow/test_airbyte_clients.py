"""The provider's sensor and trigger, and the typed client of its version, against the real local service."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest
from airbyte_api import models
from airbyte_api.api import (
    CancelJobRequest,
    DeleteConnectionRequest,
    DeleteDestinationRequest,
    DeleteSourceRequest,
    GetConnectionRequest,
    GetJobRequest,
    GetStreamPropertiesRequest,
    ListConnectionsRequest,
    ListJobsRequest,
    ListSourcesRequest,
    PatchConnectionRequest,
    PatchDestinationRequest,
    PutSourceRequest,
)
from airbyte_testing import let_go, records, trace_error
from airflow.exceptions import AirflowException
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.sensors.airbyte import AirbyteJobSensor
from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger
from airflow.sdk.exceptions import TaskDeferred


def fire(trigger):
    """The first event of a trigger."""

    async def first():
        return await asyncio.wait_for(anext(trigger.run()), timeout=30)

    return asyncio.run(first()).payload


def trigger_of(job_id):
    """The provider's trigger, with short waits."""
    return AirbyteSyncTrigger(conn_id="airbyte_default", job_id=job_id, end_time=time.time() + 60, poll_interval=0.1)


def test_the_sensor_waits_for_the_end_of_a_job(start, pipe):
    service = start(hold=str(pipe))
    job_id = service.submit("numbers")["jobId"]
    sensor = AirbyteJobSensor(task_id="wait", airbyte_job_id=job_id)
    assert sensor.poke({}) is False
    let_go(pipe)
    service.ended(job_id)
    assert sensor.poke({}) is True


def test_the_sensor_fails_if_the_job_failed(start):
    service = start(lines=[trace_error("the door is locked")])
    job_id = service.sync("numbers")["jobId"]
    with pytest.raises(AirflowException, match="failed"):
        AirbyteJobSensor(task_id="wait", airbyte_job_id=job_id).poke({})


@pytest.mark.parametrize(("lines", "status"), [(records("numbers", [1]), "success"), ([trace_error("no")], "error")])
def test_the_trigger_of_the_deferrable_operator_gives_the_jobs_end(start, lines, status):
    service = start(lines=lines)
    task = AirbyteTriggerSyncOperator(
        task_id="sync", connection_id=service.connection_id("numbers"), deferrable=True, wait_seconds=0.1
    )
    with suppress(TaskDeferred, AirflowException):  # the job may end before the operator looks
        task.execute({})
    event = fire(trigger_of(task.job_id))
    assert (event["status"], event["job_id"]) == (status, task.job_id)
    if status == "success":
        assert task.execute_complete({}, event) is None
    else:
        with pytest.raises(RuntimeError, match="has failed"):
            task.execute_complete({}, event)


@pytest.fixture
def api(start):
    """The typed client; it knows only Airbyte's own connectors, so our counting connector is registered as `faker`."""
    registry = Path(start().environment["MLOPS_AIRBYTE__CONNECTORS"])
    before = registry.read_text()
    registry.write_text("faker: {module: source_counting}")
    yield AirbyteHook().airbyte_api
    registry.write_text(before)


@pytest.fixture
def made(api, database):
    """A workspace, a source, a destination and a connection, created with the typed client."""
    workspace = api.workspaces.create_workspace(request=models.WorkspaceCreateRequest(name="typed")).workspace_response
    faker = models.SourceFaker(count=5)
    request = models.SourceCreateRequest(name="shop", workspace_id=workspace.workspace_id, configuration=faker)
    source = api.sources.create_source(request=request).source_response
    postgres = models.DestinationPostgres(
        host=database["host"],
        port=int(database["port"]),
        database=database["database"],
        username=database["user"],
        password=database["password"],
        schema_="raw",
    )
    request = models.DestinationCreateRequest(name="db", workspace_id=workspace.workspace_id, configuration=postgres)
    destination = api.destinations.create_destination(request=request).destination_response
    request = models.ConnectionCreateRequest(
        name="shop to db", source_id=source.source_id, destination_id=destination.destination_id
    )
    return source, destination, api.connections.create_connection(request=request).connection_response


def test_the_typed_client_creates_lists_changes_and_deletes(api, made):
    source, destination, connection = made
    listed = api.sources.list_sources(request=ListSourcesRequest(workspace_ids=[source.workspace_id]))
    assert [each.source_id for each in listed.sources_response.data] == [source.source_id]
    body = models.SourcePutRequest(name="shop 2", configuration=models.SourceFaker(count=7))
    changed = api.sources.put_source(request=PutSourceRequest(source_id=source.source_id, source_put_request=body))
    assert (changed.source_response.name, changed.source_response.configuration.count) == ("shop 2", 7)
    body = models.DestinationPatchRequest(name="db 2")
    request = PatchDestinationRequest(destination_id=destination.destination_id, destination_patch_request=body)
    patched = api.destinations.patch_destination(request=request).destination_response
    assert (patched.name, patched.configuration.password) == ("db 2", "**********")
    streams = api.streams.get_stream_properties(request=GetStreamPropertiesRequest(source_id=source.source_id))
    assert [each.stream_name for each in streams.stream_properties_response] == ["numbers"]
    body = models.ConnectionPatchRequest(status=models.ConnectionStatusEnum.INACTIVE)
    request = PatchConnectionRequest(connection_id=connection.connection_id, connection_patch_request=body)
    assert api.connections.patch_connection(request=request).connection_response.status.value == "inactive"
    got = api.connections.get_connection(request=GetConnectionRequest(connection_id=connection.connection_id))
    assert got.connection_response.name == "shop to db"
    api.connections.delete_connection(request=DeleteConnectionRequest(connection_id=connection.connection_id))
    api.sources.delete_source(request=DeleteSourceRequest(source_id=source.source_id))
    api.destinations.delete_destination(request=DeleteDestinationRequest(destination_id=destination.destination_id))
    left = api.connections.list_connections(request=ListConnectionsRequest(workspace_ids=[source.workspace_id]))
    assert left.connections_response.data == []


def test_the_typed_client_runs_lists_and_cancels_jobs(api, made):
    _, _, connection = made
    request = models.JobCreateRequest(connection_id=connection.connection_id, job_type=models.JobTypeEnum.SYNC)
    job = api.jobs.create_job(request=request).job_response
    request = ListJobsRequest(connection_id=connection.connection_id)
    assert [each.job_id for each in api.jobs.list_jobs(request=request).jobs_response.data] == [job.job_id]
    api.jobs.cancel_job(request=CancelJobRequest(job_id=job.job_id))
    assert api.jobs.get_job(request=GetJobRequest(job_id=job.job_id)).job_response.status.value in (
        "cancelled",
        "succeeded",
    )
