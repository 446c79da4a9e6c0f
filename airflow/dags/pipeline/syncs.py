"""Airbyte syncs as tasks."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from pipeline import other_source, reports, smoke
from pipeline.links import SyncLog
from pipeline.reports import Report
from pipeline.settings import Settings

# Our own status of a job that Airbyte no longer has.
GONE = "gone"
# Statuses of a job that has ended; others, such as queued, are waited for.
ENDED = ("succeeded", "failed", "cancelled", GONE)
# Seconds that a sleeping task waits longer than its trigger, which may be in a triggerer that is starting again.
_GRACE = 600


class SyncOperator(AirbyteTriggerSyncOperator):
    """Run a connection once: take up its job that has not ended, such as that of an earlier try, or else submit one.

    The parameters and settings are the provider's. Returns the job in the service's words as XCom, also if it fails:
    jobId, rowsSynced, bytesSynced, duration and, from the local service, valuesNulled and logFile. All this is the same
    whether the task sleeps while it waits (`deferrable`) or not.

    Raises:
        AirflowFailException: the source's data or the declaration is wrong; a retry would not help.
        AirflowException: the job failed for another reason, was cancelled or did not end in time.
    """

    operator_extra_links = (SyncLog(),)
    # For the link, and for on_kill.
    job_id: int | None = None

    # pyrefly: ignore[bad-override]  (the provider's method returns the job's id, whatever its type says)
    def execute(self, context: Any) -> dict[str, Any]:
        """Start the job and wait until it has ended."""
        deadline = time.time() + self._limit
        with reports.pushed(context) as report:
            try:
                jobs = Jobs(self.airbyte_conn_id, self.api_version)
                if source := context.get("params", {}).get("source"):
                    declared = Settings().source
                    self.connection_id = other_source.connection(
                        self.airbyte_conn_id, self.connection_id, declared=declared, given=source
                    )
                self.job_id = self._begin(jobs)
            except AirflowFailException:
                raise
            except Exception as error:
                report["rows_out"] = 0
                raise AirflowException(f"Airbyte started no job: {error}") from error
            if self.deferrable:
                trigger = SyncTrigger(self.airbyte_conn_id, self.api_version, self.job_id, self.wait_seconds, deadline)
                self.defer(
                    trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self._limit + _GRACE)
                )
            return self._end(context, report, jobs, deadline)

    # pyrefly: ignore[bad-override]  (the provider's method returns nothing)
    def execute_complete(self, context: Any, event: Any = None) -> dict[str, Any]:
        """Continue after the trigger, usually with a job that has ended."""
        self.job_id = event["job_id"]
        with reports.pushed(context) as report:
            return self._end(context, report, Jobs(self.airbyte_conn_id, self.api_version), event["deadline"])

    def on_kill(self) -> None:
        """Cancel the job, if there is one."""
        if self.job_id is not None:
            super().on_kill()

    @property
    def _limit(self) -> float:
        """Seconds that the job may take."""
        own = self.execution_timeout
        return min(self.timeout, own.total_seconds()) if own else self.timeout

    def _begin(self, jobs: "Jobs") -> int:
        """The id of the job to wait for."""
        from airbyte_api.errors import AirbyteAPIError

        found = jobs.active(self.connection_id)
        if not found:
            try:
                found = jobs.submit(self.connection_id)
                self.log.info("Submitted Airbyte job %s", found["jobId"])
                return found["jobId"]
            except AirbyteAPIError as error:
                # Somebody may have started one in the meantime.
                found = jobs.active(self.connection_id) if error.status_code == 409 else None
                if not found:
                    raise
        self.log.info("Airbyte job %s of this connection is %s; waiting for it", found["jobId"], found["status"])
        return found["jobId"]

    def _end(self, context: Any, report: Report, jobs: "Jobs", deadline: float) -> dict[str, Any]:
        """Wait until the job has ended, and report it; at the deadline it is cancelled."""
        assert self.job_id is not None
        job: dict[str, Any] = {"jobId": self.job_id, "status": "unknown"}
        while True:
            try:
                job = jobs.get(self.job_id)
            # The service may be restarting.
            except Exception as error:
                self.log.info("Airbyte does not answer, asking again: %s", error)
            if job["status"] in ENDED or time.time() >= deadline:
                break
            time.sleep(self.wait_seconds)
        if is_late := job["status"] not in ENDED:
            try:
                job = jobs.cancel(self.job_id)
            except Exception as error:
                self.log.warning("Airbyte job %s could not be cancelled: %s", self.job_id, error)
        if job["status"] == "succeeded":
            report.update({**_report(job), "note": _note(job)})
            return job
        context["ti"].xcom_push(key="return_value", value=job)
        report.update({**_report(job), "rows_out": 0})
        if job["status"] == "failed":
            kind = AirflowFailException if job.get("failureType") == "config_error" else AirflowException
            raise kind(job.get("failureReason") or f"Airbyte job {self.job_id} failed; its log in Airbyte says why")
        if is_late:
            raise AirflowException(f"Timeout: Airbyte job {self.job_id} is not ready after {self._limit:g} s")
        what = "is gone: Airbyte has no such job" if job["status"] == GONE else "was cancelled"
        raise AirflowException(f"Airbyte job {self.job_id} {what}")


class SyncTrigger(BaseTrigger):
    """Waits until a job has ended or the deadline is over, however often Airbyte does not answer.

    The provider's trigger gives up at the first lost answer and when a job is queued.
    """

    def __init__(self, conn_id: str, api_version: str, job_id: int, wait_seconds: float, deadline: float):
        """`deadline`: seconds since 1970."""
        super().__init__()
        self.conn_id = conn_id
        self.api_version = api_version
        self.job_id = job_id
        self.wait_seconds = wait_seconds
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and arguments from which Airflow recreates the trigger."""
        names = ("conn_id", "api_version", "job_id", "wait_seconds", "deadline")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the job's id and the deadline once."""
        jobs = None
        while time.time() < self.deadline:
            try:
                # In a thread, so that a slow Airbyte does not block the other triggers.
                jobs = jobs or await asyncio.to_thread(Jobs, self.conn_id, self.api_version)
                if (await asyncio.to_thread(jobs.get, self.job_id))["status"] in ENDED:
                    break
            # Each kind of failure has its own type; the next question may be answered.
            except Exception as error:
                self.log.info("Airbyte does not answer, asking again: %s", error)
            await asyncio.sleep(self.wait_seconds)
        yield TriggerEvent({"job_id": self.job_id, "deadline": self.deadline})


