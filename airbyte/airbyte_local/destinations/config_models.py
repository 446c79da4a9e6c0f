"""Configurations of destinations, with the field names that Airbyte uses."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from airbyte_local.configuration import Fault


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SslMode(_Section):
    """Whether the connection is encrypted, as in libpq; certificates are not verified."""

    mode: Literal["disable", "allow", "prefer", "require"]


class Tunnel(_Section):
    """SSH tunnels are not supported."""

    tunnel_method: Literal["NO_TUNNEL"]


class PostgresConfiguration(_Section):
    """The fields of Airbyte's PostgreSQL destination, including those that have no effect here."""

    destination_type: Literal["postgres"] = Field(alias="destinationType")
    host: str = Field(min_length=1)
    port: int = Field(5432, ge=1, le=65535)
    database: str = Field(min_length=1)
    username: str = Field(min_length=1)
    password: SecretStr = SecretStr("")
    # Schema of tables whose stream has no namespace.
    schema_: str = Field("public", alias="schema", min_length=1)
    ssl: bool = False
    ssl_mode: SslMode | None = None
    tunnel_method: Tunnel | None = None
    disable_type_dedupe: Literal[False] = False
    drop_cascade: Literal[False] = False
    # Has no effect: a numeric column holds any number.
    unconstrained_number: bool = False

    @property
    def sslmode(self) -> str:
        """The value of libpq's sslmode."""
        return self.ssl_mode.mode if self.ssl_mode else ("require" if self.ssl else "prefer")


class LoadingMethod(_Section):
    """How rows reach BigQuery: load jobs that upload the files, without a bucket."""

    method: Literal["Standard"] = "Standard"


class BigQueryConfiguration(_Section):
    """The fields of Airbyte's BigQuery destination that this service supports."""

    destination_type: Literal["bigquery"] = Field(alias="destinationType")
    project_id: str = Field(min_length=1)
    dataset_id: str = Field(min_length=1)
    dataset_location: str = Field(min_length=1)
    # JSON key of a service account; None: the default credentials of the environment.
    credentials_json: SecretStr | None = None
    loading_method: LoadingMethod = LoadingMethod()


Configuration = PostgresConfiguration | BigQueryConfiguration
CONFIGURATIONS: dict[str, type[Configuration]] = {"postgres": PostgresConfiguration, "bigquery": BigQueryConfiguration}


def faults(configuration: dict[str, Any]) -> list[Fault]:
    """Errors of a configuration, field by field; messages contain no values."""
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
    """JSON schema of the configuration of a destination type."""
    return CONFIGURATIONS[kind].model_json_schema()


def parse(configuration: dict[str, Any]) -> Configuration:
    """Parse a valid configuration."""
    return CONFIGURATIONS[configuration["destinationType"]].model_validate(configuration)
