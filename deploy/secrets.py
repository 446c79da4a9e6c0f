"""Connections and variables of Airflow in Secret Manager, where its backend looks for them."""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from deploy.gcloud import Gcloud, GcloudError
from deploy.settings import Target
from stack.errors import StackError

# The backend's own prefixes; the option that switches it on is in config/places/composer.yaml.
CONNECTION = "airflow-connections-"
VARIABLE = "airflow-variables-"


def given(target: Target, environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """The secrets of a place by name, with their values; None: the caller gives none, so the stored one stays.

    An empty value is none: that is what CI systems set for a secret that is missing.
    """
    deploy = target.deploy
    found: dict[str, str | None] = {
        f"{CONNECTION}{name}": environ.get(f"AIRFLOW_CONN_{name.upper()}") or None for name in deploy.connections
    }
    for name, value in deploy.variables.items():
        found[f"{VARIABLE}{name}"] = value or environ.get(f"AIRFLOW_VAR_{name.upper()}") or None
    return found


class Secrets:
    """The secrets of a project."""

    def __init__(self, gcloud: Gcloud):
        self._gcloud = gcloud

    def stored(self, names: Iterable[str]) -> dict[str, str | None]:
        """The latest values of secrets; None: there is none."""
        ordered = sorted(names)
        with ThreadPoolExecutor(max_workers=2) as pool:
            return dict(zip(ordered, pool.map(self._value, ordered), strict=True))

    def put(self, name: str, value: str) -> None:
        """Make a value the latest version of a secret; the secret is created only if there is none.

        Raises:
            GcloudError: the caller may not, or Secret Manager does not answer.
        """
        try:
            self._gcloud.change("secrets", "versions", "add", name, "--data-file=-", content=value)
        except GcloudError as error:
            if not error.is_missing:
                raise
            automatic = "--replication-policy=automatic"
            self._gcloud.change("secrets", "create", name, automatic, "--data-file=-", content=value)

    def _value(self, name: str) -> str | None:
        try:
            return self._gcloud.read("secrets", "versions", "access", "latest", f"--secret={name}")
        except GcloudError as error:
            if error.is_missing:
                return None
            raise


def require(target: Target, secrets: Secrets) -> dict[str, str]:
    """The secrets of a place that the caller gives, with their values.

    Raises:
        StackError: one has no value, here or in Secret Manager; the message names the variable to set.
    """
    wanted = given(target)
    stored = secrets.stored(name for name, value in wanted.items() if value is None)
    if names := [name for name, value in stored.items() if value is None]:
        variables = [name.replace(CONNECTION, "AIRFLOW_CONN_").replace(VARIABLE, "AIRFLOW_VAR_") for name in names]
        raise StackError(
            f"Secret Manager has no {', '.join(names)}: set {', '.join(variables).upper()} in the environment of this"
            " command, once"
        )
    return {name: value for name, value in wanted.items() if value is not None}
