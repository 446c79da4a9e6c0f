"""Airbyte syncs as tasks."""

from contextlib import suppress
from typing import Any

from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pipeline import reports
from pipeline.links import SyncLog
from pipeline.reports import Report


class SyncOperator(AirbyteTriggerSyncOperator):
    """The provider's operator, but its error message is the job's own reason if the Airbyte service gives one.

    Returns the job in the service's words as XCom, also if it fails: jobId, rowsSynced, bytesSynced, duration and, from
    the local service, valuesNulled and logFile.

    Raises:
        AirflowFailException: the source's data or the declaration is wrong; a retry would not help.
        AirflowException: the job failed for another reason.
    """

    operator_extra_links = (SyncLog(),)

    # pyrefly: ignore[bad-override]  (the provider's method returns the job's id, whatever its type says)
    def execute(self, context: Any) -> dict[str, Any]:
        """Submit the job and wait until it has ended."""
        job: dict[str, Any] = {}
        with reports.pushed(context) as report:
            try:
                super().execute(context)
                job = self._job()
            except Exception as error:
                # The service may be the reason of the failure.
                with suppress(Exception):
                    job = self._job()
                if job:
                    context["ti"].xcom_push(key="return_value", value=job)
                report.update({**_report(job), "rows_out": 0})
                reason = job.get("failureReason") if job.get("status") == "failed" else None
                if not reason:
                    raise
                kind = AirflowFailException if job["failureType"] == "config_error" else AirflowException
                raise kind(reason) from error
            report.update({**_report(job), "note": _note(job)})
        return job

    def _job(self) -> dict[str, Any]:
        """The service's answer, with the fields that are not in Airbyte's API and that the client's model drops."""
        from airbyte_api.api import GetJobRequest

        if not getattr(self, "job_id", None):
            return {}
        api = AirbyteHook(airbyte_conn_id=self.airbyte_conn_id, api_version=self.api_version).airbyte_api
        return api.jobs.get_job(request=GetJobRequest(job_id=self.job_id)).raw_response.json()


def extract_and_load(connection: str) -> SyncOperator:
    """Task that runs a connection of airbyte/connections.yaml, given by its name, and waits until it has ended."""
    return SyncOperator(
        task_id=f"extract_and_load_{connection}",
        # When the task runs, since every Airbyte assigns its own ids.
        connection_id=f"{{{{ var.json.airbyte_connections['{connection}'] }}}}",
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
