"""Our Data Context: great_expectations/ with values from the settings.

Importing this module imports Great Expectations, which takes 5 s.
"""

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml
from great_expectations.data_context import FileDataContext
from great_expectations.data_context.data_context.context_factory import set_context
from great_expectations.datasource.fluent.config import GxConfig

# Importing our own expectations registers them for the suites.
from pipeline import expectations  # noqa: F401
from pipeline.settings import PROJECT, BigQuery, Postgres, Settings

if TYPE_CHECKING:
    from pipeline.bigquery import Client

ROOT = PROJECT / "great_expectations"


class DataContext(FileDataContext):
    """A Data Context whose folder holds only configuration: opening it writes nothing there.

    Attributes:
        bigquery: the client of the warehouse, if that is BigQuery.
    """

    bigquery: "Client | None" = None

    def __init__(self, configuration: str, **kwargs: Any):
        """Open a context with `configuration`, a YAML text, in place of the file."""
        self._configuration = configuration
        super().__init__(project_config=yaml.safe_load(configuration), **kwargs)

    def _scaffold_project(self) -> None:
        """Do not create the folders and files that a file context usually adds to its configuration."""

    def _load_fluent_config(self, config_provider: Any) -> GxConfig:
        """The data sources."""
        config = GxConfig.parse_yaml(self._configuration)
        for datasource in config.datasources:
            datasource._data_context = self
        return config


def open_context() -> DataContext:
    """Open great_expectations/ with our settings as its variables and make it the context of this process."""
    settings = Settings()
    variables, warehouse = {"MLOPS_VAR": str(settings.var)}, settings.warehouse
    configuration = yaml.safe_load((ROOT / DataContext.GX_YML).read_text())
    _add_tables(configuration["fluent_datasources"]["warehouse"], settings)
    variables["MLOPS_APPLICATION"] = settings.application
    if isinstance(warehouse, Postgres):
        address = warehouse.model_dump() | {"password": warehouse.password.get_secret_value()}
        # Parts of a URL.
        variables |= {f"MLOPS_WAREHOUSE__{name.upper()}": quote(str(part), safe="") for name, part in address.items()}
    elif warehouse:
        _use_bigquery(configuration["fluent_datasources"]["warehouse"], warehouse)
    if settings.bucket:
        _use_bucket(configuration, f"{settings.bucket}/great_expectations", settings.application)
    context = DataContext(yaml.safe_dump(configuration), context_root_dir=ROOT, runtime_environment=variables)
    if isinstance(warehouse, BigQuery):
        # Google's libraries take a second to import.
        from pipeline import bigquery

        context.bigquery = bigquery.connect(warehouse)
    set_context(context)
    return context


def _add_tables(datasource: dict[str, Any], settings: Settings) -> None:
    """Add the tables of the application to the data source as assets."""
    built = (settings.labeled, settings.to_predict)
    tables = {name: ("raw", {"file": source.file}) for name, source in settings.sources.items()}
    tables |= {name: ("candidate", {}) for name in built}
    datasource["assets"] = {
        name: {
            "type": "table",
            "schema_name": f"{settings.prefix}{schema}",
            "table_name": name,
            # Which of the source's files is loaded into the table; messages name it.
            "batch_metadata": metadata,
            "batch_definitions": {"all": {"id": _id(f"batch {name}")}},
            "id": _id(f"asset {name}"),
        }
        for name, (schema, metadata) in tables.items()
    }


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _use_bigquery(datasource: dict[str, Any], warehouse: BigQuery) -> None:
    """Change the configuration of the data source from PostgreSQL to BigQuery; its assets stay the same."""
    datasource["type"] = "bigquery"
    datasource["connection_string"] = (
        f"bigquery://{warehouse.project}?location={warehouse.location}&user_supplied_client=true"
    )
    for asset in datasource["assets"].values():
        asset["schema_name"] = warehouse.prefix + asset["schema_name"]


def _use_bucket(configuration: dict[str, Any], root: str, application: str) -> None:
    """Change the configuration so that results and their pages are in a bucket."""
    backend = {
        "module_name": "pipeline.bucket_store",
        "class_name": "BucketStoreBackend",
        "suppress_store_backend_id": True,
    }
    configuration["stores"]["validation_results_store"]["store_backend"] = {
        **backend,
        "root": f"{root}/validations/{application}",
    }
    configuration["data_docs_sites"]["local_site"]["store_backend"] = {
        **backend,
        "root": f"{root}/data_docs/{application}",
    }
