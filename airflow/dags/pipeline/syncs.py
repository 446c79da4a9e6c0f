"""Airbyte syncs as tasks."""

from typing import Any

from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pipeline.links import SyncLog


class SyncOperator(AirbyteTriggerSyncOperator):
    """The provider's operator, whose error has the job's own reason where the Airbyte service gives one.

    Returns the job as the service tells it as XCom, also when it fails: jobId, rowsSynced, bytesSynced, duration and,
    by the local service, valuesNulled and logFile.

    Raises:
        AirflowFailException: the source's data or the declaration is wrong; trying again would not help.
        AirflowException: the job failed otherwise.
    """

    operator_extra_links = (SyncLog(),)

    def execute(self, context: Any) -> dict[str, Any]:
        """Submit the job and wait for its end."""
        try:
            super().execute(context)
            return self._job()
        except AirflowException as error:
            job = self._job()
            if job:
                context["ti"].xcom_push(key="return_value", value=job)
            if job.get("status") != "failed" or not job.get("failureReason"):
                raise
            final = job["failureType"] == "config_error"
            raise (AirflowFailException if final else AirflowException)(job["failureReason"]) from error

    def _job(self) -> dict[str, Any]:
        """The job as the service tells it; the client's own model drops what Airbyte's API does not have."""
        from airbyte_api.api import GetJobRequest

        if not getattr(self, "job_id", None):
            return {}
        api = AirbyteHook(airbyte_conn_id=self.airbyte_conn_id, api_version=self.api_version).airbyte_api
        return api.jobs.get_job(request=GetJobRequest(job_id=self.job_id)).raw_response.json()


def extract_and_load(connection: str, **kwargs: Any) -> SyncOperator:
    """Task that runs a connection of airbyte/connections.yaml and waits for its end.

    Args:
        connection: the connection's name; its id is looked up in the Airflow Variable `airbyte_connections` when the
            task runs, since every Airbyte gives ids of its own.
        kwargs: further arguments of the operator.
    """
    return SyncOperator(
        task_id=f"extract_and_load_{connection}",
        connection_id=f"{{{{ var.json.airbyte_connections['{connection}'] }}}}",
        wait_seconds=1,
        **kwargs,
    )
