"""The destinations that this service knows, by Airbyte's names."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from airbyte_local.configuration import Fault
from airbyte_local.destination import Destination


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SslMode(_Section):
    """How much of the connection is encrypted, as libpq has it; certificates are not looked at."""

    mode: Literal["disable", "allow", "prefer", "require"]


class Tunnel(_Section):
    """None is made."""

    tunnel_method: Literal["NO_TUNNEL"]


class PostgresConfiguration(_Section):
    """The fields of Airbyte's PostgreSQL destination, those that change nothing here among them."""

    destination_type: Literal["postgres"] = Field(alias="destinationType")
    host: str = Field(min_length=1)
    port: int = Field(5432, ge=1, le=65535)
    database: str = Field(min_length=1)
    username: str = Field(min_length=1)
    password: SecretStr = SecretStr("")
    # Of tables without a namespace of their own.
    schema_: str = Field("public", alias="schema", min_length=1)
    ssl: bool = False
    ssl_mode: SslMode | None = None
    tunnel_method: Tunnel | None = None
    disable_type_dedupe: Literal[False] = False
    drop_cascade: Literal[False] = False
    # A numeric column holds any number.
    unconstrained_number: bool = False

    @property
    def sslmode(self) -> str:
        """As libpq has it."""
        return self.ssl_mode.mode if self.ssl_mode else ("require" if self.ssl else "prefer")


class LoadingMethod(_Section):
    """How rows reach BigQuery: load jobs that are sent the files, without a bucket between."""

    method: Literal["Standard"] = "Standard"


class BigQueryConfiguration(_Section):
    """The fields of Airbyte's BigQuery destination that this service knows."""

    destination_type: Literal["bigquery"] = Field(alias="destinationType")
    project_id: str = Field(min_length=1)
    dataset_id: str = Field(min_length=1)
    dataset_location: str = Field(min_length=1)
    # The content of a service account's key; None: the default credentials of where the service runs.
    credentials_json: SecretStr | None = None
    loading_method: LoadingMethod = LoadingMethod()


Configuration = PostgresConfiguration | BigQueryConfiguration
CONFIGURATIONS: dict[str, type[Configuration]] = {"postgres": PostgresConfiguration, "bigquery": BigQueryConfiguration}


def faults(configuration: dict[str, Any]) -> list[Fault]:
    """What is wrong with a configuration, field by field; no message has a value."""
    kind = configuration.get("destinationType")
    if not isinstance(kind, str) or kind not in CONFIGURATIONS:
        return [Fault("configuration.destinationType", f"must be one of {', '.join(CONFIGURATIONS)}")]
    try:
        parse(configuration)
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        return [Fault(".".join(map(str, ("configuration", *each["loc"]))), each["msg"]) for each in found]
    return []


def schema(kind: str) -> dict[str, Any]:
    """JSON schema of a kind's configuration."""
    return CONFIGURATIONS[kind].model_json_schema()


def parse(configuration: dict[str, Any]) -> Configuration:
    """A configuration without faults."""
    return CONFIGURATIONS[configuration["destinationType"]].model_validate(configuration)


def open_destination(configuration: Configuration, *, sync_id: int) -> Destination:
    """Connect to a destination; see the class that is made.

    Args:
        configuration: of the destination.
        sync_id: number of the job, which every row's metadata bears.
    """
    # Imported when needed: Google's libraries take 0.7 s and 40 MB.
    if isinstance(configuration, BigQueryConfiguration):
        from airbyte_local.bigquery import BigQueryDestination

        return BigQueryDestination(configuration, sync_id=sync_id)
    from airbyte_local.postgres import PostgresDestination

    return PostgresDestination(configuration, sync_id=sync_id)
