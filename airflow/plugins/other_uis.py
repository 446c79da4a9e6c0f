"""Add the other UIs whose addresses are set (MLOPS_LINKS__…) to Airflow's navigation."""

from airflow.plugins_manager import AirflowPlugin
from pydantic_settings import BaseSettings, SettingsConfigDict


class Links(BaseSettings):
    """Base URLs as in `pipeline.settings`, which is not where Composer's web server runs: that has plugins only."""

    model_config = SettingsConfigDict(env_prefix="MLOPS_LINKS__", frozen=True)

    mlflow: str = ""
    airbyte: str = ""
    docs: str = ""


links = Links()


class OtherUis(AirflowPlugin):
    """UIs with their own login open in a new tab, the others inside Airflow's page."""

    name = "other_uis"
    external_views = [  # noqa: RUF012 - the base class declares a list
        {"name": name, "href": base.rstrip("/") + path, "destination": "nav", **embedded}
        for name, base, path, embedded in (
            # Its view for model training; it opens in the one for GenAI otherwise.
            ("MLflow", links.mlflow, "/#/experiments?workflowType=machine_learning", {}),
            ("Data docs", links.docs, "/data-docs/", {"url_route": "data-docs"}),
            ("dbt docs", links.docs, "/dbt-docs/", {"url_route": "dbt-docs"}),
            ("Airbyte", links.airbyte, "", {}),
        )
        if base
    ]
