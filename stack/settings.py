"""Settings of the launcher: config/ merged, secrets made once a machine, and what every process is told."""

import json
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import airbyte_local.settings
import pipeline.settings
import tagifai.settings

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / "var" / "env"
# What the caller's shell says to these programs must not leak into the stack.
FOREIGN_PREFIXES = (
    "AIRFLOW",
    "AIRBYTE",
    "DBT_",
    "GX_",
    "MLFLOW",
    "MLOPS_",
    "OPTUNA",
    "PG",
    "PYTHON",
    "VIRTUAL_ENV",
)
SECRET_NAMES = (
    *("postgres", "airflow", "mlflow", "optuna", "warehouse"),
    *("admin", "api_secret_key", "jwt_secret", "airbyte_client_secret", "airbyte_signing_key"),
    *("mlflow_admin", "mlflow_secret_key"),
)

# Those who read the config, held against it before anything starts.
READERS = (airbyte_local.settings.Settings, pipeline.settings.Settings, tagifai.settings.Settings)

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


class Place(BaseModel):
    """What the launcher itself reads of the config."""

    ports: Ports


class Settings(BaseModel):
    """One instance of the stack, embedded unless a subclass says otherwise.

    Attributes:
        var: folder that everything is written to.
        config: config/base.yaml, the place's file and the user's, merged.
        ports: where the services listen.
        secrets: password or key by name, made on this machine.
    """

    model_config = ConfigDict(frozen=True)

    place: ClassVar[str] = "embedded"
    # Where services listen.
    listens_at: ClassVar[str] = "127.0.0.1"

    var: Path
    config: dict[str, Any]
    ports: Ports
    secrets: dict[str, str]

    @property
    def config_file(self) -> Path:
        """What every process of the stack reads."""
        return self.var / "config.yaml"

    @property
    def passwords_file(self) -> Path:
        """The passwords of Airflow's users."""
        return self.var / "airflow" / "passwords.json"

    @property
    def airbyte_client_id(self) -> str:
        """Id of the Airbyte client that Airflow is; its secret is `airbyte_client_secret`."""
        return "airflow"

    @property
    def mlflow_user(self) -> str | None:
        """Who logs in to MLflow, with the password `mlflow_admin`; None: nobody needs to."""
        return None

    def url(self, service: str) -> str:
        """Base URL of a service by its name in `ports`, for the stack's own processes."""
        return f"http://127.0.0.1:{getattr(self.ports, service)}"

    def link(self, service: str) -> str:
        """Base URL of a service for people's browsers."""
        return f"http://localhost:{getattr(self.ports, service)}"

    def server(self) -> dict[str, Any]:
        """Host and port of PostgreSQL."""
        return {"host": "127.0.0.1", "port": self.ports.postgres}

    def database(self, name: str) -> dict[str, Any]:
        """Arguments of a psycopg connection to a database as its own role."""
        return {**self.server(), "dbname": name, "user": name, "password": self.secrets[name]}

    def database_url(self, name: str, driver: str) -> str:
        """SQLAlchemy URL of a database."""
        server = self.server()
        return f"{driver}://{name}:{self.secrets[name]}@{server['host']}:{server['port']}/{name}"

    def config_text(self) -> str:
        """The merged config as YAML, as every process of the stack reads it."""
        return yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)


def load(var: Path, *, source: str | None = None, config: Path | None = None, as_started: bool = False) -> Settings:
    """Merge config/base.yaml, config/embedded.yaml, the user's file and `source`; make the secrets that are missing.

    Args:
        var: folder for everything that the stack writes; made if it is missing.
        source: folder or http(s) URL, in place of the config's.
        config: YAML file laid over the others, key by key.
        as_started: take what this instance was started with last in place of config/.

    Raises:
        ConfigError: a file cannot be read, a key is unknown or a value impossible.
    """
    merged = read(ROOT / "config" / "base.yaml") | read(ROOT / "config" / "embedded.yaml")
    saved = var / "config.yaml" if as_started and (var / "config.yaml").exists() else None
    if saved:
        merged = _restored(merged, read(saved))
    if config:
        merged = _overlay(merged, read(config), config)
    merged["source"] = _absolute(source, Path()) if source else _absolute(merged["source"], ROOT)
    require((Place, *READERS), merged, config or saved or "config/")
    var.mkdir(parents=True, exist_ok=True)
    known = made_secrets(var / "secrets.json")
    return Settings(var=var.resolve(), config=merged, ports=merged["ports"], secrets=known)


