"""Add the other UIs whose addresses are set (MLOPS_LINKS__…) to Airflow's navigation."""

import sys

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

# The api-server does not have the DAGs folder, which holds the settings, on its path.
sys.path.append(conf.get("core", "dags_folder"))

from pipeline.settings import Settings

links = Settings().links


class OtherUis(AirflowPlugin):
    """UIs with their own login open in a new tab, the others inside Airflow's page."""

    name = "other_uis"
    external_views = [  # noqa: RUF012 - the base class declares a list
        {"name": name, "href": href, "destination": "nav", **embedded}
        for name, href, embedded in (
            ("MLflow", links.mlflow, {}),
            ("Data docs", links.data_docs, {"url_route": "data-docs"}),
            ("dbt docs", links.dbt_docs, {"url_route": "dbt-docs"}),
            ("Airbyte", links.airbyte, {}),
        )
        if href
    ]
