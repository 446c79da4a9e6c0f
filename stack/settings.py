"""Settings of the launcher: config/ merged, secrets made once a machine, and what every process is told."""

import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Any

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
    "no_proxy",
)
SECRET_NAMES = (
    *("postgres", "airflow", "mlflow", "optuna", "warehouse"),
    *("admin", "api_secret_key", "jwt_secret", "airbyte_client_secret", "airbyte_signing_key"),
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
    """One instance of the embedded stack.

    Attributes:
        var: folder that everything is written to.
        config: config/base.yaml, the place's file and the user's, merged.
        ports: where the services listen.
        secrets: password or key by name, made on this machine.
    """

    model_config = ConfigDict(frozen=True)

    var: Path
    config: dict[str, Any]
    ports: Ports
    secrets: dict[str, str]

    def url(self, service: str) -> str:
        """Base URL of a service by its name in `ports`."""
        return f"http://127.0.0.1:{getattr(self.ports, service)}"

    def database(self, name: str) -> dict[str, Any]:
        """Arguments of a psycopg connection to a database as its own role."""
        address = {"host": "127.0.0.1", "port": self.ports.postgres, "dbname": name, "user": name}
        return {**address, "password": self.secrets[name]}

    def database_url(self, name: str, driver: str) -> str:
        """SQLAlchemy URL of a database."""
        return f"{driver}://{name}:{self.secrets[name]}@127.0.0.1:{self.ports.postgres}/{name}"

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
    merged = _read(ROOT / "config" / "base.yaml") | _read(ROOT / "config" / "embedded.yaml")
    if as_started and (var / "config.yaml").exists():
        merged |= _read(var / "config.yaml")
    if config:
        merged = _overlay(merged, _read(config), config)
    merged["source"] = _absolute(source, Path()) if source else _absolute(merged["source"], ROOT)
    problems = [problem for reader in (Place, *READERS) for problem in _problems(reader, merged)]
    if problems:
        raise ConfigError(f"{config or 'config/'}: {'; '.join(dict.fromkeys(problems))}")
    var.mkdir(parents=True, exist_ok=True)
    return Settings(var=var.resolve(), config=merged, ports=merged["ports"], secrets=_secrets(var / "secrets.json"))


def inherited_environment() -> dict[str, str]:
    """The caller's environment variables, less those that would configure a program of the stack."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}


def _read(path: Path) -> dict[str, Any]:
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


def _absolute(source: Any, base: Path) -> str:
    """An http(s) URL as it is, a folder as an absolute path; config files mean paths from the repository's root."""
    text = str(source)
    if text.startswith(("http://", "https://")):
        return text.rstrip("/")
    return str((base / Path(text).expanduser()).resolve())


def _secrets(path: Path) -> dict[str, str]:
    known = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in SECRET_NAMES if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(24) for name in missing}
        write_private(path, json.dumps(known, indent=1))
    return known


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    new = path.with_name(path.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text, encoding="utf-8")
    new.replace(path)