class Jobs:
    """The jobs of an Airbyte in its own words, with the fields that the client's models drop."""

    def __init__(self, conn_id: str, api_version: str):
        """Does not connect yet; `conn_id` is an Airflow connection."""
        self._api = AirbyteHook(airbyte_conn_id=conn_id, api_version=api_version).airbyte_api.jobs

    def active(self, connection_id: str) -> dict[str, Any] | None:
        """The newest sync of a connection that has not ended, or None."""
        from airbyte_api.api import ListJobsRequest
        from airbyte_api.models import JobTypeEnum

        request = ListJobsRequest(connection_id=connection_id, job_type=JobTypeEnum.SYNC, order_by="createdAt|DESC")
        found = self._api.list_jobs(request=request).raw_response.json()["data"]
        return next((job for job in found if job["status"] not in ENDED), None)

    def submit(self, connection_id: str) -> dict[str, Any]:
        """Start a sync."""
        from airbyte_api.models import JobCreateRequest, JobTypeEnum

        request = JobCreateRequest(connection_id=connection_id, job_type=JobTypeEnum.SYNC)
        return self._api.create_job(request=request).raw_response.json()

    def get(self, job_id: int) -> dict[str, Any]:
        """The job as it is now."""
        from airbyte_api.api import GetJobRequest
        from airbyte_api.errors import AirbyteAPIError

        try:
            return self._api.get_job(request=GetJobRequest(job_id=job_id)).raw_response.json()
        except AirbyteAPIError as error:
            if error.status_code == 404:
                return {"jobId": job_id, "status": GONE}
            raise

    def cancel(self, job_id: int) -> dict[str, Any]:
        """Cancel a job."""
        from airbyte_api.api import CancelJobRequest

        return self._api.cancel_job(request=CancelJobRequest(job_id=job_id)).raw_response.json()


def extract_and_load(source: str) -> SyncOperator:
    """Task that runs the connection of a source file in airbyte/connections.yaml, and waits until it has ended."""
    connection = f"{Settings().prefix}{source}"
    return SyncOperator(
        task_id=f"extract_and_load_{source}",
        # When the task runs, since every Airbyte assigns its own ids; a smoke run has connections of its own.
        connection_id=f"{{{{ var.json.airbyte_connections[{smoke.LABEL} ~ '{connection}'] }}}}",
        wait_seconds=1,
    )


def _report(job: dict[str, Any]) -> Report:
    """The rows and links of a job, which is empty if none was submitted."""
    links = {"Airbyte job": f"airbyte:/jobs/{job['jobId']}/log"} if job else {}
    if log := job.get("logFile"):
        links["Airbyte's log"] = log
    report: Report = {"links": links} if links else {}
    # Airbyte's API does not require it.
    rows = job.get("rowsSynced")
    return report if rows is None else {**report, "rows_in": rows, "rows_out": rows}


def _note(job: dict[str, Any]) -> str:
    size, nulled = job.get("bytesSynced") or 0, job.get("valuesNulled")
    lost = f"; {nulled:,} values did not fit their type and are null" if nulled else ""
    cut = f"; {truncated:,} times were cut to microseconds" if (truncated := job.get("valuesTruncated")) else ""
    return f"Airbyte job {job['jobId']} read {size:,} bytes{lost}{cut}"
