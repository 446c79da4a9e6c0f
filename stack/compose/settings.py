"""Settings of the container place: `.env`, config/base.yaml, and secrets in a volume."""

import difflib
import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from dotenv.parser import parse_stream
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from stack import places, settings
from stack.settings import ROOT, ConfigError, Port

# The repository on the host, read-only: its `.env` is checked here, since Compose accepts unknown names.
CLONE = Path("/clone")
SECRETS = Path("/var/lib/mlops-secrets")
# Where the source's files are mounted.
SOURCE = "/source"
# Names in `.env` that belong to other programs.
FOREIGN = re.compile(r"(COMPOSE|DOCKER|BUILDKIT|BUILDX)_\w+|(https?|no|all)_proxy", re.IGNORECASE)
# Where services listen inside their containers.
PORTS = {"airflow": 8080, "mlflow": 5000, "airbyte": 8001, "postgres": 5432, "docs": 8088}


class Environment(BaseModel):
    """The settings of `.env`; `.env.example` explains them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    applications: str = ""
    source_folder: str = "./data/sample"
    source_url: AnyHttpUrl | None = None

    airflow_port: Port = 8080
    mlflow_port: Port = 5000
    airbyte_port: Port = 8001
    docs_port: Port = 8088

    postgres_host: str | None = None
    postgres_port: int = Field(5432, ge=1, le=65535)
    postgres_user: str = "postgres"
    postgres_password: SecretStr | None = None

    airbyte_url: AnyHttpUrl | None = None
    airbyte_client_id: str | None = None
    airbyte_client_secret: SecretStr | None = None

    mlflow_url: AnyHttpUrl | None = None
    mlflow_username: str | None = None
    mlflow_password: SecretStr | None = None

    docker_socket: str | None = None
    docker_group: int | None = Field(None, ge=0)

    # Read by Compose alone.
    build_certificates: str = ""
    build_pip_conf: str = ""

    @model_validator(mode="after")
    def _credentials(self) -> "Environment":
        """An external service needs its login."""
        if self.postgres_host and not self.postgres_password:
            raise ValueError("POSTGRES_HOST needs POSTGRES_PASSWORD")
        if self.airbyte_url and not (self.airbyte_client_id and self.airbyte_client_secret):
            raise ValueError("AIRBYTE_URL needs AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET")
        if bool(self.mlflow_username) != bool(self.mlflow_password):
            raise ValueError("MLFLOW_USERNAME and MLFLOW_PASSWORD go together")
        if bool(self.docker_socket) != (self.docker_group is not None):
            raise ValueError("DOCKER_SOCKET and DOCKER_GROUP go together")
        ports = [self.airflow_port, self.mlflow_port, self.airbyte_port, self.docs_port]
        if len(set(ports)) < len(ports):
            raise ValueError("AIRFLOW_PORT, MLFLOW_PORT, AIRBYTE_PORT and DOCS_PORT must differ")
        return self


class Settings(settings.Settings):
    """The container stack, seen from inside one of its containers; `environment` is what `.env` says."""

    # A container's own network; only what Compose publishes is seen outside, on the host's 127.0.0.1.
    listens_at: ClassVar[str] = "0.0.0.0"  # noqa: S104

    place: str = "compose"
    environment: Environment

    @property
    def config_files(self) -> list[Path]:
        """Mounted, so that an edit is seen at once."""
        return [places.BASE, places.APPLICATIONS / "{application}.yaml", places.path(self.place)]

    @property
    def mounted_source(self) -> str:
        """The one source of all applications: the folder that is mounted, or a URL."""
        return self.config["source"]

    @property
    def passwords_file(self) -> Path:
        """In the volume that only Airflow sees."""
        return Path("/run/mlops/passwords.json")

    def url(self, service: str) -> str:
        """Base URL of a service, for the stack's own containers."""
        elsewhere = self._elsewhere(service)
        host = "airflow-api-server" if service == "airflow" else service
        return elsewhere or f"http://{host}:{getattr(self.ports, service)}"

    def link(self, service: str) -> str:
        """Base URL of a service for a browser."""
        return self._elsewhere(service) or f"http://localhost:{getattr(self.environment, f'{service}_port')}"

    @property
    def airbyte_client_id(self) -> str:
        """Id of Airflow's client in Airbyte; its secret is `airbyte_client_secret`."""
        return self.environment.airbyte_client_id or super().airbyte_client_id

    @property
    def mlflow_user(self) -> str | None:
        """MLflow's user, whose password is `mlflow_admin`; None: it needs no login."""
        return self.environment.mlflow_username if self.environment.mlflow_url else "admin"

    def server(self) -> dict[str, Any]:
        """Host and port of PostgreSQL."""
        if self.environment.postgres_host:
            return {"host": self.environment.postgres_host, "port": self.environment.postgres_port}
        return {"host": "postgres", "port": self.ports.postgres}

    def superuser(self) -> dict[str, Any]:
        """Login of the user who may create databases and roles: host, port, user and password."""
        elsewhere = self.environment.postgres_host
        user = self.environment.postgres_user if elsewhere else "postgres"
        given = self.environment.postgres_password
        password = given.get_secret_value() if elsewhere and given else self.secrets["postgres"]
        return {**self.server(), "user": user, "password": password}

    def _elsewhere(self, service: str) -> str | None:
        url = {"airbyte": self.environment.airbyte_url, "mlflow": self.environment.mlflow_url}.get(service)
        return str(url).rstrip("/") if url else None


