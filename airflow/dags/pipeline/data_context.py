"""Our Data Context: great_expectations/ with values from the settings.

Importing this module imports Great Expectations, which takes 5 s.
"""

import functools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml
from great_expectations.data_context import FileDataContext, store
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


# The class must have this name: without a store of this name, Great Expectations uses its own instead of ours.
class ExpectationsStore(store.ExpectationsStore):
    """Loads suites from disk and replaces their parameters by our settings.

    `{"$PARAMETER": "checks.min_tags"}` becomes the value of that setting; an expectation whose parameter is null is
    left out. This happens while loading, since the operator runs a checkpoint without parameters, and a suite that is
    changed after loading cannot be run. A parameter without a dot is no setting: it comes with the file to check.
    """

    @functools.cached_property
    def _settings(self) -> Settings:
        """Read once: a run of a checkpoint loads its suite eleven times."""
        return Settings()

    def deserialize(self, value: str) -> dict[str, Any]:
        """Read a suite.

        Raises:
            AttributeError: a parameter is not the name of a setting; the message says which.
        """
        suite, settings = json.loads(value), self._settings
        for expectation in suite["expectations"]:
            expectation["kwargs"] = {name: _bound(kwarg, settings) for name, kwarg in expectation["kwargs"].items()}
        suite["expectations"] = [each for each in suite["expectations"] if None not in each["kwargs"].values()]
        return super().deserialize(suite)


def open_context() -> DataContext:
    """Open great_expectations/ with our settings as its variables and make it the context of this process."""
    settings = Settings()
    variables, warehouse = {"MLOPS_VAR": str(settings.var)}, settings.warehouse
    configuration = yaml.safe_load((ROOT / DataContext.GX_YML).read_text())
    if isinstance(warehouse, Postgres):
        address = warehouse.model_dump() | {"password": warehouse.password.get_secret_value()}
        # Parts of a URL.
        variables |= {f"MLOPS_WAREHOUSE__{name.upper()}": quote(str(part), safe="") for name, part in address.items()}
    elif warehouse:
        _use_bigquery(configuration["fluent_datasources"]["warehouse"], warehouse)
    if settings.bucket:
        _use_bucket(configuration, f"{settings.bucket}/great_expectations")
    context = DataContext(yaml.safe_dump(configuration), context_root_dir=ROOT, runtime_environment=variables)
    if isinstance(warehouse, BigQuery):
        # Google's libraries take a second to import.
        from pipeline import bigquery

        context.bigquery = bigquery.connect(warehouse)
    set_context(context)
    return context


def _use_bigquery(datasource: dict[str, Any], warehouse: BigQuery) -> None:
    """Change the configuration of the data source from PostgreSQL to BigQuery; its assets stay the same."""
    datasource["type"] = "bigquery"
    datasource["connection_string"] = (
        f"bigquery://{warehouse.project}?location={warehouse.location}&user_supplied_client=true"
    )
    for asset in datasource["assets"].values():
        asset["schema_name"] = warehouse.prefix + asset["schema_name"]


def _use_bucket(configuration: dict[str, Any], root: str) -> None:
    """Change the configuration so that results and their pages are in a bucket."""
    backend = {
        "module_name": "pipeline.bucket_store",
        "class_name": "BucketStoreBackend",
        "suppress_store_backend_id": True,
    }
    configuration["stores"]["validation_results_store"]["store_backend"] = {**backend, "root": f"{root}/validations"}
    configuration["data_docs_sites"]["local_site"]["store_backend"] = {**backend, "root": f"{root}/data_docs"}


def _bound(kwarg: Any, settings: Settings) -> Any:
    if not isinstance(kwarg, dict) or "." not in kwarg.get("$PARAMETER", ""):
        return kwarg
    value = functools.reduce(getattr, kwarg["$PARAMETER"].split("."), settings)
    return list(value) if isinstance(value, tuple) else value
