"""The other UIs in the navigation of Airflow's page: those whose addresses are set (MLOPS_LINKS__…)."""

import sys

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

# The settings are beside the DAGs, where the api-server does not look.
sys.path.append(conf.get("core", "dags_folder"))

from pipeline.settings import Settings

links = Settings().links


class OtherUis(AirflowPlugin):
    """What has a login of its own opens in a tab of its own, the rest inside Airflow's page."""

    name = "other_uis"
    external_views = tuple(
        {"name": name, "href": href, "destination": "nav", **embedded}
        for name, href, embedded in (
            ("MLflow", links.mlflow, {}),
            ("Data docs", links.data_docs, {"url_route": "data-docs"}),
            ("dbt docs", links.dbt_docs, {"url_route": "dbt-docs"}),
            ("Airbyte", links.airbyte, {}),
        )
        if href
    )
