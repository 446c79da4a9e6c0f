"""Links from a task's page to what the task made; each is an empty string where there is nothing to show.

Airflow asks for them in the task's process when it has ended, well or not.
"""

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

from pipeline.settings import Settings


class SyncLog(BaseOperatorLink):
    """The log of the job on the Airbyte service's page."""

    name = "Sync log"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL; a job that is broken off has one too."""
        airbyte, job_id = Settings().links.airbyte, getattr(operator, "job_id", None)
        return f"{airbyte}/jobs/{job_id}/log" if airbyte and job_id else ""


class ValidationResult(BaseOperatorLink):
    """The validation result's page of the data docs."""

    name = "Validation result"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the page, unless that is a file, which is out of a browser's reach."""
        result = _result(ti_key)
        if not Settings().links.data_docs or not result:
            return ""
        (validation,) = result["validation_results"]
        return validation["result_url"]


class DbtDocs(BaseOperatorLink):
    """The documentation of the dbt project, for what runs dbt."""

    name = "dbt docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL; where a build has failed, of the one before it."""
        return (operator.environment == "dbt" and Settings().links.dbt_docs) or ""


class MlflowRun(BaseOperatorLink):
    """The run that a command's result names as `experiment` and `run` under `mlflow`."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the run's page."""
        mlflow, made = Settings().links.mlflow, _made(ti_key)
        return f"{mlflow}/#/experiments/{made['experiment']}/runs/{made['run']}" if mlflow and "run" in made else ""


class MlflowModel(BaseOperatorLink):
    """The registered model that a command's result names as `model`, and perhaps `version`, under `mlflow`."""

    name = "MLflow model"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the version's page, or of the model's."""
        mlflow, made = Settings().links.mlflow, _made(ti_key)
        if not mlflow or "model" not in made:
            return ""
        version = f"/versions/{made['version']}" if "version" in made else ""
        return f"{mlflow}/#/models/{quote(made['model'], safe='')}{version}"


def _made(ti_key: Any) -> dict[str, str]:
    return (_result(ti_key) or {}).get("mlflow", {})


def _result(ti_key: Any) -> dict[str, Any] | None:
    """What the task returned; what failed may have returned something too."""
    return XCom.get_value(ti_key=ti_key, key=XCom.XCOM_RETURN_KEY)
