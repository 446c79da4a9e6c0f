"""The environment variables of a command that shares no file with Airflow."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.settings import config_files

# Where things are in the image.
HOME = "/opt/mlops"
USER = "mlops"
# The container's own writable folder.
VAR = "/tmp/mlops"  # noqa: S108 - in the container
# Variables of Airflow's processes that a command needs too, by the beginning of their names.
PASSED_ON = (
    *("MLOPS_", "MLFLOW_", "BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "GCSFS_"),
    # Where uv gets the packages of a model module.
    *("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL"),
    *("DO_NOT_TRACK", "SCARF_ANALYTICS", "GX_ANALYTICS_ENABLED", "NO_PROXY", "no_proxy"),
)
# Of these, the ones that mean something on Airflow's machine only.
KEPT = ("MLOPS_CONFIG", "MLOPS_VAR", "MLOPS_RUNNER", "MLOPS_LINKS")
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|API_?KEY|^MLOPS_STUDIES$")
# A URL with a login, or settings with a password among them.
_SECRET_VALUE = re.compile(r'://[^/@\s]+@|"password":')
# Their keys are names that a user gives, such as those of columns.
_NAMED = ("MLOPS_SOURCES", "MLOPS_SLICES")


def variables(
    environ: Mapping[str, str] = os.environ, config: dict[str, Any] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Variables of a command in a container: those that anybody may read, and the secrets.

    All settings of the merged config file are among them, one variable per top-level key with its value as JSON, since
    the file itself is not in the image. `environ` are the variables of Airflow's processes;
    `config` is the content of that file, which is read if it is not given.
    """
    # The name that libraries ask for: an id of another machine's user has none in the image.
    found = {"PYTHONUNBUFFERED": "1", "USER": USER} | _config(_read(environ) if config is None else config)
    found |= {
        name: value for name, value in environ.items() if name.startswith(PASSED_ON) and not name.startswith(KEPT)
    }
    found["MLOPS_VAR"] = VAR
    if keyfile := found.get("MLOPS_WAREHOUSE__KEYFILE"):
        # For buckets.
        found["GOOGLE_APPLICATION_CREDENTIALS"] = keyfile
    secret = {name for name, value in found.items() if is_secret(name, value)}
    plain = {name: value for name, value in found.items() if name not in secret}
    return plain, {name: found[name] for name in sorted(secret)}


def is_secret(name: str, value: str) -> bool:
    """Whether a variable may not be shown to anybody who may see a pod."""
    return bool(name not in _NAMED and (_SECRET_NAME.search(name) or _SECRET_VALUE.search(value)))


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    """The config files laid over each other; a later one counts more."""
    merged: dict[str, Any] = {}
    for path in config_files(environ):
        with open(path, encoding="utf-8") as file:
            merged = _laid_over(merged, yaml.safe_load(file) or {})
    return merged


def _laid_over(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _laid_over(base[key], over[key]) for key in base.keys() & over.keys() if _are_sections(base, over, key)
    }
    return base | over | both


def _are_sections(base: dict[str, Any], over: dict[str, Any], key: str) -> bool:
    return isinstance(base[key], dict) and isinstance(over[key], dict)


def _config(config: dict[str, Any]) -> dict[str, str]:
    # A null has no form as a variable; it is the default of the settings that may be null.
    named = {f"MLOPS_{key.upper()}": value for key, value in config.items() if key != "runner"}
    # dbt reads these one by one.
    named |= {f"MLOPS_WAREHOUSE__{key.upper()}": value for key, value in config.get("warehouse", {}).items()}
    return {
        # YAML's dates are texts in JSON.
        name: value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in named.items()
        if value is not None
    }


def program(environment: str, command: list[str]) -> list[str]:
    """The command line in the image, without `--result`; `task` says if the kernel killed a process for memory."""
    return ["task", f"{HOME}/var/env/{environment}/bin/{command[0]}", *command[1:]]
