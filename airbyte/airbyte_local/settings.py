"""The service's settings: the only place that reads the environment."""

import hmac
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

ROOT = Path(__file__).resolve().parents[2]

# A relative path starts at the repository's root.
RootedPath = Annotated[Path, AfterValidator(lambda path: ROOT / path)]
Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(Exception):
    """Settings are missing or wrong; the message names each."""


class Warehouse(BaseModel):
    """The PostgreSQL database that also keeps the service's jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["postgres"]
    host: str
    port: Port
    database: str
    user: str
    password: SecretStr

    def conninfo(self) -> dict[str, str | int]:
        """Keyword arguments of `psycopg.connect`."""
        password = self.password.get_secret_value()
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": password,
        }


class Airbyte(BaseModel):
    """The service itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Port
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    # HS256 asks for a key as long as its hash, 32 bytes (RFC 7518, 3.2).
    signing_key: SecretStr = Field(min_length=32)
    # The declaration; the service itself gets what is in it through its API.
    connections: RootedPath
    connectors: RootedPath
    job_timeout: int = Field(ge=1, description="Seconds after which a sync is ended and fails.")
    check_timeout: int = Field(ge=1, description="Seconds after which a connector that is asked something is ended.")
    attempts: int = Field(ge=1, description="How often a sync is tried, where what fails may pass by itself.")

    def is_client(self, client_id: str, client_secret: str) -> bool:
        """Whether these are the credentials of the one client; takes as long for wrong ones as for the right ones."""
        same_id = hmac.compare_digest(client_id.encode(), self.client_id.encode())
        secret = self.client_secret.get_secret_value()
        return hmac.compare_digest(client_secret.encode(), secret.encode()) and same_id


class Runner(BaseModel):
    """Where the environments are, uv among them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    root: Path


class Settings(BaseSettings):
    """MLOPS_… variables over the merged configuration file."""

    model_config = SettingsConfigDict(env_prefix="MLOPS_", env_nested_delimiter="__", frozen=True, extra="ignore")

    var: Path
    warehouse: Warehouse
    airbyte: Airbyte
    runner: Runner = Runner(root=ROOT / "var" / "env")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment variables before the YAML file, and nothing else."""
        file = os.environ.get("MLOPS_CONFIG", ROOT / "config" / "base.yaml")
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file)


def load() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: names every environment variable that is missing or has a value that is not allowed.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"MLOPS_{'__'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("; ".join(wrong)) from None


def connector_environment(run: str, folder: Path, *, is_ours: bool) -> dict[str, str]:
    """Environment of a connector's process: how it reaches files and the network; no settings or secrets of anybody.

    Args:
        run: id that marks the process and everything it starts.
        folder: for temporary files; what a killed connector leaves there, such as its configuration, goes with it.
        is_ours: whether it is a module beside this one.
    """
    given = {name: value for name, value in os.environ.items() if _CONNECTOR.fullmatch(name)}
    if is_ours and "PYTHONPATH" in os.environ:
        given["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return {**given, **SILENCE, RUN_VARIABLE: run, "TMPDIR": str(folder)}


def installer_environment(run: str) -> dict[str, str]:
    """Environment of uv and docker: where their things are, and how the network is reached; no secrets of ours.

    Args:
        run: id that marks the process.
    """
    ours = {name: value for name, value in os.environ.items() if _INSTALLER.fullmatch(name)}
    return {**ours, "UV_PYTHON_DOWNLOADS": "never", RUN_VARIABLE: run}


RUN_VARIABLE = "AIRBYTE_LOCAL_RUN"
# Connectors made with Airbyte's kit carry a library that reports to its maker where it is told to.
SILENCE = {"DO_NOT_TRACK": "1", "LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
_PROGRAM = "XDG_.*|HOME|PATH|TMPDIR|SSL_CERT_.*|(http|https|all|no)_proxy"
_INSTALLER = re.compile(f"UV_.*|DOCKER_.*|{_PROGRAM}", re.IGNORECASE)
# The last ones keep memory small, and our mark on a process that sets its title.
_CONNECTOR = re.compile(
    f"{_PROGRAM}|LANG|LC_.*|TZ|USER|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|MALLOC_.*|ARROW_.*|SPT_NOENV", re.IGNORECASE
)
