"""The service's settings: the only place that reads the environment."""

import hmac
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

ROOT = Path(__file__).resolve().parents[2]

# Relative to the root of the repository.
RootedPath = Annotated[Path, AfterValidator(lambda path: ROOT / path)]
Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(Exception):
    """Settings are missing or invalid; the message names each of them."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Database(_Section):
    """The PostgreSQL database of the service's configuration and jobs."""

    host: str
    port: Port
    database: str
    user: str
    password: SecretStr

    def conninfo(self) -> dict[str, str | int]:
        """Keyword arguments of `psycopg.connect`."""
        password = self.password.get_secret_value()
        return {"host": self.host, "port": self.port, "dbname": self.database, "user": self.user, "password": password}


class Postgres(BaseModel):
    """PostgreSQL is the warehouse; its address is in the declaration."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["postgres"] = "postgres"


class BigQuery(_Section):
    """How the BigQuery destination works here; what it loads into, the declaration says."""

    type: Literal["bigquery"]
    project: str
    location: str
    prefix: str = ""
    maximum_bytes_billed: int = Field(ge=1, description="Bytes that a query may read; BigQuery refuses a larger one.")
    job_timeout: int = Field(ge=1, description="Seconds after which a query or a load job is ended.")
    keyfile: Path | None = Field(None, description="Key of a service account; otherwise the default credentials.")
    impersonate: str | None = Field(None, description="E-mail address of the service account to act as.")
    labels: dict[str, str] = Field({}, description="Of every job and dataset.")
    # For other readers.
    storage_api: str | None = None


class Airbyte(_Section):
    """Settings of the service itself."""

    host: str = "127.0.0.1"
    port: Port
    database: Database
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    # HS256 requires a key as long as its hash, 32 bytes (RFC 7518, 3.2).
    signing_key: SecretStr = Field(min_length=32)
    # The declaration, which `make airbyte-apply` applies through the API.
    connections: RootedPath
    connectors: RootedPath
    job_timeout: int = Field(ge=1, description="Seconds after which a sync is ended and fails.")
    check_timeout: int = Field(ge=1, description="Seconds after which a connector's check or discover is ended.")
    attempts: int = Field(ge=1, description="How often a sync is tried, unless another attempt would not help.")

    def is_client(self, client_id: str, client_secret: str) -> bool:
        """Whether these are the credentials of the client; compares in constant time."""
        same_id = hmac.compare_digest(client_id.encode(), self.client_id.encode())
        secret = self.client_secret.get_secret_value()
        return hmac.compare_digest(client_secret.encode(), secret.encode()) and same_id


class Runner(BaseModel):
    """Location of the virtual environments, including that of uv."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    root: Path = ROOT / "var" / "env"


class Settings(BaseSettings):
    """Values of MLOPS_… variables, and of the merged configuration file for all others."""

    model_config = SettingsConfigDict(env_prefix="MLOPS_", env_nested_delimiter="__", frozen=True, extra="ignore")

    var: Path
    warehouse: Annotated[Postgres | BigQuery, Field(discriminator="type")] = Postgres()
    airbyte: Airbyte
    runner: Runner = Runner()

    @property
    def connector_files(self) -> Path:
        """Folder of the connectors' files; emptied when the service starts."""
        return self.var.resolve() / "airbyte"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment variables take precedence over the YAML files, of which a later one counts more."""
        named = os.environ.get("MLOPS_CONFIG", str(ROOT / "config" / "base.yaml"))
        files = named.replace("{application}", os.environ.get("MLOPS_APPLICATION", "")).split(os.pathsep)
        merged = YamlConfigSettingsSource(settings_cls, yaml_file=files, deep_merge=True)
        return init_settings, env_settings, merged


def load() -> Settings:
    """The settings of this process; raises SettingsError."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(f"{_variable(each['loc'])}: {each['msg']}" for each in error.errors())) from None


def _variable(location: tuple[int | str, ...]) -> str:
    # Pydantic puts the type of a warehouse behind `warehouse`, where it is no part of a name.
    parts = [str(part).upper() for part in location if part not in ("postgres", "bigquery")]
    return f"MLOPS_{'__'.join(parts)}"


def connector_environment(run: str, folder: Path, *, is_ours: bool) -> dict[str, str]:
    """Environment of a connector's process: variables for files and the network, but no settings or secrets.

    `run` marks the process and everything it starts. `folder` is for its temporary files.
    """
    given = {name: value for name, value in os.environ.items() if _CONNECTOR.fullmatch(name)}
    if is_ours and "PYTHONPATH" in os.environ:
        given["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return {**given, **SILENCE, RUN_VARIABLE: run, "TMPDIR": str(folder)}


def installer_environment(run: str) -> dict[str, str]:
    """Environment of uv and docker: their own variables and those for the network, but no secrets of ours."""
    ours = {name: value for name, value in os.environ.items() if _INSTALLER.fullmatch(name)}
    return {**ours, "UV_PYTHON_DOWNLOADS": "never", RUN_VARIABLE: run}


RUN_VARIABLE = "AIRBYTE_LOCAL_RUN"
# A library in connectors made with Airbyte's CDK sends usage data unless these are set.
SILENCE = {"DO_NOT_TRACK": "1", "LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
_PROGRAM = "XDG_.*|HOME|PATH|TMPDIR|SSL_CERT_.*|(http|https|all|no)_proxy"
_INSTALLER = re.compile(f"UV_.*|DOCKER_.*|{_PROGRAM}", re.IGNORECASE)
# The last ones limit memory, and keep the run id visible if a process changes its title.
_CONNECTOR = re.compile(
    f"{_PROGRAM}|LANG|LC_.*|TZ|USER|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|MALLOC_.*|ARROW_.*|SPT_NOENV", re.IGNORECASE
)
