"""Settings of the launcher, and what all places share: secrets, reading of config files."""

import hashlib
import json
import os
import secrets
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import quote

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

import airbyte_local.settings
import pipeline.settings
from pipeline.settings import Application
from stack import strict_yaml
from stack.home.folders import FOLDERS

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / "var" / "env"
# Variables of the caller for these programs must not reach the stack's processes.
FOREIGN_PREFIXES = (
    *("AIRFLOW", "AIRBYTE", "DBT_", "GX_", "MLFLOW", "MLOPS_", "OPTUNA", "PG", "PYTHON", "VIRTUAL_ENV"),
    # Otherwise runs with a real account would end in an emulator.
    *("BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"),
)
SECRET_NAMES = (
    *("postgres", "airflow", "mlflow", "optuna", "warehouse"),
    *("admin", "api_secret_key", "jwt_secret", "airbyte_client_secret", "airbyte_signing_key"),
    *("mlflow_admin", "mlflow_secret_key"),
)

Port = Annotated[int, Field(ge=1024, le=65535)]


class ConfigError(Exception):
    """A setting is wrong; the message names file, setting and remedy."""


class Ports(BaseModel):
    """TCP ports on 127.0.0.1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    airflow: Port
    mlflow: Port
    airbyte: Port
    postgres: Port
    docs: Port
    # Of the emulators of Google's services; `bigquery_storage` is BigQuery's Storage Read API.
    bigquery: Port | None = None
    bigquery_storage: Port | None = None
    storage: Port | None = None


class Model(BaseModel):
    """The registered model."""

    name: str


class Launcher(BaseModel):
    """The part of the config that the launcher itself reads."""

    package: str
    model: Model
    # URL of an MLflow server elsewhere; "": the stack's own.
    mlflow: str = Field(pattern="^(https?://.+)?$")
    # Columns that differ between any two runs.
    run_columns: list[str]


class Settings(BaseModel):
    """One instance of the stack, without Docker unless a subclass says otherwise.

    Attributes:
        place: name of a file of config/places.
        var: folder that everything is written to.
        config: of the application that a command is about: config/base.yaml, the application's file, the place's and
            the user's, merged.
        configs: of all applications whose graphs Airflow has, by name.
        secrets: password or key by name, made on this machine.
    """

    model_config = ConfigDict(frozen=True)

    # Where services listen.
    listens_at: ClassVar[str] = "127.0.0.1"

    place: str = "embedded"
    var: Path
    config: dict[str, Any]
    configs: dict[str, dict[str, Any]] = {}
    ports: Ports
    secrets: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _with_configs(cls, given: dict[str, Any]) -> dict[str, Any]:
        config = given["config"]
        return given | {"configs": given.get("configs", {}) | {config["application"]: config}}

    @property
    def config_files(self) -> list[Path]:
        """The config files that every process of the stack reads, as MLOPS_CONFIG lists them."""
        # Not laid over another application's: names of its files and columns would be added to these.
        return [self.var / "applications" / "{application}.yaml"]

    @property
    def mounted_source(self) -> str | None:
        """The one source of all applications, whatever their config says; None: each has its own."""
        return None

    @property
    def application(self) -> str:
        """Name of the application that a command is about."""
        return self.config["application"]

    def changed(self, **settings: Any) -> Self:
        """The same with other values of top-level settings of the application that a command is about."""
        return type(self).model_validate(self._fields() | {"config": self.config | settings})

    def changed_for_all(self, **settings: Any) -> Self:
        """The same with other values of top-level settings of all applications."""
        configs = {name: config | settings for name, config in self.configs.items()}
        return type(self).model_validate(self._fields() | {"config": self.config | settings, "configs": configs})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    @property
    def artifacts(self) -> str:
        """Root of the artifacts: a folder or the URL of a bucket's folder; an application has a folder there."""
        return self.config["artifacts"] or str(self.var / "artifacts")

    @property
    def emulator_key(self) -> Path:
        """Key file of a service account that only the emulators accept."""
        return self.var / "emulators" / "key.json"

    @property
    def tables(self) -> dict[str, dict[str, str]]:
        """The tables of the application that the launcher counts and compares: those `loaded`, and the `published`."""
        return Application(**self.config).tables

    @property
    def dataops(self) -> str:
        """Id of the application's DAG dataops."""
        return self._dag("dataops")

    @property
    def mlops(self) -> str:
        """Id of the application's DAG mlops."""
        return self._dag("mlops")

    def _dag(self, name: str) -> str:
        return f"{name}{Application(**self.config).suffix}"

    @property
    def is_emulated(self) -> bool:
        """Whether Google's services are emulated on this machine."""
        return self.ports.bigquery is not None

    @property
    def passwords_file(self) -> Path:
        """The passwords of Airflow's users."""
        return self.var / "airflow" / "passwords.json"

    @property
    def airbyte_client_id(self) -> str:
        """Id of Airflow's client in Airbyte; its secret is `airbyte_client_secret`."""
        return "airflow"

    @property
    def mlflow_user(self) -> str | None:
        """MLflow's user, whose password is `mlflow_admin`; None: it needs no login."""
        return None

    def url(self, service: str) -> str:
        """Base URL of a service by its name in `ports`, for the stack's own processes."""
        return f"http://127.0.0.1:{getattr(self.ports, service)}"

    def link(self, service: str) -> str:
        """Base URL of a service for a browser."""
        return f"http://localhost:{getattr(self.ports, service)}"

    def docs_url(self, path: Path) -> str | None:
        """URL of a file or folder on the docs server; None: the server does not serve it."""
        for name, folder in FOLDERS.items():
            if path.is_relative_to(self.var / folder):
                return f"{self.link('docs')}/{name}/{quote(str(path.relative_to(self.var / folder)))}"
        return None

    def logins(self) -> list[tuple[str, str, str]]:
        """For each service with a login: its name, the user, and the name of the password in `secrets`."""
        found = [("Airflow", "admin", "admin"), ("MLflow", self.mlflow_user, "mlflow_admin")]
        found.append(("Airbyte", self.airbyte_client_id, "airbyte_client_secret"))
        return [(service, user, secret) for service, user, secret in found if user]

    def server(self) -> dict[str, Any]:
        """Host and port of PostgreSQL."""
        return {"host": "127.0.0.1", "port": self.ports.postgres}

    def database(self, name: str) -> dict[str, Any]:
        """Arguments of a psycopg connection to a database as its own role."""
        return {**self.server(), "dbname": name, "user": name, "password": self.secrets[name]}

    def warehouse(self) -> dict[str, Any]:
        """Address and login of a PostgreSQL warehouse: host, port, database, user and password.

        The stack's own database, unless config/ names a host.
        """
        own = self.database("warehouse")
        address = {"database": own.pop("dbname"), **own}
        if "host" in self.config["warehouse"]:
            given = {name: value for name, value in self.config["warehouse"].items() if name in address}
            address |= {"port": 5432, "password": os.environ.get("MLOPS_WAREHOUSE__PASSWORD", "")} | given
        return address

    def studies(self) -> str:
        """SQLAlchemy URL of the database of Optuna's studies: the stack's own, unless MLOPS_STUDIES names another."""
        return os.environ.get("MLOPS_STUDIES") or self.database_url("optuna", "postgresql+psycopg2")

    def database_url(self, name: str, driver: str) -> str:
        """SQLAlchemy URL of a database."""
        server = self.server()
        return f"{driver}://{name}:{self.secrets[name]}@{server['host']}:{server['port']}/{name}"

    def config_texts(self) -> dict[Path, str]:
        """The content of each config file that is written: the merged config of the first application, and of each."""
        texts = {name: yaml.safe_dump(each, sort_keys=False, allow_unicode=True) for name, each in self.configs.items()}
        folder = self.var / "applications"
        first = self.config["applications"][0]
        return {self.var / "config.yaml": texts[first]} | {
            folder / f"{name}.yaml": text for name, text in texts.items()
        }

    def write_config(self) -> None:
        """Write these files."""
        for file, text in self.config_texts().items():
            file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(file, text)


