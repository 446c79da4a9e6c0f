"""Links from a task's page to what the task produced; a link is an empty string if there is nothing to show.

Airflow evaluates them in the task's process after it has succeeded or failed.
"""

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

from pipeline.settings import Settings

# MLflow's UI opens in its view for GenAI otherwise, which lacks half of a training run.
VIEW = "?workflowType=machine_learning"


class SyncLog(BaseOperatorLink):
    """The log of the job on the Airbyte service's page."""

    name = "Sync log"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the log; a cancelled job has one too."""
        airbyte, job_id = Settings().links.airbyte, getattr(operator, "job_id", None)
        return f"{airbyte}/jobs/{job_id}/log" if airbyte and job_id else ""


class ValidationResult(BaseOperatorLink):
    """The validation result's page of the data docs."""

    name = "Validation result"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the page if the docs have a server; a browser cannot open a file on the worker."""
        result = _result(ti_key)
        if not Settings().links.data_docs or not result:
            return ""
        (validation,) = result["validation_results"]
        return validation["result_url"]


class DbtDocs(BaseOperatorLink):
    """The documentation of the dbt project, for tasks that run dbt."""

    name = "dbt docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL; after a failed build it shows the documentation of the last successful one."""
        settings = Settings()
        docs = settings.links.dbt_docs
        return f"{docs}{settings.application}/" if docs and operator.environment == "dbt" else ""


class MlflowRun(BaseOperatorLink):
    """The run that a command's result gives as `experiment` and `run` in `mlflow`."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the run's page."""
        mlflow, made = Settings().links.mlflow, _made(ti_key)
        if not mlflow or "run" not in made:
            return ""
        return f"{mlflow}/#/experiments/{made['experiment']}/runs/{made['run']}{VIEW}"


class MlflowModel(BaseOperatorLink):
    """The registered model that a command's result gives as `model`, optionally with `version`, in `mlflow`."""

    name = "MLflow model"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the version's page, or of the model's."""
        mlflow, made = Settings().links.mlflow, _made(ti_key)
        if not mlflow or "model" not in made:
            return ""
        version = f"/versions/{made['version']}" if "version" in made else ""
        return f"{mlflow}/#/models/{quote(made['model'], safe='')}{version}{VIEW}"


def _made(ti_key: Any) -> dict[str, str]:
    return (_result(ti_key) or {}).get("mlflow", {})


def _result(ti_key: Any) -> dict[str, Any] | None:
    """What the task returned; a failed task may have returned something too."""
    return XCom.get_value(ti_key=ti_key, key=XCom.XCOM_RETURN_KEY)