def load(var: Path, application: str | None = None) -> Settings:
    """Read the settings of this container, where the volume of all data is `var`; missing secrets are created.

    `application` is the one that the command is about; None: the first.

    Raises:
        ConfigError: a setting is misspelt or impossible; the message names it.
    """
    environment = environment_of(CLONE / ".env", os.environ)
    others = _names_of_connections()
    written = _written(CLONE / ".env").items()
    os.environ.update({name: value for name, value in written if name in others and value is not None})
    configs = configs_of(environment)
    for config in configs.values():
        config["source"] = str(environment.source_url).rstrip("/") if environment.source_url else SOURCE
        settings.require(config, "config/base.yaml")
        require_engine(config, environment)
    name = application or next(iter(configs))
    if name not in configs:
        raise ConfigError(f"APPLICATION={name} is none of the applications here: {', '.join(configs)}")
    known = settings.made_secrets(SECRETS / "secrets.json")
    elsewhere = {
        "airbyte_client_secret": environment.airbyte_client_secret,
        "mlflow_admin": environment.mlflow_password,
    }
    known |= {name: secret.get_secret_value() for name, secret in elsewhere.items() if secret}
    return Settings(var=var, config=configs[name], configs=configs, ports=PORTS, secrets=known, environment=environment)


def configs_of(environment: Environment) -> dict[str, dict[str, Any]]:
    """The merged config of each application that `.env` or config/ names."""
    named = [name.strip() for name in environment.applications.split(",") if name.strip()]
    return places.configs("compose", {"applications": named} if named else None)


def images_of_tasks(config: dict[str, Any]) -> set[str]:
    """The images of the tasks that run in containers of their own; none if no task does."""
    runner = config["runner"]
    each = [{}, *runner["tasks"].values()]
    return {own.get("image") or runner["image"] for own in each if (own.get("type") or runner["type"]) == "docker"}


def require_engine(config: dict[str, Any], environment: Environment) -> None:
    """Raise a ConfigError if tasks run in containers of their own, and Airflow does not get the engine for them."""
    if images_of_tasks(config) and not environment.docker_socket:
        raise ConfigError(
            "runner.type docker: Airflow needs Docker's engine for it: set DOCKER_SOCKET and DOCKER_GROUP in .env"
            " (docs/compose.md says what this allows), or runner.type to venv"
        )


def environment_of(file: Path, given: Mapping[str, str]) -> Environment:
    """The settings of `.env`, if there is one, and of the caller's or the container's variables, which override it.

    Raises:
        ConfigError: a setting is misspelt or impossible; the message names it.
    """
    written = _written(file)
    known = {name.upper(): name for name in Environment.model_fields}
    _require_known(written, known)
    values = {**written, **given}
    try:
        # Compose takes the default for an empty value too, and passes one for a variable that is not set.
        return Environment.model_validate({known[name]: values[name] for name in known if values.get(name)})
    except ValidationError as error:
        problems = dict.fromkeys(_told(each) for each in error.errors())
        raise ConfigError(f".env: {'; '.join(problems)}") from None


def _written(file: Path) -> dict[str, str | None]:
    """The names in `.env`, each with its value; None: it has none."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise ConfigError(".env cannot be read by the containers' user: `chmod a+r .env`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f".env cannot be read: {error}") from None
    bindings = list(parse_stream(io.StringIO(text)))
    for binding in bindings:
        if binding.error:
            # Without the text, which may hold a password.
            raise ConfigError(f".env: line {binding.original.line} is not NAME=value, or a quote is missing")
    # Single quotes work as in Compose; elsewhere Compose has filled in variables before.
    return {binding.key: binding.value for binding in bindings if binding.key}


def _require_known(written: Iterable[str], ours: Iterable[str]) -> None:
    others = _names_of_connections()
    wrong = []
    for name in written:
        if name not in ours and name not in others and not FOREIGN.fullmatch(name):
            near = difflib.get_close_matches(name.upper(), [*ours, *others], n=1)
            wrong.append(f"there is no setting {name}{f' (did you mean {near[0]}?)' if near else ''}")
    if wrong:
        raise ConfigError(f".env: {'; '.join(wrong)}; .env.example lists all: {', '.join(ours)}")


def _names_of_connections() -> set[str]:
    """Names of variables in the declaration of Airbyte's connections, which `.env` may set too."""
    declared = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "airbyte").glob("connections*.yaml"))
    return set(re.findall(r"\$\{(\w+)", declared))


def _told(error: Mapping[str, Any]) -> str:
    """An error of pydantic with the name as in `.env`, and without the value of a secret."""
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    name = error["loc"][0].upper()
    value = "" if "PASSWORD" in name or "SECRET" in name else f", not {error['input']!r}"
    return f"{name}: {error['msg']}{value}"