def identity(var: Path) -> str:
    """Ten digits by which the instance in `var` differs from all others, also from those of other machines."""
    return hashlib.sha256(f"{socket.gethostname()}:{var.resolve()}".encode()).hexdigest()[:10]


def require(config: dict[str, Any], name: object, *readers: type[BaseModel]) -> None:
    """Validate a config against all classes that read it: those of the services, the application's and `readers`.

    Raises:
        ConfigError: a value is not valid; the message begins with `name` and lists all problems.
    """
    package = f"{config['package']}.settings"
    try:
        others = (airbyte_local.settings.Settings, pipeline.settings.Settings, import_module(package).Settings)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{name}: package: {package}.Settings cannot be imported ({error})") from None
    # Otherwise these classes would read files of their own too.
    with _environment(MLOPS_CONFIG=os.devnull, MLOPS_APPLICATION=str(config["application"])):
        found = [each for reader in (Launcher, Application, *readers, *others) for each in _problems(reader, config)]
    problems = list(dict.fromkeys(found))
    if problems:
        raise ConfigError(f"{name}: {'; '.join(problems)}")


def inherited_environment() -> dict[str, str]:
    """The caller's environment variables without those that would configure a program of the stack."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}


def read(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        ConfigError: it cannot be read, or holds no settings.
    """
    try:
        content = strict_yaml.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give CONFIG a YAML file that exists") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content or {}, dict):
        raise ConfigError(f"{path}: must hold settings as `name: value`, as config/base.yaml does")
    return content or {}