def require(readers: Iterable[type[BaseModel]], config: dict[str, Any], name: object) -> None:
    """Hold a config against those who read it.

    Raises:
        ConfigError: a value is impossible; the message begins with `name` and has all that are.
    """
    problems = [problem for reader in readers for problem in _problems(reader, config)]
    if problems:
        raise ConfigError(f"{name}: {'; '.join(dict.fromkeys(problems))}")


def inherited_environment() -> dict[str, str]:
    """The caller's environment variables, less those that would configure a program of the stack."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}


def read(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        ConfigError: it cannot be read, or holds no settings.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give CONFIG a YAML file that exists") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content or {}, dict):
        raise ConfigError(f"{path}: must hold settings as `name: value`, as config/base.yaml does")
    return content or {}


def _problems(reader: type[BaseModel], config: dict[str, Any]) -> list[str]:
    """What a class of settings finds wrong with the config; what it lacks it gets elsewhere."""
    try:
        reader(**{name: value for name, value in config.items() if name in reader.model_fields})
    except ValidationError as error:
        wrong = [each for each in error.errors() if each["type"] != "missing"]
        return [
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}, not {each['input']!r}" for each in wrong
        ]
    return []


def _overlay(base: dict[str, Any], over: dict[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    unknown = [key for key in over if key not in base]
    if unknown:
        known = ", ".join(str(key) for key in base)
        raise ConfigError(f"{path}: there is no setting `{prefix}{unknown[0]}`; known here: {known}")
    merged = dict(base)
    for key, value in over.items():
        if isinstance(base[key], dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{path}: `{prefix}{key}` holds settings of its own: {', '.join(base[key])}")
            value = _overlay(base[key], value, path, f"{prefix}{key}.")
        merged[key] = value
    return merged


def _restored(base: Any, saved: Any) -> Any:
    """What was saved of the settings in `base`, which are those of this version; another may have saved it."""
    if isinstance(base, dict) and isinstance(saved, dict):
        return {key: _restored(value, saved.get(key, value)) for key, value in base.items()}
    return base if isinstance(base, dict) or isinstance(saved, dict) else saved


def _absolute(source: Any, base: Path) -> str:
    """An http(s) URL as it is, a folder as an absolute path; config files mean paths from the repository's root.

    Raises:
        ConfigError: it is a URL of another kind.
    """
    text = str(source)
    if text.startswith(("http://", "https://")):
        return text.rstrip("/")
    if "://" in text:
        # Without what follows, which can hold a password.
        scheme = text.partition("://")[0]
        raise ConfigError(f"source: {scheme}://… cannot be loaded; give a folder or an http(s) URL, also as SOURCE=…")
    return str((base / Path(text).expanduser()).resolve())


def made_secrets(path: Path) -> dict[str, str]:
    """The secrets of an instance by name; those that the file lacks are made, of two commands at once by one."""
    made = {name: secrets.token_urlsafe(24) for name in SECRET_NAMES}
    if not path.exists():
        write_private(path, json.dumps(made, indent=1), once=True)
    known = json.loads(path.read_text())
    if made.keys() - known.keys():
        known = made | known
        write_private(path, json.dumps(known, indent=1))
    return known


def write_private(path: Path, text: str, *, once: bool = False) -> None:
    """Write a file that only its owner can read, in one step.

    Args:
        path: of the file.
        text: its content.
        once: whether a file that is there already stays as it is.
    """
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