@contextmanager
def _environment(**variables: str) -> Generator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def _problems(reader: type[BaseModel], config: dict[str, Any]) -> list[str]:
    """Errors of a settings class in the config; what it lacks is set elsewhere, unless the launcher reads it."""
    try:
        reader(**{name: value for name, value in config.items() if name in reader.model_fields})
    except ValidationError as error:
        wrong = [each for each in error.errors() if each["type"] != "missing" or reader in (Launcher, Application)]
        # What an error of several settings together says names them.
        return [
            f"{_name(each['loc'])}: {each['msg']}{_found(each)}" if each["loc"] else each["msg"].partition(", ")[2]
            for each in wrong
        ]
    return []


def _name(location: tuple[int | str, ...]) -> str:
    """The name of a setting; Pydantic puts the type of a warehouse behind `warehouse`."""
    is_typed = location[0] == "warehouse" and len(location) > 2
    return ".".join(map(str, (location[0], *location[2:]) if is_typed else location))


def _found(error: ErrorDetails) -> str:
    """The wrong value, where the message does not say enough; a name that is not known may have any, also a secret."""
    has_said = error["type"] in ("value_error", "extra_forbidden", "missing") or isinstance(error["input"], dict | list)
    # YAML takes yes, no, 1 and 2020-02-20 for other things than texts.
    remedy = ": put it in quotes" if error["type"] == "string_type" and error["input"] is not None else ""
    return "" if has_said else f", not {error['input']!r}{remedy}"


def made_secrets(path: Path) -> dict[str, str]:
    """The secrets of an instance by name; missing ones are created, by one of two commands that run at once."""
    made = {name: secrets.token_urlsafe(24) for name in SECRET_NAMES}
    if not path.exists():
        write_private(path, json.dumps(made, indent=1), once=True)
    known = json.loads(path.read_text())
    if made.keys() - known.keys():
        known = made | known
        write_private(path, json.dumps(known, indent=1))
    return known


def write_private(path: Path, text: str, *, once: bool = False) -> None:
    """Write a file that only its owner can read, in one step; with `once` an existing file stays as it is."""
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        new = Path(file.name)
        try:
            file.write(text)
            file.flush()
            if once:
                with suppress(FileExistsError):
                    path.hardlink_to(new)
            else:
                new.replace(path)
        finally:
            new.unlink(missing_ok=True)
